"""The ISA-95 Job Control structures on the wire: ids, names, field order, codecs, definitions for clients.

The classes are registered nowhere: asyncua's register is shared by the whole process, so two servers
with different namespace indexes would encode each other's type ids. This press encodes with its own.
"""

from dataclasses import dataclass, field, make_dataclass
from typing import Any, Final, Optional

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.ua_binary import list_to_binary, struct_from_binary, struct_to_binary

JC: Final = "http://opcfoundation.org/UA/ISA95-JOBCONTROL_V2/"
MJ: Final = "http://opcfoundation.org/UA/Machinery/Jobs/"
MA: Final = "http://opcfoundation.org/UA/Machinery/"
DI: Final = "http://opcfoundation.org/UA/DI/"
OWN: Final = "urn:kvot:simulator:press"


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field of a structure; `type` is a name of this module's table or of OPC UA itself."""

    name: str
    type: str
    is_array: bool
    is_optional: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Structure:
    """One structure: its ids in the Job Control namespace, and its fields in wire order."""

    name: str
    data_type: int
    encoding: int
    fields: tuple[Field, ...]

    @property
    def has_optional_fields(self) -> bool:
        """Say whether its values begin with a mask of the optional fields."""
        return any(entry.is_optional for entry in self.fields)


def _structure(name: str, data_type: int, encoding: int, *fields: str) -> Structure:
    """Read fields written as `Name Type`, with `[]` behind an array's and `?` behind an optional's type."""
    parsed = []
    for line in fields:
        label, kind = line.split(" ")
        is_optional, kind = kind.endswith("?"), kind.removesuffix("?")
        is_array, kind = kind.endswith("[]"), kind.removesuffix("[]")
        parsed.append(Field(name=label, type=kind, is_array=is_array, is_optional=is_optional))
    return Structure(name=name, data_type=data_type, encoding=encoding, fields=tuple(parsed))


def _resource(name: str, data_type: int, encoding: int, use: str) -> Structure:
    """Describe a person, an equipment or an asset: they differ in names only."""
    return _structure(
        name,
        data_type,
        encoding,
        "ID String",
        "Description LocalizedText[]?",
        f"{use} String?",
        "Quantity DecimalString?",
        "EngineeringUnits EUInformation?",
        "Properties ISA95PropertyDataType[]?",
    )


# OPC 10031-4 V2, in an order in which each structure stands behind those it is made of.
STRUCTURES: Final = (
    _structure(
        "ISA95PropertyDataType",
        3002,
        5002,
        "ID String",
        "Value Variant",
        "Description LocalizedText[]?",
        "EngineeringUnits EUInformation?",
        "Subproperties ISA95PropertyDataType[]?",
    ),
    _structure(
        "ISA95ParameterDataType",
        3003,
        5005,
        "ID String",
        "Value Variant",
        "Description LocalizedText[]?",
        "EngineeringUnits EUInformation?",
        "Subparameters ISA95ParameterDataType[]?",
    ),
    _resource("ISA95EquipmentDataType", 3005, 5008, "EquipmentUse"),
    _resource("ISA95PersonnelDataType", 3011, 5020, "PersonnelUse"),
    _resource("ISA95PhysicalAssetDataType", 3012, 5023, "PhysicalAssetUse"),
    _structure(
        "ISA95StateDataType",
        3006,
        5029,
        "BrowsePath RelativePath",
        "StateText LocalizedText",
        "StateNumber UInt32",
    ),
    _structure(
        "ISA95WorkMasterDataType",
        3007,
        5011,
        "ID String",
        "Description LocalizedText?",
        "Parameters ISA95ParameterDataType[]?",
    ),
    _structure(
        "ISA95MaterialDataType",
        3010,
        5017,
        "MaterialClassID String?",
        "MaterialDefinitionID String?",
        "MaterialLotID String?",
        "MaterialSublotID String?",
        "Description LocalizedText[]?",
        "MaterialUse String?",
        "Quantity DecimalString?",
        "EngineeringUnits EUInformation?",
        "Properties ISA95PropertyDataType[]?",
    ),
    _structure(
        "ISA95JobOrderDataType",
        3008,
        5014,
        "JobOrderID String",
        "Description LocalizedText[]?",
        "WorkMasterID ISA95WorkMasterDataType[]?",
        "StartTime DateTime?",
        "EndTime DateTime?",
        "Priority Int16?",
        "JobOrderParameters ISA95ParameterDataType[]?",
        "PersonnelRequirements ISA95PersonnelDataType[]?",
        "EquipmentRequirements ISA95EquipmentDataType[]?",
        "PhysicalAssetRequirements ISA95PhysicalAssetDataType[]?",
        "MaterialRequirements ISA95MaterialDataType[]?",
    ),
    _structure(
        "ISA95JobResponseDataType",
        3013,
        5026,
        "JobResponseID String",
        "Description LocalizedText?",
        "JobOrderID String",
        "StartTime DateTime?",
        "EndTime DateTime?",
        "JobState ISA95StateDataType[]",
        "JobResponseData ISA95ParameterDataType[]?",
        "PersonnelActuals ISA95PersonnelDataType[]?",
        "EquipmentActuals ISA95EquipmentDataType[]?",
        "PhysicalAssetActuals ISA95PhysicalAssetDataType[]?",
        "MaterialActuals ISA95MaterialDataType[]?",
    ),
    _structure(
        "ISA95JobOrderAndStateDataType",
        3015,
        5032,
        "JobOrder ISA95JobOrderDataType",
        "State ISA95StateDataType[]",
    ),
)
BY_NAME: Final = {structure.name: structure for structure in STRUCTURES}
_CLASSES: Final[dict[str, Any]] = {}


def _type_of(entry: Field, owner: str) -> Any:
    if entry.type == owner:  # asyncua resolves this name to the class itself
        return "Optional[list[__SELF__]]"
    scalar: Any = _CLASSES.get(entry.type) or getattr(ua, entry.type)
    kind: Any = list.__class_getitem__(scalar) if entry.is_array else scalar
    return Optional[kind] if entry.is_optional else kind  # noqa: UP045 - asyncua knows this form only


def _make_class(structure: Structure) -> Any:
    """Make the class whose fields asyncua's codec reads; the mask stands first, named `Encoding`."""
    members: list[Any] = [("Encoding", ua.UInt32, field(default=0))] if structure.has_optional_fields else []
    for entry in structure.fields:
        default: Any = field(default_factory=list) if entry.is_array and not entry.is_optional else field(default=None)
        members.append((entry.name, _type_of(entry, structure.name), default))
    made: Any = make_dataclass(structure.name, members)
    made.__module__ = __name__
    made.__SELF__ = made
    return made


for _each in STRUCTURES:
    _CLASSES[_each.name] = _make_class(_each)


def node_id(identifier: int | str, index: int = 0) -> ua.NodeId:
    """Make a node id; asyncua's own constructor is typed more narrowly than it works."""
    constructor: Any = ua.NodeId
    made: ua.NodeId = constructor(identifier, index)
    return made


def make(name: str, **fields: Any) -> Any:
    """Make a value of a structure; optional fields not given are absent."""
    return _CLASSES[name](**fields)


def encode(value: Any) -> bytes:
    """Encode a structure's fields, without its type id."""
    return struct_to_binary(value)


def encode_list(name: str, values: list[Any]) -> bytes:
    """Encode an array of structures as it stands inside another one."""
    return list_to_binary(_CLASSES[name], values)


def decode(name: str, body: bytes) -> Any:
    """Decode a structure's fields; raise `ValueError` where the bytes are not exactly one."""
    buffer = Buffer(body)
    try:
        value = struct_from_binary(_CLASSES[name], buffer)
    except Exception as error:  # asyncua raises whatever its primitives raise
        raise ValueError(f"not a {name}: {error!r}") from error
    if len(buffer):
        raise ValueError(f"{len(buffer)} bytes behind a {name}")
    return value


def wrap(name: str, body: bytes, jc: int) -> ua.ExtensionObject:
    """Put an encoded structure into an extension object of the server whose JC namespace has index `jc`."""
    return ua.ExtensionObject(TypeId=node_id(BY_NAME[name].encoding, jc), Body=ua.ByteString(body))


def definition(structure: Structure, jc: int) -> ua.StructureDefinition:
    """Describe a structure as clients read it from the attribute DataTypeDefinition."""
    made = ua.StructureDefinition()
    made.DefaultEncodingId = node_id(structure.encoding, jc)
    made.BaseDataType = node_id(ObjectIds.Structure)
    made.StructureType = (
        ua.StructureType.StructureWithOptionalFields if structure.has_optional_fields else ua.StructureType.Structure
    )
    made.Fields = [_field_definition(entry, jc) for entry in structure.fields]
    return made


def data_type_id(name: str, jc: int) -> ua.NodeId:
    """Give the id of a data type: of Job Control, or of OPC UA itself."""
    if name in BY_NAME:
        return node_id(BY_NAME[name].data_type, jc)
    return node_id(ObjectIds.BaseDataType if name == "Variant" else getattr(ObjectIds, name))


def _field_definition(entry: Field, jc: int) -> ua.StructureField:
    made = ua.StructureField()
    made.Name = entry.name
    made.Description = ua.LocalizedText("")
    made.DataType = data_type_id(entry.type, jc)
    made.ValueRank = ua.ValueRank.OneDimension if entry.is_array else ua.ValueRank.Scalar
    made.ArrayDimensions = [0] if entry.is_array else []
    made.IsOptional = entry.is_optional
    return made
