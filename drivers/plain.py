"""A machine without memory of jobs: what its busy, done and counters prove of a start (pure).

Before a start its idle state is written down as the baseline. Afterwards a job is known by what has changed
since; what the change leaves open is said to be unproven, and a person decides.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from drivers.base import Command, Finding, JobPhase, Look, Permits, Scalar
from drivers.profile import Counting, Effect, Place, PlainMap, Profile, Unit
from drivers.scaling import Kind, Layout

OWN_WORK: Final = "(a batch without a name)"
NO_BOOT: Final = "not told"
_BASELINE = re.compile(r"idle, (?P<done>not done|done), good (?P<good>\d{1,20}), scrap (?P<scrap>\d{1,20})")
_WHOLE = frozenset({Kind.UINT16, Kind.UINT32, Kind.UINT64, Kind.INT16, Kind.INT32, Kind.INT64})


class UnsendableError(ValueError):
    """The machine's map cannot carry this command."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One reading of all that the machine shows; the counters as they stand, in steps."""

    start: bool
    busy: bool
    done: bool
    good: int
    scrap: int
    permits: Permits
    boot: str = NO_BOOT
    setup_code: str | None = None

    @property
    def at_rest(self) -> bool:
        """Say whether nothing is in the machine, and no start waits for it."""
        return not self.busy and not self.start

    @property
    def work(self) -> tuple[object, ...]:
        """Give what must be the same in two readings before anything is concluded from it."""
        return (self.start, self.busy, self.done, self.good, self.scrap, self.boot)


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """What the machine showed, at rest, at the look that led to a start."""

    done: bool
    good: int
    scrap: int

    @classmethod
    def of(cls, shown: Shown) -> "Baseline | None":
        """Take the baseline; None where the machine is not at rest."""
        return cls(done=shown.done, good=shown.good, scrap=shown.scrap) if shown.at_rest else None

    @classmethod
    def parse(cls, text: str | None) -> "Baseline":
        """Read a baseline as it was stored; raise `ValueError` for what is none."""
        found = _BASELINE.fullmatch(text or "")
        if found is None:
            raise ValueError(f"{text!r} is no baseline")
        return cls(done=found["done"] == "done", good=int(found["good"]), scrap=int(found["scrap"]))

    def __str__(self) -> str:
        return f"idle, {'done' if self.done else 'not done'}, good {self.good}, scrap {self.scrap}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """A start whose outcome is to be told.

    `begun`: it is known to have been executed. `steady`: two readings were the same. `ours`: the machine
    still holds the job's parameters. `persistent`: its counters are proven to survive its restart.
    """

    job_id: str
    expected: int  # pieces
    baseline: Baseline
    begun: bool
    steady: bool
    ours: bool
    persistent: bool


def look_of(shown: Shown, *, steady: bool) -> Look:
    """Give the look at a machine; what is in it has no name, and the gateway knows whether it is its job."""
    work = (Finding(job_id=OWN_WORK, phase=_phase(shown), evidence=_evidence(shown)),) if shown.busy else ()
    baseline = Baseline.of(shown) if steady else None
    return Look(
        boot=shown.boot,
        permits=shown.permits,
        jobs=work,
        setup_code=shown.setup_code,
        baseline=None if baseline is None else str(baseline),
        counted=shown.good + shown.scrap,
    )


def target_of(command: Command, spec: PlainMap) -> int:
    """Give the quantity as the machine is told it."""
    return command.quantity if spec.quantity_in is Unit.PIECES else command.cycles


def expected_of(command: Command, spec: PlainMap) -> int:
    """Give how many pieces the machine will have counted when the batch has ended as asked."""
    return command.quantity if spec.quantity_in is Unit.PIECES else command.cycles * spec.pieces_per_count


def values_of(command: Command, spec: PlainMap) -> tuple[tuple[Place, Scalar], ...]:
    """Give what is written before a start, and where; raise `UnsendableError` for what the map cannot carry."""
    recipe = spec.recipes.get(command.recipe)
    if recipe is None:
        raise UnsendableError(f"recipe {command.recipe!r} is not in the machine's map")
    if recipe.parameters.keys() != command.parameters.keys():
        raise UnsendableError(
            f"recipe {command.recipe!r} goes down with {', '.join(recipe.parameters) or 'no parameters'}, "
            f"the job has {', '.join(command.parameters) or 'none'}"
        )
    values: list[tuple[Place, Scalar]] = [(spec.quantity, target_of(command, spec))]
    if spec.recipe is not None and recipe.number is not None:
        values.append((spec.recipe, recipe.number))
    return (*values, *((place, command.parameters[name]) for name, place in recipe.parameters.items()))


def fault_before_start(shown: Shown, baseline: Baseline) -> str | None:
    """Say why a start must not be written now, or None: only exactly what was stored with the intent will do."""
    if shown.busy:
        return "the machine is busy with its own work"
    if shown.start:
        return "the start is set already, and cannot be taken back"
    if Baseline.of(shown) != baseline:
        return f"the machine has worked or been reset since it was looked at ({_evidence(shown)}; it was {baseline})"
    for name, permit in (("remote", shown.permits.remote), ("ready", shown.permits.ready)):
        if permit is not True:
            return f"the permit {name} is not given"
    return "Start was not pressed at the panel" if shown.permits.handed_over is False else None


def has_begun(shown: Shown, baseline: Baseline) -> bool:
    """Say whether a start written just now was executed: a batch is in the machine, or one has ended since."""
    changed = Baseline(done=shown.done, good=shown.good, scrap=shown.scrap) != baseline
    return shown.busy or (shown.done and changed)


def finding_of(shown: Shown, trial: Trial, spec: PlainMap) -> Finding:
    """Give what a reading proves of one start."""
    if shown.busy:
        return _at_work(shown, trial, spec)
    if shown.start:
        return _unproven(shown, trial, "the start is still set, and may yet be executed")
    return _at_rest_total(shown, trial, spec) if spec.counting is Counting.TOTAL else _at_rest_batch(shown, trial, spec)


def shown_of(values: dict[str, Scalar | None]) -> Shown:
    """Make one reading of the values of `status_places`; raise `ValueError` where the machine does not tell."""
    truths = {name: values.get(name) for name in ("start", "busy", "done")}
    counts = {name: values.get(name) for name in ("good", "scrap")}
    for name, value in truths.items():
        if not isinstance(value, bool):
            raise ValueError(f"{name} is {value!r}, and on or off is expected")  # noqa: TRY004 - from outside
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"{name} is {value!r}, and a count is expected")
    if "boot" in values and values["boot"] is None:
        raise ValueError("boot cannot be read")
    code = values.get("setup_code")
    return Shown(
        start=truths["start"] is True,
        busy=truths["busy"] is True,
        done=truths["done"] is True,
        good=int(counts["good"] or 0),
        scrap=int(counts["scrap"] or 0),
        permits=Permits(
            remote=_permit(values, "remote"), ready=_permit(values, "ready"), handed_over=_permit(values, "handed_over")
        ),
        boot=str(values.get("boot", NO_BOOT)),
        setup_code=None if code in (None, 0, "") else str(code),
    )


def bits_of(profile: Profile, spec: PlainMap) -> dict[str, str]:
    """Give the address of each sign that is on or off."""
    bits = {"start": spec.start, "busy": spec.busy, "done": spec.done}
    permits = profile.permits
    bits |= {"remote": permits.remote, "ready": permits.ready}
    return bits | ({"handed_over": permits.handed_over} if permits.handed_over is not None else {})


def numbers_of(profile: Profile, spec: PlainMap) -> dict[str, Place]:
    """Give the place of each number that the machine shows."""
    numbers = {"good": spec.good, "scrap": spec.scrap}
    if spec.boot is not None:
        numbers["boot"] = spec.boot
    if profile.setup_code is not None:
        numbers["setup_code"] = Place(address=profile.setup_code)
    return numbers


def layout_of(place: Place) -> Layout:
    """Give how a value lies in registers; raise `ValueError` for one that cannot be."""
    return Layout(kind=Kind(place.type), order=place.order, scale=place.scale, offset=place.offset)


def map_faults(profile: Profile) -> tuple[str, ...]:
    """List why a profile cannot be driven as a plain machine, whatever its addresses look like."""
    spec = profile.plain
    if spec is None:
        return ("plain: missing; it says where start, busy, done, counters and parameters are",)
    found = [f"recipes.{name}: is not in plain.recipes" for name in profile.recipes.keys() - spec.recipes]
    if profile.effect is not Effect.OBSERVABLE:
        found.append(f"effect: {profile.effect} is not possible without memory of jobs; write observable")
    if spec.pieces_per_count < 1:
        found.append("plain.pieces_per_count: 1 or more")
    elif spec.pieces_per_count > 1 and spec.quantity_in is Unit.PIECES:
        found.append("plain.pieces_per_count: a count of several pieces needs quantity_in: cycles")
    if not 0 < spec.scan_s <= 1:
        found.append(f"plain.scan_s: {spec.scan_s:g} is not above 0 and at most 1")
    for name, place in (("good", spec.good), ("scrap", spec.scrap)):
        if place.type not in _WHOLE or (place.scale, place.offset) != (1, 0):
            found.append(f"plain.{name}: a counter is a whole number without scale; pieces_per_count says its worth")
    for name, recipe in spec.recipes.items():
        known = profile.recipes.get(name)
        if known is None:
            found.append(f"plain.recipes.{name}: is not among the recipes")
        elif recipe.parameters.keys() != known.parameters.keys():
            parameters = ", ".join(known.parameters) or "none"
            found.append(f"plain.recipes.{name}: parameters are not those of the recipe ({parameters})")
        if (recipe.number is None) != (spec.recipe is None):
            found.append(f"plain.recipes.{name}: number and plain.recipe belong together: give both or neither")
    return tuple(sorted(found))


def places_of(spec: PlainMap) -> dict[str, Place]:
    """Give every place that holds a number or a text, by its key in the profile."""
    optional = {"recipe": spec.recipe, "boot": spec.boot}
    places = {"good": spec.good, "scrap": spec.scrap, "quantity": spec.quantity}
    places |= {name: place for name, place in optional.items() if place is not None}
    for name, recipe in spec.recipes.items():
        places |= {f"recipes.{name}.parameters.{key}": place for key, place in recipe.parameters.items()}
    return {f"plain.{name}": place for name, place in places.items()}


def _at_work(shown: Shown, trial: Trial, spec: PlainMap) -> Finding:
    if not trial.begun and not trial.ours:
        return _unproven(shown, trial, "a batch is in the machine, but its parameters are not those of this job")
    counts = _counts(shown, trial, spec)
    if trial.steady and (counts is None or sum(counts) > trial.expected):
        return _unproven(shown, trial, "a batch is in the machine, but the counters do not fit to this job")
    return _seen(shown, trial, _phase(shown), counts if trial.steady else None)


def _at_rest_total(shown: Shown, trial: Trial, spec: PlainMap) -> Finding:
    counts, before = _counts(shown, trial, spec), trial.baseline
    if counts is None:
        return _unproven(shown, trial, "the counters went back: they were lost, or are another machine's")
    made = sum(counts)
    if made == trial.expected:
        return _seen(shown, trial, JobPhase.ENDED, counts)
    if trial.begun:
        if shown.done:
            return _seen(shown, trial, JobPhase.ENDED, None)  # the count is not this job's: a person says it
        if trial.persistent and made < trial.expected:
            return _seen(shown, trial, JobPhase.ABORTED, counts, reason="ended before all pieces were made")
    elif made == 0 and before.done and shown.done:
        # Each start takes the done before away. Counters that somebody sets to 0 meanwhile have gone back,
        # unless this very batch brings them up again to where they stood.
        if (before.good + before.scrap) * spec.pieces_per_count > trial.expected:
            evidence = f"the batch before is still shown as done, and nothing was counted: {_evidence(shown)}"
            return Finding(job_id=trial.job_id, phase=None, evidence=f"unknown job: {evidence}")
        return _unproven(shown, trial, "the counters were so low before that they may have been set to 0 since")
    elif made == 0 and not before.done:
        return _unproven(
            shown, trial, "nothing was counted, but a start broken off before its first piece shows nothing"
        )
    return _unproven(
        shown, trial, f"{made} of {trial.expected} pieces were counted since, and nothing is in the machine"
    )


def _at_rest_batch(shown: Shown, trial: Trial, spec: PlainMap) -> Finding:
    """Judge by counters that each start sets to 0: they never prove that a start did not happen."""
    if not shown.done:
        return _unproven(shown, trial, "nothing is in the machine, and no batch is shown as done")
    counts, before = (shown.good * spec.pieces_per_count, shown.scrap * spec.pieces_per_count), trial.baseline
    new = trial.begun or not before.done or (shown.good, shown.scrap) != (before.good, before.scrap)
    if new and sum(counts) == trial.expected:
        return _seen(shown, trial, JobPhase.ENDED, counts)
    if trial.begun:
        return _seen(shown, trial, JobPhase.ENDED, None)
    cause = "a batch of another size has ended since" if new else "a batch of the same size would look the same"
    return _unproven(shown, trial, cause)


def _counts(shown: Shown, trial: Trial, spec: PlainMap) -> tuple[int, int] | None:
    """Give the pieces good and scrap since the start; None where a counter went back."""
    before = (trial.baseline.good, trial.baseline.scrap) if spec.counting is Counting.TOTAL else (0, 0)
    good, scrap = shown.good - before[0], shown.scrap - before[1]
    if good < 0 or scrap < 0:
        return None
    return good * spec.pieces_per_count, scrap * spec.pieces_per_count


def _seen(
    shown: Shown, trial: Trial, phase: JobPhase, counts: tuple[int, int] | None, *, reason: str | None = None
) -> Finding:
    return Finding(
        job_id=trial.job_id,
        phase=phase,
        evidence=f"{_evidence(shown)}; before the start: {trial.baseline}; {trial.expected} pieces asked",
        produced=None if counts is None else sum(counts),
        good=None if counts is None else counts[0],
        reason=reason,
    )


def _unproven(shown: Shown, trial: Trial, cause: str) -> Finding:
    evidence = f"unknown job: {cause}: {_evidence(shown)}; before the start: {trial.baseline}"
    return Finding(job_id=trial.job_id, phase=None, evidence=evidence, unproven=cause)


def _phase(shown: Shown) -> JobPhase:
    moves = shown.permits.remote is True and shown.permits.ready is True
    return JobPhase.RUNNING if moves else JobPhase.INTERRUPTED


def _evidence(shown: Shown) -> str:
    signs: Sequence[str] = [name for name in ("start", "busy", "done") if getattr(shown, name)]
    return f"{', '.join(signs) or 'idle, not done'}, good {shown.good}, scrap {shown.scrap}"


def _permit(values: dict[str, Scalar | None], name: str) -> bool | None:
    value = values.get(name)
    return value if isinstance(value, bool) else None
