"""A session that is finished by its first fault, whatever the protocol."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from drivers.base import DriverError

_CUT_OFF: Final = "a call was cut off"


class RefusedWriteError(DriverError):
    """The machine answered that it did not take a write: nothing of it was executed."""


class Speaking:
    """What a session is built on that answers nothing any more after a `DriverError` or a cancelled call.

    A fault of the type `foreign` becomes a `DriverError`. Whoever sets `_broken` while speaking finishes the session
    after the call.
    """

    def __init__(self, *, foreign: type[Exception] = DriverError) -> None:
        self._broken: str | None = None
        self._foreign = foreign

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Refuse to speak on a finished session, and finish it on any error or cancellation."""
        if self._broken is not None:
            raise DriverError(f"the session is finished: {self._broken}")
        self._broken = _CUT_OFF
        try:
            yield
        except DriverError as error:
            self._broken = str(error)
            raise
        except self._foreign as error:
            self._broken = str(error)
            raise DriverError(self._broken) from error
        if self._broken == _CUT_OFF:
            self._broken = None
