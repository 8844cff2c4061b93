"""The ways in which the press can misbehave on the wire, switchable while it runs."""

import asyncio
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self


class Reply(StrEnum):
    """What becomes of the answer to a method that has been executed."""

    NORMAL = "normal"
    BAD = "bad"  # a Bad status code, without outputs
    UNCERTAIN = "uncertain"  # the outputs under an Uncertain status code
    CLOSE = "close"  # the connection is cut instead
    NEVER = "never"  # this one answer never comes; other requests go on


class Measured(StrEnum):
    """What is shown of what the press measures; `text` and `array` are other data types than before."""

    NORMAL = "normal"
    UNCERTAIN = "uncertain"  # the values under an Uncertain status code
    BAD = "bad"  # the values under a Bad status code
    NULL = "null"  # no value, under Good
    NAN = "nan"  # no number, under Good
    TEXT = "text"
    ARRAY = "array"


@dataclass(frozen=True, kw_only=True, slots=True)
class Faults:
    """What is wrong at present; the default is nothing.

    `reply` and `late_s` (machine seconds) concern the named methods of the job list, all of them where
    none is named, for the next `times` calls, or until switched off where it is None.
    """

    reply: Reply = Reply.NORMAL
    late_s: float = 0.0
    methods: frozenset[str] = frozenset()
    times: int | None = None
    namespace_missing: bool = False
    permits_bad: bool = False
    measured: Measured = Measured.NORMAL
    sessions_max: int | None = None  # whoever wants one more is told that there are too many
    session_s: float | None = None  # a session ends after so long a silence, whatever was asked for
    clock_off_s: float = 0.0  # by how much the times of its values are wrong
    frozen: bool = False  # nothing is answered or published; connections stay open

    @classmethod
    def from_json(cls, wanted: dict[str, Any]) -> Self:
        """Read plain JSON values; what is not named is in order. Raise `ValueError` for unknown words."""
        known = {entry.name for entry in fields(cls)}
        if unknown := wanted.keys() - known:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
        values = dict(wanted)
        if "reply" in values:
            values["reply"] = Reply(values["reply"])
        if "measured" in values:
            values["measured"] = Measured(values["measured"])
        if "methods" in values:
            values["methods"] = frozenset(values["methods"])
        return cls(**values)


class Switchboard:
    """Holds the present faults and tells whoever waits for a change."""

    def __init__(self) -> None:
        self.present = Faults()
        self.changed = asyncio.Event()
        self._calls_left: int | None = None

    def switch(self, faults: Faults) -> None:
        """Replace the present faults; `Faults()` puts everything in order."""
        self.present = faults
        self._calls_left = faults.times
        self.changed.set()

    def for_call(self, method: str, *, by_default: bool) -> Faults:
        """Give the faults that hold for one call, and count it; `by_default` where no method is named."""
        faults = self.present
        concerned = method in faults.methods if faults.methods else by_default
        if not concerned or self._calls_left == 0:
            return Faults()
        if self._calls_left is not None and (faults.reply is not Reply.NORMAL or faults.late_s > 0):
            self._calls_left -= 1
        return faults
