"""The codec against asyncua's own encoder, which knows nothing of it, and against bytes from nowhere."""

import math
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import variant_from_binary, variant_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base import Command, CommandKind, JobPhase
from drivers.opcua import jobs
from drivers.opcua.binary import MAX_DEPTH, Builtin, Opaque, Reader, Variant, WireError, WireNode, Writer
from drivers.opcua.connection import node_id
from simulators.press import types
from tests.drivers.samples import command

JC = 7
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
UINT32 = st.integers(0, 2**32 - 1)
TIMES = st.integers(1, 4 * 10**15).map(lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))
LOCALIZED = TEXTS.map(lambda text: ua.LocalizedText(text, "sv"))


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def structure(name: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(lambda **values: types.make(name, **values), **fields)


SCALARS = st.one_of(
    st.booleans().map(lambda value: ua.Variant(value, ua.VariantType.Boolean)),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: ua.Variant(value, ua.VariantType.Int64)),
    st.integers(0, 2**64 - 1).map(lambda value: ua.Variant(value, ua.VariantType.UInt64)),
    st.floats().map(lambda value: ua.Variant(value, ua.VariantType.Double)),
    TEXTS.map(lambda value: ua.Variant(value, ua.VariantType.String)),
    TIMES.map(lambda value: ua.Variant(value, ua.VariantType.DateTime)),
    LOCALIZED.map(lambda value: ua.Variant(value, ua.VariantType.LocalizedText)),
    st.uuids().map(lambda value: ua.Variant(value, ua.VariantType.Guid)),
    st.binary(max_size=10).map(lambda value: ua.Variant(value, ua.VariantType.ByteString)),
    TEXTS.map(lambda value: ua.Variant(ua.QualifiedName(value, 3), ua.VariantType.QualifiedName)),
    UINT32.map(lambda value: ua.Variant(node_id(value, 2), ua.VariantType.NodeId)),
    TEXTS.map(lambda value: ua.Variant(node_id(value, 2), ua.VariantType.NodeId)),
    UINT32.map(lambda value: ua.Variant(ua.StatusCode(ua.UInt32(value)), ua.VariantType.StatusCode)),
    st.integers(-(2**15), 2**15 - 1).map(lambda value: ua.Variant(value, ua.VariantType.Int16)),
    st.integers(0, 255).map(lambda value: ua.Variant(value, ua.VariantType.Byte)),
)
ARRAYS = st.one_of(
    st.lists(TEXTS, max_size=4).map(lambda values: ua.Variant(values, ua.VariantType.String, is_array=True)),
    st.lists(LOCALIZED, max_size=4).map(lambda values: ua.Variant(values, ua.VariantType.LocalizedText, is_array=True)),
    st.lists(UINT32, max_size=4).map(lambda values: ua.Variant(values, ua.VariantType.UInt32, is_array=True)),
    st.lists(SCALARS, max_size=3).map(lambda values: ua.Variant(values, ua.VariantType.Variant, is_array=True)),
)
UNITS = TEXTS.map(lambda name: ua.EUInformation("urn:units", -1, ua.LocalizedText(name), ua.LocalizedText(name)))
_PARAMETER_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "ID": TEXTS,
    "Value": SCALARS | ARRAYS,
    "Description": optional(st.lists(LOCALIZED, max_size=2)),
    "EngineeringUnits": optional(UNITS),
}
PARAMETER = structure(
    "ISA95ParameterDataType",
    **_PARAMETER_FIELDS,
    Subparameters=optional(st.lists(structure("ISA95ParameterDataType", **_PARAMETER_FIELDS), max_size=2)),
)
PROPERTY = structure("ISA95PropertyDataType", **_PARAMETER_FIELDS)
PARAMETERS = optional(st.lists(PARAMETER, max_size=2))
RESOURCE_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "ID": TEXTS,
    "Description": optional(st.lists(LOCALIZED, max_size=2)),
    "Quantity": optional(TEXTS),
    "EngineeringUnits": optional(UNITS),
    "Properties": optional(st.lists(PROPERTY, max_size=1)),
}
PERSONNEL = optional(
    st.lists(structure("ISA95PersonnelDataType", PersonnelUse=optional(TEXTS), **RESOURCE_FIELDS), max_size=1)
)
EQUIPMENT = optional(
    st.lists(structure("ISA95EquipmentDataType", EquipmentUse=optional(TEXTS), **RESOURCE_FIELDS), max_size=1)
)
ASSETS = optional(
    st.lists(structure("ISA95PhysicalAssetDataType", PhysicalAssetUse=optional(TEXTS), **RESOURCE_FIELDS), max_size=1)
)
MATERIAL = optional(
    st.lists(
        structure(
            "ISA95MaterialDataType",
            MaterialClassID=optional(TEXTS),
            MaterialDefinitionID=optional(TEXTS),
            MaterialLotID=optional(TEXTS),
            MaterialUse=optional(TEXTS),
            Quantity=optional(TEXTS),
            EngineeringUnits=optional(UNITS),
            Properties=optional(st.lists(PROPERTY, max_size=1)),
        ),
        max_size=2,
    )
)
JOB_ORDER = structure(
    "ISA95JobOrderDataType",
    JobOrderID=TEXTS,
    Description=optional(st.lists(LOCALIZED, max_size=2)),
    WorkMasterID=optional(
        st.lists(
            structure("ISA95WorkMasterDataType", ID=TEXTS, Description=optional(LOCALIZED), Parameters=PARAMETERS),
            max_size=2,
        )
    ),
    StartTime=optional(TIMES),
    EndTime=optional(TIMES),
    Priority=optional(st.integers(-(2**15), 2**15 - 1)),
    JobOrderParameters=PARAMETERS,
    PersonnelRequirements=PERSONNEL,
    EquipmentRequirements=EQUIPMENT,
    PhysicalAssetRequirements=ASSETS,
    MaterialRequirements=MATERIAL,
)
PHASES = st.sampled_from(list(JobPhase))


def state(number: int, text: str, *path: str) -> Any:
    made = ua.RelativePath()
    made.Elements = [ua.RelativePathElement(TargetName=ua.QualifiedName(step, JC)) for step in path]
    return types.make("ISA95StateDataType", BrowsePath=made, StateText=ua.LocalizedText(text, "en"), StateNumber=number)


def opaque(name: str, body: bytes, *, namespace: int = JC) -> Opaque:
    return Opaque(type_id=WireNode(namespace=namespace, identifier=types.BY_NAME[name].encoding), body=body)


def listed(*items: object) -> Variant:
    return Variant(type=Builtin.EXTENSION_OBJECT, value=items, array=True)


def response(*parameters: Any, states: Any = None, **fields: Any) -> Variant:
    value = types.make(
        "ISA95JobResponseDataType",
        JobResponseID="R-1",
        JobOrderID="J-1",
        JobState=[state(5, "Ended")] if states is None else states,
        JobResponseData=list(parameters),
        **fields,
    )
    body = types.encode(value)
    return Variant(type=Builtin.EXTENSION_OBJECT, value=opaque("ISA95JobResponseDataType", body))


def fact(name: str, value: object, kind: ua.VariantType) -> Any:
    return types.make("ISA95ParameterDataType", ID=name, Value=ua.Variant(value, kind))


COMMANDS = st.builds(
    command,
    st.just(CommandKind.LOAD),
    TEXTS,
    recipe=TEXTS,
    parameters=st.dictionaries(
        TEXTS, st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXTS, max_size=4
    ),
    quantity=st.integers(1, 10**9),
    cycles=UINT32,
    labels=st.lists(TEXTS, max_size=3).map(lambda orders: {"sku": "TRAY-12", "order_numbers": tuple(orders)}),
)


@given(sent=COMMANDS)
def test_asyncua_reads_from_a_job_order_what_the_command_says(sent: Command) -> None:
    order = types.decode("ISA95JobOrderDataType", jobs.encode_job_order(sent))
    assert order.JobOrderID == sent.job_id
    assert [master.ID for master in order.WorkMasterID] == [sent.recipe]
    assert {each.ID: each.Value.Value for each in order.WorkMasterID[0].Parameters} == sent.parameters
    told = {each.ID: each.Value for each in order.JobOrderParameters}
    assert (told["RunsPlanned"].Value, told["RunsPlanned"].VariantType) == (sent.cycles, ua.VariantType.UInt32)
    orders = sent.labels["order_numbers"]
    assert tuple(told["CustomerOrderNumbers"].Value if orders else ()) == orders
    (material,) = order.MaterialRequirements
    assert (material.MaterialDefinitionID, material.Quantity) == ("TRAY-12", str(sent.quantity))
    assert material.MaterialUse == "Material produced"


def test_a_number_that_does_not_fit_is_refused_before_the_wire() -> None:
    with pytest.raises(WireError, match="does not fit"):
        jobs.encode_job_order(command(CommandKind.LOAD, cycles=2**32))


@settings(max_examples=60)
@given(orders=st.lists(st.tuples(JOB_ORDER, PHASES), max_size=3), substate=st.booleans())
def test_every_job_list_asyncua_encodes_is_read_with_its_ids_and_phases(
    orders: list[tuple[Any, JobPhase]], substate: bool
) -> None:
    states = [[state(phase, phase.name)] + [state(1, "Waiting", "Sub")] * substate for _, phase in orders]
    items = [
        opaque(
            "ISA95JobOrderAndStateDataType",
            types.encode(types.make("ISA95JobOrderAndStateDataType", JobOrder=order, State=each)),
        )
        for (order, _), each in zip(orders, states, strict=True)
    ]
    entries = jobs.decode_job_list(listed(*items), JC)
    assert [(entry.job_id, entry.phase) for entry in entries] == [(order.JobOrderID, phase) for order, phase in orders]


@settings(max_examples=60)
@given(phase=PHASES, started=optional(TIMES), ended=optional(TIMES), good=st.integers(0, 10**6), rest=PARAMETERS)
def test_every_response_asyncua_encodes_is_read_with_its_counts_and_times(
    phase: JobPhase, started: datetime | None, ended: datetime | None, good: int, rest: list[Any] | None
) -> None:
    facts = [fact("GoodQuantity", float(good), ua.VariantType.Double)]
    facts.append(fact("ProducedQuantity", float(good + 1), ua.VariantType.Double))
    other = [each for each in rest or () if each.ID not in ("GoodQuantity", "ProducedQuantity")]
    read = jobs.decode_response(
        response(*other, *facts, states=[state(phase, phase.name)], StartTime=started, EndTime=ended), JC
    )
    assert (read.job_id, read.phase, read.good, read.produced) == ("J-1", phase, good, good + 1)
    assert (read.started_at, read.ended_at) == (started, ended)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (math.nan, ua.VariantType.Double),
        (math.inf, ua.VariantType.Double),
        (-1.0, ua.VariantType.Double),
        (2.5, ua.VariantType.Double),
        (1e300, ua.VariantType.Double),
        (True, ua.VariantType.Boolean),
        ("12", ua.VariantType.String),
        (None, ua.VariantType.Null),
    ],
)
def test_a_count_that_is_no_number_of_pieces_is_no_count(value: object, kind: ua.VariantType) -> None:
    assert jobs.decode_response(response(fact("GoodQuantity", value, kind)), JC).good is None


def test_the_reason_of_the_last_change_of_state_is_told() -> None:
    why = fact("ReasonForStateChange", ua.LocalizedText("guard opened", "en"), ua.VariantType.LocalizedText)
    assert jobs.decode_response(response(why), JC).reason == "guard opened"


def test_a_null_date_is_no_time() -> None:
    assert Reader(struct.pack("<q", 0)).date_time() is None
    assert Reader(struct.pack("<q", 2**63 - 1)).date_time() is None


@pytest.mark.parametrize(
    "states",
    [[], [state(9, "Unheard")], [state(1, "Waiting", "Sub")]],
    ids=["no state", "unknown state", "only a substate"],
)
def test_a_job_without_a_known_top_state_is_not_guessed(states: list[Any]) -> None:
    with pytest.raises(WireError, match="state"):
        jobs.decode_response(response(states=states), JC)


def test_a_structure_of_another_type_or_namespace_is_refused() -> None:
    body = types.encode(types.make("ISA95JobOrderDataType", JobOrderID="J-1"))
    for wrong in (
        opaque("ISA95JobOrderDataType", body),
        opaque("ISA95JobOrderAndStateDataType", body, namespace=JC + 1),
        Opaque(type_id=WireNode(namespace=0, identifier=0), body=None),
        "text",
    ):
        with pytest.raises(WireError):
            jobs.decode_job_list(listed(wrong), JC)


def test_a_null_value_is_not_an_empty_job_list() -> None:
    with pytest.raises(WireError, match="not an array"):
        jobs.decode_job_list(Variant(type=Builtin.NULL, value=None), JC)


def test_bytes_left_over_are_refused() -> None:
    order = types.make("ISA95JobOrderDataType", JobOrderID="J-1")
    body = types.encode(types.make("ISA95JobOrderAndStateDataType", JobOrder=order, State=[state(1, "x")]))
    assert jobs.decode_job_list(listed(opaque("ISA95JobOrderAndStateDataType", body)), JC)
    with pytest.raises(WireError, match="too many"):
        jobs.decode_job_list(listed(opaque("ISA95JobOrderAndStateDataType", body + b"\0")), JC)


@given(cut=st.integers(0, 400), flips=st.lists(st.tuples(st.integers(0, 399), st.integers(1, 255)), max_size=4))
def test_damaged_bytes_end_in_a_wire_error_and_nothing_else(cut: int, flips: list[tuple[int, int]]) -> None:
    body = bytearray(
        jobs.encode_job_order(command(CommandKind.LOAD)) + types.encode_list("ISA95StateDataType", [state(1, "x")])
    )
    for at, change in flips:
        body[at % len(body)] ^= change
    damaged = opaque("ISA95JobOrderAndStateDataType", bytes(body[:cut]))
    try:
        jobs.decode_job_list(listed(damaged), JC)
    except WireError:
        return


@given(variant=SCALARS | ARRAYS)
def test_every_variant_asyncua_encodes_is_read_to_its_last_byte(variant: ua.Variant) -> None:
    body = variant_to_binary(variant)
    reader = Reader(body)
    read = reader.variant()
    assert reader.left == 0
    assert read.type == variant.VariantType.value
    assert read.array == bool(variant.is_array)
    if variant.VariantType in (ua.VariantType.String, ua.VariantType.UInt64, ua.VariantType.DateTime):
        expected = tuple(variant.Value) if variant.is_array else variant.Value
        assert read.value == expected


@given(value=st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXTS)
def test_asyncua_reads_every_parameter_value_as_it_is(value: bool | float | str) -> None:
    writer = Writer()
    writer.scalar(value)
    read = variant_from_binary(Buffer(writer.finish()))
    assert read.Value == value
    assert type(read.Value) is type(value)


@given(body=st.binary(max_size=60))
def test_random_bytes_are_no_variant_or_are_one(body: bytes) -> None:
    try:
        Reader(body).variant()
    except WireError:
        return


def test_an_array_longer_than_its_bytes_is_refused_at_once() -> None:
    with pytest.raises(WireError, match="announced"):
        Reader(b"\x8c\xff\xff\xff\x7f").variant()


def test_values_nested_too_deeply_are_refused() -> None:
    nested = b"\x98\x01\x00\x00\x00" * (MAX_DEPTH + 1) + b"\x00"
    with pytest.raises(WireError, match="deeper"):
        Reader(nested).variant()


def test_dates_keep_their_microseconds() -> None:
    moment = datetime(2026, 11, 24, 6, 30, 0, 123456, tzinfo=UTC)
    ticks = (moment - datetime(1601, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 10
    assert Reader(struct.pack("<q", ticks)).date_time() == moment


@pytest.mark.parametrize(
    ("bits", "accepted", "words"),
    [
        (1, True, "no error"),
        (2, False, "unknown job order"),
        (4, False, "not possible now"),
        (8, False, "job's state"),
        (16, False, "unable to accept"),
        (1 << 32, False, "invalid request"),
        (1 << 40, False, "maker, bit 40"),
        (0, False, "neither"),
    ],
)
def test_a_return_status_is_told_in_words(bits: int, accepted: bool, words: str) -> None:
    status = jobs.ReturnStatus(bits=bits)
    assert status.accepted is accepted
    assert words in str(status)


def test_only_bit_1_means_an_unknown_job_beside_the_makers_own_bits() -> None:
    single = [1 << bit for bit in range(64)]
    assert [bits for bits in single if jobs.ReturnStatus(bits=bits).unknown] == [2]
    assert [bits for bits in single if jobs.ReturnStatus(bits=bits | 2).unknown] == [2, *single[33:]]
