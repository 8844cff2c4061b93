"""Whatever happens to the oven: nothing moves by itself, nothing starts twice, memory comes back as its kind does."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from simulators.journal import Event
from simulators.oven.memory import Kept, RetentiveMemory
from simulators.oven.registers import Cmd
from simulators.oven.settings import Retention
from simulators.oven.turn import JobState, Reason
from tests.simulators.oven_bench import Bench, starts

LOSSES: list[dict[str, Any]] = [
    {"remote": False},
    {"guard_shut": False},
    {"fault": True},
    {"mode": "manual"},
    {"tool": "2"},
]


class OvenHistory(RuleBasedStateMachine):
    """Any order of commands, touches, silence and power cuts, at every assignment of every scan."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(handed_over=False, cycle_s=5.0)
        self.pressed = False  # Start was pressed, with all in order, since the last fall or boot
        self.hwm = 0
        self.was_moving = False

    def _scan(self, seconds: float = 0.02, **buttons: Any) -> None:
        self.bench.scan(seconds, **buttons)
        if not self.bench.plc.handed_over:
            self.pressed = False
        elif buttons.get("start"):
            self.pressed = True

    @initialize(may_start_itself=st.booleans())
    def choose(self, may_start_itself: bool) -> None:
        self.bench = Bench(handed_over=False, cycle_s=5.0, may_start_itself=may_start_itself)

    @rule(cmd=st.sampled_from(Cmd), job_no=st.integers(0, 5), quantity=st.integers(0, 3))
    def send(self, cmd: Cmd, job_no: int, quantity: int) -> None:
        self.bench.write(cmd, job_no, target=quantity)
        self._scan()

    @rule(seconds=st.sampled_from([0.02, 4.0, 5.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self._scan(seconds)

    @rule(loss=st.sampled_from(LOSSES), scans=st.integers(0, 2))
    def lose_a_permit(self, loss: dict[str, Any], scans: int) -> None:
        before = self.bench.inputs
        self.bench.hold(**loss)
        self._scan()
        assert not self.bench.plc.handed_over
        for _ in range(scans):
            self._scan(7.0)
        self.bench.inputs = before
        self._scan()

    @rule(silent=st.booleans())
    def silence(self, silent: bool) -> None:
        self.bench.silent = silent

    @rule(reset=st.booleans())
    def press_start(self, reset: bool) -> None:
        self._scan(reset=reset, start=True)

    @rule(commands_kept=st.booleans(), cmd=st.sampled_from(Cmd), job_no=st.integers(1, 5), at=st.integers(0, 9))
    def cut_the_power(self, commands_kept: bool, cmd: Cmd, job_no: int, at: int) -> None:
        """Cut it between any two assignments of a scan that works off a command; that scan's motion has not begun."""
        bench = self.bench
        bench.write(cmd, job_no)
        deeds, before = len(bench.deeds), bench.kept
        bench.scan()
        memory = [before, *bench.writes]
        if at < len(bench.writes):
            del bench.deeds[deeds:]
        bench.power_cut(memory[min(at, len(memory) - 1)], commands_kept=commands_kept)
        self.pressed = False
        assert bench.state not in (JobState.ALLOWED_TO_START, JobState.RUNNING)

    @invariant()
    def moves_only_after_a_press_of_start(self) -> None:
        assert not self.bench.plc.moves or self.pressed

    @invariant()
    def starts_each_job_once(self) -> None:
        assert all(count == 1 for count in starts(self.bench.deeds).values())

    @invariant()
    def never_takes_the_mark_back(self) -> None:
        assert self.bench.kept.hwm_job >= self.hwm
        self.hwm = self.bench.kept.hwm_job


TestOvenHistory = OvenHistory.TestCase
TestOvenHistory.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_a_fallen_permit_never_leads_to_motion_by_commands_and_time_alone() -> None:
    steps: list[Callable[[Bench], object]] = [
        lambda bench: bench.send(Cmd.LOAD_START, 2),
        lambda bench: bench.send(Cmd.START, 2),
        lambda bench: bench.send(Cmd.RESUME, 1),
        lambda bench: bench.send(Cmd.STOP, 1),
        lambda bench: bench.send(Cmd.CLEAR, 1),
        lambda bench: bench.scan(reset=True),
        lambda bench: bench.scan(60),
    ]
    for order in itertools.product(steps, repeat=4):
        bench = Bench().running(target=9)
        bench.scan(guard_shut=False)
        begun = len([event for event in bench.events if event in (Event.START, Event.RESUME)])
        for step in order:
            step(bench)
        bench.scan(60)
        assert len([event for event in bench.events if event in (Event.START, Event.RESUME)]) == begun


@settings(max_examples=30, deadline=None)
@given(at=st.integers(0, 7), target=st.integers(1, 3))
def test_a_power_cut_at_any_assignment_of_an_acceptance_leaves_it_done_or_not_done(at: int, target: int) -> None:
    bench = Bench()
    before = bench.kept
    bench.send(Cmd.LOAD_START, 1, target=target)
    memory = [before, *bench.writes][at]
    bench.power_cut(memory)
    assert (bench.kept.slot_job, bench.kept.hwm_job, bench.state) in {(0, 0, 0), (1, 1, 1), (1, 1, 4)}
    if bench.kept.hwm_job < 1:  # the gateway may send again: it was never accepted
        assert bench.send(Cmd.LOAD, 1, target=target) == 1
    else:
        assert bench.send(Cmd.LOAD, 1, target=target) == 2
    bench.scan(reset=True, start=True)
    bench.scan()
    bench.scan(100)
    assert (starts(bench.deeds), bench.kept.total_produced) == ({1: 1}, target)


def test_a_memory_that_lags_lets_the_same_number_start_twice() -> None:
    """The harness sees it: this is what `retention: lagging` must make the gateway ask about."""
    bench = Bench()
    old = bench.kept
    bench.running(target=2)
    bench.power_cut(old)
    assert bench.kept.hwm_job == 0
    bench.scan(reset=True, start=True)
    bench.running(target=2)
    assert starts(bench.deeds) == {1: 2}


# The file


def test_a_synchronous_memory_holds_each_change_at_once(tmp_path: Path) -> None:
    memory = RetentiveMemory(tmp_path / "m.json", retention=Retention.SYNCHRONOUS, save_every_s=3)
    assert memory.recall().kept == Kept()
    changed = Kept(hwm_job=3, order_id=tuple(range(16)), run_s=1.5, moved=True)
    memory.keep(changed, [1, 2], machine_s=0)
    assert (memory.recall().kept, memory.recall().command) == (changed, (1, 2))


def test_a_lagging_memory_goes_back_in_time(tmp_path: Path) -> None:
    memory = RetentiveMemory(tmp_path / "m.json", retention=Retention.LAGGING, save_every_s=3)
    memory.recall()
    memory.keep(Kept(boot_count=1), [], machine_s=100.0)  # right after boot it is saved, whatever its pace
    memory.keep(Kept(boot_count=1, hwm_job=1), [], machine_s=102.9)
    assert memory.recall().kept == Kept(boot_count=1)
    memory.keep(Kept(boot_count=2), [], machine_s=200.0)
    memory.keep(Kept(boot_count=2, hwm_job=1), [], machine_s=203.0)
    assert memory.recall().kept == Kept(boot_count=2, hwm_job=1)


def test_a_lost_memory_is_empty(tmp_path: Path) -> None:
    memory = RetentiveMemory(tmp_path / "m.json", retention=Retention.LOST, save_every_s=3)
    memory.keep(Kept(hwm_job=3), [], machine_s=0)
    assert memory.recall().kept == Kept()


def test_an_erased_memory_is_empty(tmp_path: Path) -> None:
    memory = RetentiveMemory(tmp_path / "m.json", retention=Retention.SYNCHRONOUS, save_every_s=3)
    memory.keep(Kept(hwm_job=3), [], machine_s=0)
    memory.erase()
    assert memory.recall().kept == Kept()


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.INTERRUPTED])
def test_a_kept_start_before_its_motion_is_a_start_and_no_resumption(state: JobState) -> None:
    bench = Bench()
    bench.send(Cmd.LOAD_START)
    bench.power_cut(replace(bench.kept, job_state=state))
    assert (bench.state, bench.kept.job_reason) == (JobState.INTERRUPTED, Reason.POWER)
    bench.scan(reset=True, start=True)
    bench.scan()
    assert bench.events == [Event.START]
