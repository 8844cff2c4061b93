"""A machine's panel as values: who stands there, what a person sets and presses."""

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol, Self

PRODUCTION: Final = "production"

_KINDS: Final = {"scrap_next": int, "reset": bool, "start": bool}  # all else is text
_ALLOWED: Final = {"guard": ("open", "shut"), "selector": ("remote", "local")}


class Panel(StrEnum):
    """Who stands at the panel."""

    MANUAL = "manual"  # nobody but the caller of the panel's port
    AUTO = "auto"  # a simulated person resets and presses Start after boot and after each fall


class Panelled(Protocol):
    """What has a panel. Everything takes the business time at which it happens."""

    scrap_next: int

    def select(self, now: datetime, *, remote: bool) -> None:
        """Turn the selector."""
        ...

    def set_mode(self, now: datetime, mode: str) -> None:
        """Change the mode."""
        ...

    def fail(self, now: datetime, fault: str) -> None:
        """Break down."""
        ...

    def open_guard(self, now: datetime) -> None:
        """Open the guard."""
        ...

    def shut_guard(self, now: datetime) -> None:
        """Shut the guard."""
        ...

    def fit_tool(self, now: datetime, tool: str) -> None:
        """Fit another tool."""
        ...

    def reset(self, now: datetime) -> None:
        """Press Reset."""
        ...

    def press_start(self, now: datetime) -> None:
        """Press Start."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Touch:
    """What a person does at the panel, in this order; None and False are left alone."""

    selector: str | None = None
    mode: str | None = None
    fault: str | None = None
    guard: str | None = None
    tool: str | None = None
    scrap_next: int | None = None  # that many of the next pieces become scrap
    reset: bool = False
    start: bool = False

    @classmethod
    def from_json(cls, wanted: dict[str, Any]) -> Self:
        """Read plain JSON values; raise `ValueError` for what the panel does not have."""
        known = {entry.name for entry in fields(cls)}
        if unknown := wanted.keys() - known:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
        for name, allowed in _ALLOWED.items():
            if wanted.get(name, allowed[0]) not in allowed:
                raise ValueError(f"{name} is {' or '.join(allowed)}, not {wanted[name]!r}")
        for name, value in wanted.items():
            kind = _KINDS.get(name, str)
            if type(value) is not kind:
                raise ValueError(f"{name} is a {kind.__name__}, not {value!r}")
        return cls(**wanted)

    def __call__(self, machine: Panelled, now: datetime) -> None:
        """Do it."""
        if self.selector is not None:
            machine.select(now, remote=self.selector == "remote")
        if self.mode is not None:
            machine.set_mode(now, self.mode)
        if self.fault is not None:
            machine.fail(now, self.fault)
        if self.guard is not None:
            (machine.open_guard if self.guard == "open" else machine.shut_guard)(now)
        if self.tool is not None:
            machine.fit_tool(now, self.tool)
        if self.scrap_next is not None:
            machine.scrap_next = self.scrap_next
        if self.reset:
            machine.reset(now)
        if self.start:
            machine.press_start(now)


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What a controller's inputs show in one scan; the buttons are those pressed since the scan before."""

    remote: bool = True
    guard_shut: bool = True
    fault: bool = False
    mode: str = PRODUCTION
    tool: str = ""
    reset: bool = False
    start: bool = False
    scrap_next: int = 0  # that many of the next pieces become scrap; 0 leaves it as it is

    @property
    def production(self) -> bool:
        """Say whether the mode is production."""
        return self.mode == PRODUCTION


class InputBoard:
    """Selector, guard, tool and buttons as they stand; they stay as they are without power."""

    def __init__(self, *, tool: str) -> None:
        self.remote = True
        self.guard_shut = True
        self.fault = ""
        self.mode = PRODUCTION
        self.tool = tool
        self.scrap_next = 0
        self._reset = self._start = False

    def take(self) -> Inputs:
        """Read the inputs for one scan; a button counts once."""
        inputs = Inputs(
            remote=self.remote,
            guard_shut=self.guard_shut,
            fault=bool(self.fault),
            mode=self.mode,
            tool=self.tool,
            reset=self._reset,
            start=self._start,
            scrap_next=self.scrap_next,
        )
        self.forget()
        return inputs

    def forget(self) -> None:
        """Forget pressed buttons: without power nobody has seen them."""
        self._reset = self._start = False
        self.scrap_next = 0

    def select(self, _now: datetime, *, remote: bool) -> None:
        """Turn the selector."""
        self.remote = remote

    def set_mode(self, _now: datetime, mode: str) -> None:
        """Change the mode."""
        self.mode = mode

    def fail(self, _now: datetime, fault: str) -> None:
        """Break down; a reset is needed."""
        self.fault = fault

    def open_guard(self, _now: datetime) -> None:
        """Open the guard."""
        self.guard_shut = False

    def shut_guard(self, _now: datetime) -> None:
        """Shut the guard."""
        self.guard_shut = True

    def fit_tool(self, _now: datetime, tool: str) -> None:
        """Fit another tool."""
        self.tool = tool

    def reset(self, _now: datetime) -> None:
        """Press Reset; with the guard shut the fault is gone."""
        if self.guard_shut:
            self.fault = ""
        self._reset = True

    def press_start(self, _now: datetime) -> None:
        """Press Start."""
        self._start = True
