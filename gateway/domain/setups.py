"""A run begins with its set-up and its first piece: whose turn it is at a machine, and what a run waits for.

A machine makes the runs of set-up families one after the other: what is set up stays until the run that
needs it has ended. Nothing here knows a time: only a named person or the machine itself ends a wait.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.products import Family
from gateway.domain.states import RunState


class Step(StrEnum):
    """What a person is asked for at a run."""

    SETUP = "setup"
    FIRST_PIECE = "first_piece"


@dataclass(frozen=True, kw_only=True, slots=True)
class Queued:
    """A run that was released on a machine and has not ended.

    `versions` are the recipes of its jobs as `recipe@version`; `made` is the first piece that waits for
    approval, `making` says whether one is still to be made.
    """

    run_id: int
    family: str
    setup_key: str
    state: RunState
    held: str | None
    promise_at: str  # the earliest of its jobs, ISO 8601 in UTC
    versions: frozenset[str]
    made: str | None = None
    making: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """What a machine is set up for: the key last confirmed, the recipes approved since, the tool it names now."""

    setup_key: str | None
    approved: frozenset[str] = frozenset()
    code: str | None = None  # None: it names none, or does not answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Begin:
    """It is this run's turn, and its set-up stands: it goes on to its first piece, or runs. `tool`: as read."""

    run_id: int
    state: RunState
    tool: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Another:
    """The first piece of this run was never made: appoint another."""

    run_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """It is this run's turn, and it waits for a person: `text` says for what, in words."""

    run_id: int
    step: Step
    text: str


Turn = Begin | Another | Waiting


def first_state(run: Queued, others: Iterable[Queued], fitted: Fitted, families: Mapping[str, Family]) -> RunState:
    """Give what a run goes on to at its release: `setup`, `first_piece`, or `releasing` where nothing is asked.

    A set-up is passed over where the machine is set up for this run, and every other run there as well.
    """
    family = families.get(run.family)
    if family is None or family.setup is None:
        return RunState.RELEASING
    alike = all(other.setup_key == run.setup_key and not _pending(other) for other in _with_setup(others, families))
    if not alike or fitted.setup_key != run.setup_key:
        return RunState.SETUP
    return RunState.FIRST_PIECE if needs_first_piece(run, family, fitted) else RunState.RELEASING


def turn(queue: Sequence[Queued], fitted: Fitted, families: Mapping[str, Family]) -> Turn | None:
    """Name what happens to the run whose turn it is at a machine; None: nothing, or nobody needs a set-up.

    A run that has begun goes first; then the earliest promise, then the cheapest change-over. A run whose
    set-up is confirmed by nobody (`confirm: false`, or a station, where the ticket says it) begins by itself.
    """
    queue = _with_setup(queue, families)
    begun = [run for run in queue if run.state is not RunState.SETUP]
    if begun:
        return _first_piece(begun)
    waiting = [run for run in queue if run.held is None]
    if not waiting:
        return None
    run = min(waiting, key=lambda one: (one.promise_at, _change_s(one, fitted, families), one.run_id))
    family = families[run.family]
    code = _tool_code(family)
    stands = fitted.setup_key == run.setup_key or not _asks(family)
    tool = code if code is not None and code == fitted.code else None
    if (stands or tool is not None) and not wrong_tool(code, fitted.code):
        return Begin(run_id=run.run_id, state=after_setup(run, family, fitted), tool=tool)
    return Waiting(run_id=run.run_id, step=Step.SETUP, text=_wanted(run, family, fitted))


def why_not_set_up(run: Queued, queue: Sequence[Queued], fitted: Fitted, families: Mapping[str, Family]) -> str | None:
    """Say why a person cannot confirm a run's set-up now, or None."""
    if run.state is not RunState.SETUP:
        return f"run {run.run_id} is {run.state}: it waits for no set-up"
    if run.held is not None:
        return f"run {run.run_id} is held: {run.held}"
    if begun := [other for other in _with_setup(queue, families) if other.state is not RunState.SETUP]:
        return f"run {begun[0].run_id} ({begun[0].setup_key}) has not ended: its set-up stands until then"
    return wrong_tool(_tool_code(families.get(run.family)), fitted.code)


def after_setup(run: Queued, family: Family, fitted: Fitted) -> RunState:
    """Give what comes after a run's set-up."""
    return RunState.FIRST_PIECE if needs_first_piece(run, family, fitted) else RunState.RUNNING


def needs_first_piece(run: Queued, family: Family, fitted: Fitted) -> bool:
    """Say whether a piece must be approved: none was since this set-up, or not of these versions of the recipes."""
    if family.setup is None or not family.setup.first_piece:
        return False
    return fitted.setup_key != run.setup_key or not run.versions <= fitted.approved


def wrong_tool(needed: str | None, named: str | None) -> str | None:
    """Say that the machine names another tool than a run needs; None where it does not, or names none."""
    if needed is None or named is None or needed == named:
        return None
    return f"the machine names tool {named} as fitted, and tool {needed} is needed"


def tool_codes(families: Mapping[str, Family]) -> dict[str, str]:
    """Give the tool that each family needs, where one is written."""
    codes = {name: _tool_code(family) for name, family in families.items()}
    return {name: code for name, code in codes.items() if code is not None}


def _first_piece(begun: Sequence[Queued]) -> Turn | None:
    run = next((one for one in begun if one.state is RunState.FIRST_PIECE), None)
    if run is None:
        return None
    if run.made is not None:
        text = f"run {run.run_id}: its first piece {run.made} waits for approval"
        return Waiting(run_id=run.run_id, step=Step.FIRST_PIECE, text=text)
    return None if run.making or run.held is not None else Another(run_id=run.run_id)


def _with_setup(queue: Iterable[Queued], families: Mapping[str, Family]) -> list[Queued]:
    return [run for run in queue if run.family in families and families[run.family].setup is not None]


def _pending(run: Queued) -> bool:
    return run.state in {RunState.SETUP, RunState.FIRST_PIECE}


def _asks(family: Family) -> bool:
    return family.setup is not None and family.setup.confirm and not family.station


def _tool_code(family: Family | None) -> str | None:
    return None if family is None or family.setup is None else family.setup.tool_code


def _change_s(run: Queued, fitted: Fitted, families: Mapping[str, Family]) -> float:
    if fitted.setup_key == run.setup_key:
        return 0.0
    return families[run.family].changeover.seconds(fitted.setup_key)


def _wanted(run: Queued, family: Family, fitted: Fitted) -> str:
    text = f"run {run.run_id} waits for its set-up: {run.setup_key} (set up now: {fitted.setup_key or 'not known'}"
    code = _tool_code(family)
    return f"{text})" if code is None else f"{text}; fitted tool {fitted.code or 'not named'}, needed {code})"
