"""Values as nodes hold them, what the statuses of a write prove, and one tag written by hand."""

import math
import struct
from collections.abc import Iterable
from typing import Final

from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from drivers.base import Answer, DriverError, Receipt, Scalar
from drivers.opcua.binary import Builtin, Reading
from drivers.opcua.connection import Connection, status_name
from drivers.profile import Place, Profile, Tag
from drivers.speaking import RefusedWriteError

_RANGES: Final = {
    Builtin.SBYTE: (-(2**7), 2**7 - 1),
    Builtin.BYTE: (0, 2**8 - 1),
    Builtin.INT16: (-(2**15), 2**15 - 1),
    Builtin.UINT16: (0, 2**16 - 1),
    Builtin.INT32: (-(2**31), 2**31 - 1),
    Builtin.UINT32: (0, 2**32 - 1),
    Builtin.INT64: (-(2**63), 2**63 - 1),
    Builtin.UINT64: (0, 2**64 - 1),
}
# A write that ended so was not done (OPC 10000-4, 5.11.4.4); any other bad status says nothing.
_NOT_TAKEN: Final = frozenset(
    {
        StatusCodes.BadUserAccessDenied,
        StatusCodes.BadNotWritable,
        StatusCodes.BadWriteNotSupported,
        StatusCodes.BadTypeMismatch,
        StatusCodes.BadOutOfRange,
        StatusCodes.BadNodeIdUnknown,
        StatusCodes.BadNodeIdInvalid,
        StatusCodes.BadAttributeIdInvalid,
    }
)


def check_taken(statuses: Iterable[int], refused: type[DriverError]) -> None:
    """Raise `refused` where a value was surely not written, `DriverError` where nobody knows."""
    bad = [status for status in statuses if status >> 30 != 0]
    if bad and all(status in _NOT_TAKEN for status in bad):
        raise refused(f"the machine did not take a write ({status_name(bad[0])})")
    if bad:
        raise DriverError(f"writing: {status_name(bad[0])}, which says nothing about whether it was done")


def fitted(value: Scalar, place: Place | Tag, kind: Builtin) -> Scalar:
    """Give a value as a node of this type holds it; raise `ValueError` where it cannot."""
    match kind:
        case Builtin.BOOLEAN | Builtin.STRING:
            if not isinstance(value, bool if kind is Builtin.BOOLEAN else str):
                raise ValueError(f"{value!r} does not fit into a node of type {kind.name}")  # noqa: TRY004 - from outside
            return value
        case _ if isinstance(value, bool | str) or not math.isfinite(value):
            raise ValueError(f"{value!r} is no finite number, as a node of type {kind.name} needs")
        case Builtin.DOUBLE:
            return float((value - place.offset) / place.scale)
        case Builtin.FLOAT:
            try:
                rounded: float = struct.unpack("<f", struct.pack("<f", (value - place.offset) / place.scale))[0]
            except OverflowError as error:
                raise ValueError(f"{value!r} does not fit into a node of type FLOAT") from error
            return rounded
        case _ if kind in _RANGES:
            scaled = (place.scale, place.offset) != (1, 0)
            raw = (value - place.offset) / place.scale if scaled else value
            least, most = _RANGES[kind]
            if (not scaled and raw != int(raw)) or not least <= round(raw) <= most:
                raise ValueError(f"{value!r} does not fit into a node of type {kind.name}")
            return round(raw)
        case _:
            raise ValueError(f"a node of type {kind.name} cannot be written")


def scalar_of(reading: Reading) -> Scalar | None:
    """Give a good value; None where the machine does not say. A time becomes a text."""
    value = reading.variant.value
    if not reading.good or reading.variant.array or value is None:
        return None
    return value if isinstance(value, bool | int | float | str) else str(value)


class TagWriter:
    """The port's `Writable` over one connection. All that it writes is in the profile's write list (R8)."""

    def __init__(self, connection: Connection, profile: Profile) -> None:
        self._connection = connection
        self._tags = {name: profile.tags[name] for name in profile.writable}

    async def read_tag(self, name: str) -> Scalar | None:
        """Read it from the machine now."""
        tag = self._tags[name]
        (reading,) = await self._connection.read([self._connection.node(tag.address)])
        value = scalar_of(reading)
        if isinstance(value, bool | str | None) or (tag.scale, tag.offset) == (1, 0):
            return value
        return value * tag.scale + tag.offset

    async def write_tag(self, name: str, value: Scalar, *, deadline_s: float) -> Receipt:
        """Send it once."""
        tag = self._tags.get(name)
        if tag is None:
            return _not_sent(f"{name} is not in the profile's write list")
        node = self._connection.node(tag.address)
        (reading,) = await self._connection.read([node])  # its type is known to the server alone
        if not reading.good or reading.variant.array:
            return _not_sent(f"{tag.address!r} shows no single value ({status_name(reading.status)})")
        kind = reading.variant.type
        try:
            raw = fitted(value, tag, kind)
        except ValueError as error:
            return _not_sent(str(error))
        typed = ua.Variant(raw, ua.VariantType(int(kind)))
        statuses = await self._connection.write([(node, typed)], deadline_s=deadline_s)
        try:
            check_taken(statuses, RefusedWriteError)
        except RefusedWriteError as error:
            return Receipt(answer=Answer.REFUSED, evidence=str(error))
        return Receipt(answer=Answer.ACCEPTED, evidence="the machine confirmed the write")


def _not_sent(why: str) -> Receipt:
    return Receipt(answer=Answer.REFUSED, evidence=f"not sent: {why}")
