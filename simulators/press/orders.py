"""Job orders and job responses between the wire's structures and the press's own."""

import math
from decimal import Decimal, InvalidOperation
from typing import Any

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from simulators.press import types
from simulators.press.jobs import STATE_TEXTS, Job, JobOrder, JobState

MATERIAL_PRODUCED = "Material produced"


def body_of(name: str, value: object, jc: int) -> bytes:
    """Give the bytes of a structure that came with a call; raise `ValueError` where it is another one.

    The type id must be this server's own: a structure under a foreign namespace index is refused.
    """
    expected = types.node_id(types.BY_NAME[name].encoding, jc)
    if isinstance(value, ua.ExtensionObject):
        if value.TypeId != expected or value.Body is None:
            raise ValueError(f"type id {value.TypeId} is not a {name}")
        return bytes(value.Body)
    # A client in the same process has registered classes of its own, and asyncua has decoded to one.
    if ua.typeid_by_extension_objects.get(type(value)) != expected:
        raise ValueError(f"{type(value).__name__} is not a {name}")
    return struct_to_binary(value)


def read_order(value: object, jc: int, *, pieces_per_cycle: int) -> JobOrder:
    """Read a job order; one that names no amount of work gets 0 cycles. Raise `ValueError` for nonsense."""
    body = body_of("ISA95JobOrderDataType", value, jc)
    order = types.decode("ISA95JobOrderDataType", body)
    masters = order.WorkMasterID or []
    return JobOrder(
        job_id=order.JobOrderID or "",
        cycles=_runs_planned(order) or math.ceil(_quantity(order) / pieces_per_cycle),
        priority=order.Priority or 0,
        work_master=(masters[0].ID or "") if masters else "",
        document=body,
    )


def list_entry(job: Job) -> bytes:
    """Encode a job as an entry of the JobOrderList: the order as it came, and its state."""
    return job.order.document + types.encode_list("ISA95StateDataType", [state_value(job.state)])


def response(job: Job) -> bytes:
    """Encode what the press has to say of a job: counts, times and result (OPC 40001-3 parameter ids)."""
    facts = [
        _parameter("ProducedQuantity", float(job.produced), ua.VariantType.Double),
        _parameter("GoodQuantity", float(job.good), ua.VariantType.Double),
        _parameter("RunsCompleted", job.cycles_done, ua.VariantType.UInt32),
        _parameter("JobResult", int(job.result), ua.VariantType.Int32),
    ]
    if job.reason:
        text = ua.LocalizedText(job.reason, "en")
        facts.append(_parameter("ReasonForStateChange", text, ua.VariantType.LocalizedText))
    return types.encode(
        types.make(
            "ISA95JobResponseDataType",
            JobResponseID=f"{job.job_id}/{job.arrival}",
            JobOrderID=job.job_id,
            StartTime=job.started_at,
            EndTime=job.ended_at,
            JobState=[state_value(job.state)],
            JobResponseData=facts,
        )
    )


def state_value(state: JobState) -> Any:
    """Give a top state as the wire has it: without a browse path."""
    return types.make(
        "ISA95StateDataType",
        BrowsePath=ua.RelativePath(),
        StateText=ua.LocalizedText(STATE_TEXTS[state], "en"),
        StateNumber=int(state),
    )


def _parameter(name: str, value: object, kind: ua.VariantType) -> Any:
    return types.make("ISA95ParameterDataType", ID=name, Value=ua.Variant(value, kind))


def _runs_planned(order: Any) -> int:
    """Read the planned runs; 0 means not known (OPC 40001-3)."""
    for parameter in order.JobOrderParameters or []:
        if parameter.ID == "RunsPlanned":
            value = parameter.Value.Value
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ValueError(f"RunsPlanned is {value!r}")
            return value
    return 0


def _quantity(order: Any) -> Decimal:
    for material in order.MaterialRequirements or []:
        if material.MaterialUse == MATERIAL_PRODUCED and material.Quantity:
            try:
                quantity = Decimal(material.Quantity)
            except InvalidOperation as error:
                raise ValueError(f"Quantity is {material.Quantity!r}") from error
            if not quantity.is_finite() or quantity < 0:
                raise ValueError(f"Quantity is {material.Quantity!r}")
            return quantity
    return Decimal(0)
