"""ISA-95 Job Control V2 (OPC 10031-4): its names, structures on the wire, states and answers in words."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from drivers.base import Command, CommandKind, JobPhase
from drivers.opcua.binary import Builtin, Opaque, Reader, Variant, WireError, Writer

NAMESPACE = "http://opcfoundation.org/UA/ISA95-JOBCONTROL_V2/"
OLD_NAMESPACE = "http://opcfoundation.org/UA/ISA95-JOBCONTROL"
RECEIVER_TYPE = 1002
PROVIDER_TYPE = 1003
JOB_ORDER_ENCODING = 5014
JOB_RESPONSE_ENCODING = 5026
JOB_ORDER_AND_STATE_ENCODING = 5032
RESPONSE_METHOD = "RequestJobResponseByJobOrderID"
JOB_LIST = "JobOrderList"
METHODS: Mapping[CommandKind, str] = {
    CommandKind.LOAD: "Store",
    CommandKind.LOAD_START: "StoreAndStart",
    CommandKind.START: "Start",
    CommandKind.WITHDRAW: "RevokeStart",
    CommandKind.CANCEL: "Cancel",
    CommandKind.STOP: "Stop",
    CommandKind.ABORT: "Abort",
    CommandKind.CLEAR: "Clear",
}
LOADING = (CommandKind.LOAD, CommandKind.LOAD_START)

_MEANING = {
    0: "no error",
    1: "unknown job order",
    2: "command not possible now",
    3: "not possible in the job's state",
    4: "unable to accept the job order",
    32: "invalid request",
}
STANDARD_BITS = (1 << 33) - 1  # above them stand the makers' own codes
_ORDERS = "CustomerOrderNumbers"
_MAX_REASON = 200  # characters
_MAX_COUNT = 1 << 53  # pieces; above it a Double no longer counts in ones


@dataclass(frozen=True, kw_only=True, slots=True)
class ReturnStatus:
    """The bit map every method of job control answers with (R4 B.2 Table 95)."""

    bits: int

    @property
    def accepted(self) -> bool:
        """Say whether the machine did what was asked."""
        return bool(self.bits & 1)

    @property
    def unknown(self) -> bool:
        """Say whether the machine does not know the job, and nothing that contradicts it but its maker's codes."""
        return self.bits & STANDARD_BITS == 1 << 1

    def __str__(self) -> str:
        if not self.bits:
            return "ReturnStatus 0: neither success nor a reason"
        names = [
            _MEANING.get(bit, f"code of the machine's maker, bit {bit}") for bit in range(64) if self.bits >> bit & 1
        ]
        return f"ReturnStatus {self.bits}: {', '.join(names)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobEntry:
    """One job of a machine's JobOrderList; `orders` are its CustomerOrderNumbers, None where the machine keeps none."""

    job_id: str
    phase: JobPhase
    state: str
    orders: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobResponse:
    """What a machine tells of one job; counts are pieces, None where it does not tell."""

    job_id: str
    phase: JobPhase
    state: str
    produced: int | None
    good: int | None
    started_at: datetime | None
    ended_at: datetime | None
    reason: str | None


def encode_job_order(command: Command) -> bytes:
    """Encode the ISA95JobOrderDataType that asks for this command's work."""
    order = Writer()
    order.u32(1 << 1 | 1 << 5 | 1 << 9)  # WorkMasterID, JobOrderParameters, MaterialRequirements
    order.string(command.job_id)
    _write_array(order, [_work_master(command)])
    _write_array(order, _order_parameters(command))
    _write_array(order, _material(command))
    return order.finish()


def decode_job_list(variant: Variant, namespace: int) -> tuple[JobEntry, ...]:
    """Decode a JobOrderList; `namespace` is the server's index of the job control namespace."""
    if variant.type is not Builtin.EXTENSION_OBJECT or not isinstance(variant.value, tuple):
        raise WireError(f"{JOB_LIST} is not an array of structures")
    entries = (
        _decode(item, namespace, JOB_ORDER_AND_STATE_ENCODING, "ISA95JobOrderAndStateDataType")
        for item in variant.value
    )
    return tuple(_entry(fields) for fields in entries)


def decode_response(variant: Variant, namespace: int) -> JobResponse:
    """Decode a JobResponse; raise `WireError` when it is empty or of another type."""
    if variant.type is not Builtin.EXTENSION_OBJECT or variant.array:
        raise WireError("the job response is not a structure")
    fields = _decode(variant.value, namespace, JOB_RESPONSE_ENCODING, "ISA95JobResponseDataType")
    phase, state = _top_state(fields["JobState"])
    outputs = _parameters(fields.get("JobResponseData") or ())
    return JobResponse(
        job_id=fields["JobOrderID"] or "",
        phase=phase,
        state=state,
        produced=_count(outputs.get("ProducedQuantity")),
        good=_count(outputs.get("GoodQuantity")),
        started_at=fields.get("StartTime"),
        ended_at=fields.get("EndTime"),
        reason=_text(outputs.get("ReasonForStateChange")),
    )


# Writing -----------------------------------------------------------------------------------------


def _work_master(command: Command) -> bytes:
    writer = Writer()
    writer.u32(1 << 0 | 1 << 1)  # Description, Parameters
    writer.string(command.recipe)
    writer.localized_text(f"version {command.recipe_version}")

    def scalar(value: bool | float | str) -> bytes:  # noqa: FBT001 - a value, not a switch
        inner = Writer()
        inner.scalar(value)
        return inner.finish()

    _write_array(writer, [_parameter(name, scalar(value)) for name, value in command.parameters.items()])
    return writer.finish()


def _order_parameters(command: Command) -> list[bytes]:
    runs = Writer()
    runs.byte(Builtin.UINT32)
    runs.u32(command.cycles)
    parameters = [_parameter("RunsPlanned", runs.finish())]
    if names := _label(command, "job_name"):
        parameters.append(_parameter("JobName", _texts(Builtin.LOCALIZED_TEXT, names)))
    if orders := _label(command, "order_numbers"):
        parameters.append(_parameter(_ORDERS, _texts(Builtin.STRING, orders)))
    return parameters


def _material(command: Command) -> list[bytes]:
    sku = _label(command, "sku")
    writer = Writer()
    # MaterialDefinitionID, MaterialUse and Quantity, a decimal number written as text
    writer.u32((1 << 1 if sku else 0) | 1 << 5 | 1 << 6)
    if sku:
        writer.string(sku[0])
    writer.string("Material produced")
    writer.string(str(command.quantity))
    return [writer.finish()]


def _parameter(name: str, variant: bytes) -> bytes:
    writer = Writer()
    writer.u32(0)
    writer.string(name)
    writer.raw(variant)
    return writer.finish()


def _texts(builtin: Builtin, texts: Sequence[str]) -> bytes:
    writer = Writer()
    writer.byte(builtin | 0x80)
    writer.i32(len(texts))
    for text in texts:
        if builtin is Builtin.LOCALIZED_TEXT:
            writer.localized_text(text)
        else:
            writer.string(text)
    return writer.finish()


def _write_array(writer: Writer, elements: Sequence[bytes]) -> None:
    writer.i32(len(elements))
    for element in elements:
        writer.raw(element)


def _label(command: Command, name: str) -> tuple[str, ...]:
    label = command.labels.get(name, ())
    return (label,) if isinstance(label, str) else label


# Reading -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Structure:
    """A structure's fields in wire order; `optional` ones have a bit each in the mask that comes first."""

    fields: Mapping[str, Callable[[Reader], object]]
    optional: frozenset[str] = field(default_factory=frozenset)

    def read(self, reader: Reader) -> dict[str, Any]:
        mask = reader.u32() if self.optional else 0
        if mask >> len(self.optional):
            raise WireError(f"the mask {mask:#x} names fields that the structure does not have")
        values: dict[str, Any] = {}
        bit = 1
        for name, read in self.fields.items():
            if name not in self.optional:
                values[name] = read(reader)
                continue
            if mask & bit:
                values[name] = read(reader)
            bit <<= 1
        return values


def _structure(*, mandatory: Sequence[str] = (), **fields: Callable[[Reader], object]) -> _Structure:
    return _Structure(fields, frozenset(fields) - frozenset(mandatory))


def _list_of(structure: _Structure) -> Callable[[Reader], object]:
    return lambda reader: reader.array(structure.read)


def _texts_of(reader: Reader) -> object:
    return reader.array(Reader.localized_text)


_UNITS = _Structure(
    {
        "NamespaceUri": Reader.string,
        "UnitId": Reader.i32,
        "DisplayName": Reader.localized_text,
        "Description": Reader.localized_text,
    }
)


def _nested_parameters(reader: Reader) -> object:
    return reader.array(lambda inner: inner.deeper(_PARAMETER.read))


# ISA95ParameterDataType and ISA95PropertyDataType have the same layout.
_PARAMETER = _structure(
    mandatory=("ID", "Value"),
    ID=Reader.string,
    Value=Reader.variant,
    Description=_texts_of,
    EngineeringUnits=_UNITS.read,
    Subparameters=_nested_parameters,
)
_WORK_MASTER = _structure(
    mandatory=("ID",), ID=Reader.string, Description=Reader.localized_text, Parameters=_list_of(_PARAMETER)
)
# Equipment, personnel and physical assets have the same layout.
_RESOURCE = _structure(
    mandatory=("ID",),
    ID=Reader.string,
    Description=_texts_of,
    Use=Reader.string,
    Quantity=Reader.string,
    EngineeringUnits=_UNITS.read,
    Properties=_list_of(_PARAMETER),
)
_MATERIAL = _structure(
    MaterialClassID=Reader.string,
    MaterialDefinitionID=Reader.string,
    MaterialLotID=Reader.string,
    MaterialSublotID=Reader.string,
    Description=_texts_of,
    MaterialUse=Reader.string,
    Quantity=Reader.string,
    EngineeringUnits=_UNITS.read,
    Properties=_list_of(_PARAMETER),
)
_JOB_ORDER = _structure(
    mandatory=("JobOrderID",),
    JobOrderID=Reader.string,
    Description=_texts_of,
    WorkMasterID=_list_of(_WORK_MASTER),
    StartTime=Reader.date_time,
    EndTime=Reader.date_time,
    Priority=Reader.u16,
    JobOrderParameters=_list_of(_PARAMETER),
    PersonnelRequirements=_list_of(_RESOURCE),
    EquipmentRequirements=_list_of(_RESOURCE),
    PhysicalAssetRequirements=_list_of(_RESOURCE),
    MaterialRequirements=_list_of(_MATERIAL),
)
_PATH_ELEMENT = _Structure(
    {
        "ReferenceTypeId": Reader.node_id,
        "IsInverse": Reader.boolean,
        "IncludeSubtypes": Reader.boolean,
        "TargetName": Reader.qualified_name,
    }
)
_STATE = _Structure(
    {"BrowsePath": _list_of(_PATH_ELEMENT), "StateText": Reader.localized_text, "StateNumber": Reader.u32}
)
_JOB_ORDER_AND_STATE = _Structure({"JobOrder": _JOB_ORDER.read, "State": _list_of(_STATE)})
_JOB_RESPONSE = _structure(
    mandatory=("JobResponseID", "JobOrderID", "JobState"),
    JobResponseID=Reader.string,
    Description=Reader.localized_text,
    JobOrderID=Reader.string,
    StartTime=Reader.date_time,
    EndTime=Reader.date_time,
    JobState=_list_of(_STATE),
    JobResponseData=_list_of(_PARAMETER),
    PersonnelActuals=_list_of(_RESOURCE),
    EquipmentActuals=_list_of(_RESOURCE),
    PhysicalAssetActuals=_list_of(_RESOURCE),
    MaterialActuals=_list_of(_MATERIAL),
)
_BY_ENCODING = {JOB_ORDER_AND_STATE_ENCODING: _JOB_ORDER_AND_STATE, JOB_RESPONSE_ENCODING: _JOB_RESPONSE}


def _decode(item: object, namespace: int, encoding: int, name: str) -> dict[str, Any]:
    if not isinstance(item, Opaque):
        raise WireError(f"a value is not a structure where {name} is expected")
    if (item.type_id.namespace, item.type_id.identifier) != (namespace, encoding):
        seen = f"ns={item.type_id.namespace};{item.type_id.identifier!r}"
        raise WireError(f"a structure of type {seen} where {name} (ns={namespace};{encoding}) is expected")
    if item.body is None:
        raise WireError(f"{name} without a binary body")
    reader = Reader(item.body)
    fields = _BY_ENCODING[encoding].read(reader)
    if reader.left:
        raise WireError(f"{reader.left} bytes too many in {name}")
    return fields


def _entry(fields: Mapping[str, Any]) -> JobEntry:
    phase, state = _top_state(fields["State"])
    order = fields["JobOrder"]
    shown = _parameters(order.get("JobOrderParameters") or ()).get(_ORDERS)
    return JobEntry(job_id=order["JobOrderID"] or "", phase=phase, state=state, orders=_order_numbers(shown))


def _order_numbers(variant: Variant | None) -> tuple[str, ...] | None:
    value = variant.value if variant is not None else None
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
        return None
    return tuple(found)


def _top_state(states: Sequence[Mapping[str, Any]]) -> tuple[JobPhase, str]:
    """Give the phase of the first state without a browse path, and its text with the substates'."""
    top = next((state for state in states if not state["BrowsePath"]), None)
    if top is None:
        raise WireError("a job without a top state")
    try:
        phase = JobPhase(top["StateNumber"])
    except ValueError as error:
        raise WireError(f"{top['StateNumber']} is not a state of a job order") from error
    texts = [state["StateText"] or str(state["StateNumber"]) for state in states]
    return phase, "/".join(texts)[:_MAX_REASON]


def _parameters(parameters: Sequence[Mapping[str, Any]]) -> dict[str, Variant]:
    return {parameter["ID"]: parameter["Value"] for parameter in parameters}


def _count(variant: Variant | None) -> int | None:
    """Give a number of pieces: finite, whole and not negative, else None."""
    value = variant.value if variant is not None else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not math.isfinite(value) or not 0 <= value <= _MAX_COUNT or value != int(value):
        return None
    return int(value)


def _text(variant: Variant | None) -> str | None:
    value = variant.value if variant is not None else None
    return value[:_MAX_REASON] if isinstance(value, str) and value else None
