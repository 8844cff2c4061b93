"""What a machine without memory of jobs proves of a start: single readings, and every short history."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from drivers import plain
from drivers.base import Finding, JobPhase, Permits
from drivers.catalog import profile_faults
from drivers.modbus.places import Area, Span, Spot, plain_faults, spans_of
from drivers.plain import Baseline, Shown, Trial
from drivers.profile import Counting, Effect, PermitTags, Place, Unit
from tests.drivers.plain_samples import plain_driver, plain_map, plain_profile, trim

ALLOWED = Permits(remote=True, ready=True, handed_over=None)
EXPECTED = 2


def shown(**changes: Any) -> Shown:
    fields: dict[str, Any] = {"start": False, "busy": False, "done": False, "good": 5, "scrap": 1, "permits": ALLOWED}
    return Shown(**fields | changes)


def told(now: Shown, before: Baseline, *, begun: bool = False, **changes: Any) -> Finding:
    spec = changes.pop("spec", plain_map())
    fields: dict[str, Any] = {"steady": True, "ours": True, "persistent": False}
    trial = Trial(job_id="LUND-1-1", expected=EXPECTED, baseline=before, begun=begun, **fields | changes)
    return plain.finding_of(now, trial, spec)


# Every short history ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Saw:
    """A plain machine as an automaton, with what nobody can see: how often it was started for us."""

    busy: bool = False
    done: bool = False
    good: int = 0
    left: int = 0
    ours: int = 0

    def after(self, event: str, *, batch: bool) -> "Saw":
        """Give what follows; an event that is not possible now changes nothing."""
        match event:
            case "our start" | "own start" if not self.busy:
                ours = event == "our start"
                good = 0 if batch else self.good
                size = EXPECTED if ours else 1
                return replace(self, busy=True, done=False, left=size, good=good, ours=self.ours + ours)
            case "piece" if self.busy:
                ended = self.left == 1
                return replace(self, good=self.good + 1, left=self.left - 1, busy=not ended, done=ended)
            case "broken off" if self.busy:
                return replace(self, busy=False, left=0)
            case "power cut":
                return replace(self, busy=False, done=False, left=0)
            case "power cut, counters lost":
                return replace(self, busy=False, done=False, left=0, good=0)
            case "counters set to 0" if not self.busy:
                return replace(self, good=0)
            case "done taken back":
                return replace(self, done=False)
        return self


EVENTS = (
    "our start",
    "own start",
    "piece",
    "broken off",
    "power cut",
    "power cut, counters lost",
    "counters set to 0",
    "done taken back",
)


def judged(saw: Saw, before: Saw, *, batch: bool) -> Finding:
    now = shown(busy=saw.busy, done=saw.done, good=saw.good, scrap=0)
    spec = plain_map(counting=Counting.BATCH if batch else Counting.TOTAL)
    return told(now, Baseline(done=before.done, good=before.good, scrap=0), spec=spec)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A state, and what was done to the machine on the way there that the map does not expect."""

    saw: Saw
    own: bool = False  # work of its own was begun
    reset: bool = False  # counters were set to 0


def reachable(before: Saw, *, batch: bool, events: int) -> dict[Seen, tuple[str, ...]]:
    """Give every state within so many events, and one way there."""
    known: dict[Seen, tuple[str, ...]] = {Seen(saw=before): ()}
    edge = list(known)
    for _ in range(events):
        fresh = []
        for seen, event in itertools.product(edge, EVENTS):
            later = Seen(
                saw=seen.saw.after(event, batch=batch),
                own=seen.own or event == "own start",
                reset=seen.reset or event in {"counters set to 0", "power cut, counters lost"},
            )
            if later.saw.ours <= 1 and later not in known:
                known[later] = (*known[seen], event)
                fresh.append(later)
        edge = fresh
    return known


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize(
    "before",
    [Saw(), Saw(done=True), Saw(good=4), Saw(good=4, done=True), Saw(good=2, done=True), Saw(good=3, done=True)],
)
def test_no_history_with_a_start_ever_looks_like_proof_that_there_was_none(before: Saw, *, batch: bool) -> None:
    states = reachable(before, batch=batch, events=12)
    assert len(states) > 20
    for seen, history in states.items():
        finding = judged(seen.saw, before, batch=batch)
        if finding.phase is None and finding.unproven is None and seen.saw.ours:
            # The one blind spot: counters set to 0, and then work of its own that brings them back exactly.
            assert seen.own, history
            assert seen.reset, history
        if finding.phase in {JobPhase.RUNNING, JobPhase.ENDED}:
            assert seen.saw.ours or seen.own, history


def test_a_start_that_never_came_and_one_that_was_made_are_both_told() -> None:
    before = Saw(good=4, done=True)
    assert judged(before, before, batch=False).unproven is None
    for batch in (False, True):
        for first in (Saw(), before):
            saw = first
            for event in ("our start", "piece"):
                saw = saw.after(event, batch=batch)
                assert judged(saw, first, batch=batch).phase is JobPhase.RUNNING
            made = judged(saw.after("piece", batch=batch), first, batch=batch)
            assert (made.phase, made.produced, made.good) == (JobPhase.ENDED, 2, 2)


# Single readings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "changes", "phase", "says"),
    [
        (shown(busy=True, good=6), {}, JobPhase.RUNNING, "busy, good 6"),
        (shown(busy=True, permits=replace(ALLOWED, remote=False)), {}, JobPhase.INTERRUPTED, "busy"),
        (shown(busy=True, good=9), {}, None, "do not fit"),
        (shown(busy=True, good=4), {"begun": True}, None, "do not fit"),
        (shown(busy=True, good=9), {"steady": False}, JobPhase.RUNNING, "busy"),
        (shown(busy=True), {"ours": False}, None, "not those of this job"),
        (shown(start=True, done=True), {}, None, "still set"),
        (shown(done=True, good=4), {}, None, "went back"),
        (shown(done=True, good=6, scrap=0), {}, None, "went back"),
        (shown(done=True, good=6), {}, None, "1 of 2 pieces"),
        (shown(done=True, good=6), {"begun": True}, JobPhase.ENDED, "done, good 6"),
        (shown(done=True, good=6, scrap=2), {"begun": True}, JobPhase.ENDED, "done, good 6, scrap 2"),
        (shown(good=6), {"begun": True}, None, "1 of 2 pieces"),
        (shown(good=6), {"begun": True, "persistent": True}, JobPhase.ABORTED, "good 6"),
        (shown(good=9), {"begun": True, "persistent": True}, None, "4 of 2 pieces"),
        (shown(good=6), {"persistent": True}, None, "1 of 2 pieces"),
        (shown(), {}, None, "0 of 2 pieces"),
    ],
)
def test_each_reading_after_a_done_batch_says_what_it_proves(
    now: Shown, changes: dict[str, Any], phase: JobPhase | None, says: str
) -> None:
    finding = told(now, Baseline(done=True, good=5, scrap=1), **changes)
    assert finding.phase is phase
    assert says in finding.evidence
    assert (finding.unproven is not None) == (phase is None)


def test_a_done_that_came_without_a_count_is_no_proof() -> None:
    finding = told(shown(done=True), Baseline(done=False, good=5, scrap=1))
    assert finding.phase is None
    assert finding.unproven


def test_a_count_that_is_not_the_jobs_is_not_told() -> None:
    before = Baseline(done=True, good=5, scrap=1)
    assert told(shown(done=True, good=6), before, begun=True).good is None
    assert told(shown(busy=True, good=6), before, steady=False).produced is None
    assert told(shown(done=True, good=6, scrap=2), before).good == 1


def test_a_baseline_is_taken_only_at_rest_and_reads_back_as_it_was_stored() -> None:
    before = Baseline(done=True, good=5, scrap=1)
    assert plain.look_of(shown(done=True), steady=True).baseline == str(before)
    assert Baseline.parse(str(before)) == before
    for unfit in (shown(busy=True), shown(start=True)):
        assert plain.look_of(unfit, steady=True).baseline is None
    assert plain.look_of(shown(done=True), steady=False).baseline is None
    for text in (None, "", "idle, done, good -1, scrap 0", f"{before} ", "boot 3"):
        with pytest.raises(ValueError, match="no baseline"):
            Baseline.parse(text)


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (shown(), None),
        (shown(busy=True), "busy"),
        (shown(start=True), "set already"),
        (shown(done=True), "has worked or been reset"),
        (shown(good=6), "has worked or been reset"),
        (shown(permits=replace(ALLOWED, remote=None)), "remote"),
        (shown(permits=replace(ALLOWED, ready=False)), "ready"),
        (shown(permits=replace(ALLOWED, handed_over=False)), "Start was not pressed"),
    ],
)
def test_a_start_is_written_only_onto_the_stored_baseline_with_every_permit(now: Shown, says: str | None) -> None:
    fault = plain.fault_before_start(now, Baseline(done=False, good=5, scrap=1))
    assert (fault is None) if says is None else (fault is not None and says in fault)


def test_the_quantity_goes_down_in_the_machines_unit() -> None:
    spec = plain_map(quantity_in=Unit.CYCLES, pieces_per_count=4)
    command = trim(quantity=10, cycles=3)
    assert [value for _, value in plain.values_of(command, spec)] == [3, 3, 120.5]
    assert (plain.expected_of(command, spec), plain.expected_of(command, plain_map())) == (12, 10)


@pytest.mark.parametrize(
    "missing", [{"busy": None}, {"done": 1}, {"good": None}, {"scrap": -1}, {"good": True}, {"boot": None}]
)
def test_a_machine_that_does_not_tell_is_no_machine_to_judge(missing: dict[str, Any]) -> None:
    values: dict[str, Any] = {"start": False, "busy": False, "done": False, "good": 0, "scrap": 0}
    assert plain.shown_of(values).boot == "not told"
    assert plain.shown_of(values | {"boot": 7, "setup_code": 0}).boot == "7"
    with pytest.raises(ValueError, match=r"expected|cannot be read"):
        plain.shown_of(values | missing)


# Profiles ---------------------------------------------------------------------------------------


def test_the_sample_profile_has_no_fault() -> None:
    assert plain_faults(plain_profile()) == ()
    assert profile_faults(plain_profile()) == ()


@pytest.mark.parametrize(
    ("plain_changes", "changes", "says"),
    [
        ({"start": "holding:18"}, {}, "plain.start: 'holding:18' is a whole register where a bit is expected"),
        ({"start": "discrete:0"}, {}, "plain.start: 'discrete:0' can only be read"),
        ({"start": "coil:1"}, {}, "plain: busy lies at coil:1, which is written"),
        ({"busy": "holding:18.16"}, {}, "plain.busy: 'holding:18.16' does not exist"),
        ({"busy": "M5"}, {}, "plain.busy: 'M5' is no address"),
        ({"good": Place(address="coil:5")}, {}, "plain.good: 'coil:5' is a bit where registers are expected"),
        ({"good": Place(address="holding:65535", type="uint32")}, {}, "plain.good: 'holding:65535' leaves no room"),
        ({"good": Place(address="holding:100", type="float32")}, {}, "plain.good: a counter is a whole number"),
        ({"good": Place(address="holding:2")}, {}, "parameters.length_mm: lies where plain.good is"),
        ({"quantity": Place(address="input:1")}, {}, "plain.quantity: 'input:1' can only be read"),
        ({"quantity": Place(address="holding:0")}, {}, "plain.recipe: lies where plain.quantity is"),
        ({"quantity": Place(address="holding:1", type="word")}, {}, "plain.quantity: 'word' is not a valid Kind"),
        ({"recipe": None}, {}, "plain.recipes.trim: number and plain.recipe belong together"),
        ({"recipes": {}}, {}, "recipes.trim: is not in plain.recipes"),
        ({"pieces_per_count": 4}, {}, "plain.pieces_per_count: a count of several pieces needs quantity_in: cycles"),
        ({"pieces_per_count": 0}, {}, "plain.pieces_per_count: 1 or more"),
        ({"scan_s": 0.0}, {}, "plain.scan_s: 0 is not above 0"),
        ({}, {"effect": Effect.REMEMBERED}, "effect: remembered is not possible"),
        ({}, {"permits": PermitTags(remote="coil:0", ready="coil:4")}, "plain: remote lies at coil:0"),
        ({}, {"permits": PermitTags(remote="ready", ready="coil:4")}, "permits.remote: 'ready' is no address"),
        ({}, {"recipes": {}}, "plain.recipes.trim: is not among the recipes"),
    ],
)
def test_a_profile_that_cannot_work_is_told_where(
    plain_changes: dict[str, Any], changes: dict[str, Any], says: str
) -> None:
    profile = plain_profile(plain_map(**plain_changes), **changes)
    assert any(says in fault for fault in plain_faults(profile)), plain_faults(profile)
    with pytest.raises(ValueError, match="profile modbus-plain"):
        plain_driver("modbus://127.0.0.1:1502/1", profile.plain, **changes)


def test_a_profile_without_a_map_is_told_so() -> None:
    assert plain_faults(replace(plain_profile(), plain=None)) == (
        "plain: missing; it says where start, busy, done, counters and parameters are",
    )


@pytest.mark.parametrize(
    ("spots", "spans"),
    [
        (["coil:0", "coil:1", "coil:3"], [(Area.COIL, 0, 2), (Area.COIL, 3, 1)]),
        (["holding:5.3", "holding:5.4", "coil:5"], [(Area.COIL, 5, 1), (Area.HOLDING, 5, 1)]),
    ],
)
def test_only_what_is_asked_for_is_read_in_as_few_requests_as_that_takes(
    spots: Sequence[str], spans: Sequence[tuple[Area, int, int]]
) -> None:
    wanted = [(Spot.parse(spot), 1) for spot in spots]
    assert spans_of(wanted) == tuple(Span(area=area, first=first, count=count) for area, first, count in spans)


def test_a_read_is_never_longer_than_the_protocol_allows() -> None:
    spans = spans_of((Spot.parse(f"holding:{number}"), 1) for number in range(130))
    assert [(span.first, span.count) for span in spans] == [(0, 125), (125, 5)]
