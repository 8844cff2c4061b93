"""What the statuses of a write prove: done, not done, or neither."""

from collections.abc import Iterable
from typing import Final

from asyncua.ua.status_codes import StatusCodes

from drivers.base import DriverError
from drivers.opcua.connection import status_name

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
