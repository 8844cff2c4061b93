"""The press as a pure machine: what moves, what never moves, and what the journal says of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.journal import Event
from simulators.press.jobs import JobOrder, JobState, Result, Status
from simulators.press.machine import PressMachine
from simulators.press.settings import Duplicates, PressSimulation

T0 = datetime(2026, 5, 4, 6, tzinfo=UTC)


class Bench:
    """A press with a diary in memory and a clock that is set by hand."""

    def __init__(self, *, handed_over: bool = True, **wanted: Any) -> None:
        self.now = T0
        self.diary: list[tuple[Event, str]] = []
        self.counts: list[tuple[int, int]] = []
        self.states_at_entry: list[JobState] = []
        self.press = PressMachine(PressSimulation(journal=Path("unused"), **wanted), diary=self._write)
        if handed_over:
            self.press.reset(self.now)
            self.press.press_start(self.now)

    def _write(self, event: Event, *, job: str, good: int, scrap: int) -> None:
        self.diary.append((event, job))
        self.counts.append((good, scrap))
        entry = self.press.find(job)
        assert entry is not None
        self.states_at_entry.append(entry.state)

    def pass_time(self, seconds: float) -> datetime | None:
        self.now += timedelta(seconds=seconds)
        return self.press.update(self.now)

    def send(self, job_id: str, *, cycles: int = 3, priority: int = 0, release: bool = True) -> Status:
        order = JobOrder(job_id=job_id, cycles=cycles, priority=priority, work_master="tray")
        return self.press.store(order, self.now, release=release)

    def state(self, job_id: str) -> JobState | None:
        job = self.press.find(job_id)
        return None if job is None else job.state

    def starts(self, job_id: str) -> int:
        return self.diary.count((Event.START, job_id))


def test_a_released_job_starts_by_itself_and_ends_after_its_cycles() -> None:
    bench = Bench(cycle_s=20)
    assert bench.send("A", cycles=3) is Status.OK
    assert bench.pass_time(59) == T0 + timedelta(seconds=60)
    assert bench.state("A") is JobState.RUNNING
    assert bench.pass_time(1) is None

    job = bench.press.find("A")
    assert job is not None
    assert (job.state, job.produced, job.good, job.result) == (JobState.ENDED, 3, 3, Result.SUCCESSFUL)
    assert (job.started_at, job.ended_at) == (T0, T0 + timedelta(seconds=60))
    assert bench.diary == [(Event.START, "A"), (Event.END, "A")]


def test_the_journal_is_written_before_the_state_says_running() -> None:
    bench = Bench()
    bench.send("A")
    assert bench.states_at_entry == [JobState.ALLOWED_TO_START]
    assert bench.state("A") is JobState.RUNNING


def test_nothing_moves_when_the_journal_cannot_be_written() -> None:
    def full_disk(event: Event, *, job: str, good: int, scrap: int) -> None:
        raise OSError(f"no space left for {event} of {job} with {good} and {scrap}")

    press = PressMachine(PressSimulation(journal=Path("unused")), diary=full_disk)
    press.reset(T0)
    press.press_start(T0)
    with pytest.raises(OSError, match="no space"):
        press.store(JobOrder(job_id="A", cycles=1), T0, release=True)
    assert press.current is None


def test_a_late_update_makes_the_pieces_at_their_own_times() -> None:
    bench = Bench(cycle_s=20)
    bench.send("A", cycles=3)
    bench.pass_time(1000)
    job = bench.press.find("A")
    assert job is not None
    assert job.ended_at == T0 + timedelta(seconds=60)


def test_set_up_time_is_taken_when_the_work_master_changes() -> None:
    bench = Bench(cycle_s=20, setup_s=100)
    bench.send("A", cycles=1)
    bench.send("B", cycles=1)
    assert bench.pass_time(119) == T0 + timedelta(seconds=120)
    bench.pass_time(1)
    assert bench.state("B") is JobState.RUNNING
    bench.pass_time(20)
    assert bench.state("B") is JobState.ENDED


def test_jobs_run_one_at_a_time_by_priority_then_arrival() -> None:
    bench = Bench(cycle_s=20)
    bench.send("first", cycles=1)
    bench.send("low", cycles=1)
    bench.send("high", cycles=1, priority=5)
    bench.send("low-too", cycles=1)
    for _ in range(4):
        bench.pass_time(20)
    assert [job for event, job in bench.diary if event is Event.START] == ["first", "high", "low", "low-too"]


def test_scrap_on_request_is_produced_but_not_good() -> None:
    bench = Bench(cycle_s=20)
    bench.press.scrap_next = 2
    bench.send("A", cycles=3)
    bench.pass_time(60)
    job = bench.press.find("A")
    assert job is not None
    assert (job.produced, job.good, job.scrap) == (3, 1, 2)
    assert bench.counts == [(0, 0), (1, 2)]


def test_the_same_seed_scraps_the_same_pieces() -> None:
    def goods(seed: int) -> list[int]:
        bench = Bench(cycle_s=1, scrap_rate=0.5, seed=seed)
        bench.send("A", cycles=40)
        found = []
        for _ in range(40):
            bench.pass_time(1)
            job = bench.press.find("A")
            assert job is not None
            found.append(job.good)
        return found

    assert goods(7) == goods(7)
    assert goods(7) != goods(8)


def test_without_remote_no_job_is_taken() -> None:
    bench = Bench()
    bench.press.select(bench.now, remote=False)
    assert bench.send("A") is Status.UNABLE_TO_ACCEPT
    assert bench.send("A", release=False) is Status.UNABLE_TO_ACCEPT
    assert bench.press.jobs == []


def test_without_hand_over_a_job_is_loaded_and_only_start_at_the_panel_moves_it() -> None:
    bench = Bench(handed_over=False)
    assert bench.send("A") is Status.OK
    assert bench.state("A") is JobState.NOT_ALLOWED_TO_START
    assert bench.press.start("A", bench.now) is Status.UNABLE_TO_ACCEPT

    bench.press.press_start(bench.now)
    assert bench.diary == []  # the reset is not done

    bench.press.reset(bench.now)
    bench.pass_time(100)
    assert bench.diary == []  # nobody has pressed Start

    bench.press.press_start(bench.now)
    assert bench.state("A") is JobState.RUNNING


def test_an_opened_guard_stops_all_and_only_start_at_the_panel_lets_it_go_on() -> None:
    bench = Bench(cycle_s=20)
    bench.send("A", cycles=2)
    bench.send("B", cycles=1)
    bench.pass_time(15)
    bench.press.open_guard(bench.now)
    assert (bench.state("A"), bench.state("B")) == (JobState.INTERRUPTED, JobState.NOT_ALLOWED_TO_START)
    assert (bench.press.remote, bench.press.ready, bench.press.handed_over) == (True, False, False)

    bench.press.shut_guard(bench.now)
    bench.press.reset(bench.now)
    bench.pass_time(1000)
    assert bench.press.ready
    assert bench.press.start("B", bench.now) is Status.UNABLE_TO_ACCEPT
    assert bench.press.resume("A", bench.now) is Status.UNABLE_TO_ACCEPT
    assert bench.diary == [(Event.START, "A"), (Event.INTERRUPT, "A")]

    bench.press.press_start(bench.now)
    assert (bench.state("A"), bench.state("B")) == (JobState.RUNNING, JobState.ALLOWED_TO_START)
    bench.pass_time(5 + 20)  # what was left of the first cycle, and the second
    assert (bench.state("A"), bench.state("B")) == (JobState.ENDED, JobState.RUNNING)
    assert bench.starts("A") == 1


@pytest.mark.parametrize("fall", ["guard", "selector", "fault", "mode"])
def test_every_fall_takes_the_hand_over_away(fall: str) -> None:
    bench = Bench()
    bench.send("A")
    match fall:
        case "guard":
            bench.press.open_guard(bench.now)
        case "selector":
            bench.press.select(bench.now, remote=False)
            bench.press.select(bench.now, remote=True)
        case "fault":
            bench.press.fail(bench.now, "no oil")
        case _:
            bench.press.set_mode(bench.now, "setup")
            bench.press.set_mode(bench.now, "production")
    assert not bench.press.handed_over
    assert bench.state("A") is JobState.INTERRUPTED


def test_a_paused_job_is_resumed_by_a_method_but_not_after_a_fall() -> None:
    bench = Bench()
    bench.send("A")
    assert bench.press.pause("A", bench.now) is Status.OK
    assert bench.press.resume("A", bench.now) is Status.OK
    assert bench.state("A") is JobState.RUNNING

    bench.press.pause("A", bench.now)
    bench.press.fail(bench.now, "no oil")
    bench.press.reset(bench.now)
    assert bench.press.resume("A", bench.now) is Status.UNABLE_TO_ACCEPT


def test_a_press_that_may_not_start_itself_starts_one_job_for_each_press_of_start() -> None:
    bench = Bench(may_start_itself=False, cycle_s=20)
    bench.send("A", cycles=1)
    bench.send("B", cycles=1)
    assert bench.press.start("A", bench.now) is Status.UNABLE_TO_ACCEPT
    assert bench.diary == []
    bench.press.press_start(bench.now)
    bench.pass_time(100)
    assert (bench.state("A"), bench.state("B")) == (JobState.ENDED, JobState.NOT_ALLOWED_TO_START)


def test_store_then_start_then_revoke_follow_the_transition_table() -> None:
    bench = Bench()
    bench.send("busy")
    assert bench.send("A", release=False) is Status.OK
    assert bench.state("A") is JobState.NOT_ALLOWED_TO_START
    assert bench.press.revoke_start("A", bench.now) is Status.INVALID_JOB_STATUS
    assert bench.press.start("A", bench.now) is Status.OK
    assert bench.press.start("A", bench.now) is Status.INVALID_JOB_STATUS
    assert bench.press.revoke_start("A", bench.now) is Status.OK
    assert bench.state("A") is JobState.NOT_ALLOWED_TO_START
    assert bench.press.change(JobOrder(job_id="A", cycles=9), bench.now) is Status.OK
    assert bench.press.change(JobOrder(job_id="busy", cycles=9), bench.now) is Status.INVALID_JOB_STATUS


def test_an_unknown_job_is_bit_1_in_every_method() -> None:
    press, now = Bench().press, T0
    calls = [press.start, press.revoke_start, press.pause, press.resume, press.stop]
    calls += [press.abort, press.cancel, press.clear]
    assert {call("X", now) for call in calls} == {Status.UNKNOWN_JOB}
    assert press.change(JobOrder(job_id="X", cycles=1), now) is Status.UNKNOWN_JOB


def test_clear_forgets_finished_jobs_and_cancel_removes_those_not_started() -> None:
    bench = Bench(cycle_s=20)
    bench.send("A", cycles=1)
    bench.send("B", cycles=1)
    assert bench.press.clear("A", bench.now) is Status.INVALID_JOB_STATUS
    assert bench.press.cancel("A", bench.now) is Status.INVALID_JOB_STATUS
    assert bench.press.clear("B", bench.now) is Status.INVALID_JOB_STATUS
    assert bench.press.cancel("B", bench.now) is Status.OK
    bench.pass_time(20)
    assert bench.press.cancel("A", bench.now) is Status.INVALID_JOB_STATUS
    assert bench.press.clear("A", bench.now) is Status.OK
    assert bench.press.jobs == []


def test_stop_ends_early_with_what_is_made_and_abort_aborts() -> None:
    bench = Bench(cycle_s=20)
    bench.send("A", cycles=5)
    bench.send("B", cycles=5)
    bench.send("C", cycles=5)
    bench.pass_time(45)
    assert bench.press.stop("B", bench.now) is Status.INVALID_JOB_STATUS
    assert bench.press.stop("A", bench.now) is Status.OK
    assert bench.press.abort("B", bench.now) is Status.OK
    assert bench.press.abort("A", bench.now) is Status.INVALID_JOB_STATUS

    job = bench.press.find("A")
    assert job is not None
    assert (job.state, job.produced, job.result) == (JobState.ENDED, 2, Result.UNSUCCESSFUL)
    assert bench.state("B") is JobState.ABORTED
    assert bench.state("C") is JobState.RUNNING


def test_an_aborted_job_that_never_moved_is_not_in_the_journal() -> None:
    bench = Bench(handed_over=False)
    bench.send("A")
    assert bench.press.abort("A", bench.now) is Status.OK
    assert bench.diary == []


def test_a_full_list_takes_no_more_jobs() -> None:
    bench = Bench(max_jobs=2)
    assert [bench.send(job) for job in "ABC"] == [Status.OK, Status.OK, Status.UNABLE_TO_ACCEPT]


def test_an_order_for_no_work_is_not_taken() -> None:
    assert Bench().send("A", cycles=0) is Status.UNABLE_TO_ACCEPT


@pytest.mark.parametrize(
    ("duplicates", "answer", "starts"),
    [
        (Duplicates.REJECT, Status.UNABLE_TO_ACCEPT, 1),
        (Duplicates.ACCEPT, Status.OK, 1),
        (Duplicates.RUN, Status.OK, 2),
    ],
)
def test_a_repeated_job_id_is_treated_as_told_and_a_second_run_stands_in_the_journal(
    duplicates: Duplicates, answer: Status, starts: int
) -> None:
    bench = Bench(duplicates=duplicates, cycle_s=20)
    bench.send("A", cycles=1)
    assert bench.send("A", cycles=1) is answer
    bench.pass_time(100)
    bench.pass_time(100)
    assert bench.starts("A") == starts


def test_a_job_sent_again_after_clear_is_a_second_start_in_the_journal() -> None:
    bench = Bench(cycle_s=20)
    bench.send("A", cycles=1)
    bench.pass_time(20)
    bench.press.clear("A", bench.now)
    bench.send("A", cycles=1)
    assert bench.starts("A") == 2


_ACTS = (
    "open",
    "shut",
    "reset",
    "press",
    "local",
    "remote",
    "fail",
    "wait",
    "send",
    "store",
    "start",
    "resume",
    "pause",
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(_ACTS), st.integers(0, 3)), max_size=40))
def test_after_a_fall_nothing_moves_before_start_is_pressed_whatever_happens(acts: list[tuple[str, int]]) -> None:
    bench = Bench(handed_over=False, cycle_s=20)
    press = bench.press
    may_move = False
    for act, number in acts:
        before = len(bench.diary)
        match act:
            case "open":
                press.open_guard(bench.now)
            case "shut":
                press.shut_guard(bench.now)
            case "reset":
                press.reset(bench.now)
            case "press":
                press.press_start(bench.now)
                may_move = may_move or (press.remote and press.ready)
            case "local" | "remote":
                press.select(bench.now, remote=act == "remote")
            case "fail":
                press.fail(bench.now, "no oil")
            case "wait":
                bench.pass_time(7 * number)
            case "send" | "store":
                bench.send(f"J{number}", release=act == "send")
            case _:
                getattr(press, act)(f"J{number}", bench.now)
        moved = {event for event, _ in bench.diary[before:]} & {Event.START, Event.RESUME}
        assert not moved or may_move
        if act in {"open", "local", "fail"}:
            may_move = False
        running = [job for job in press.jobs if job.state is JobState.RUNNING]
        assert len(running) <= 1
        assert not running or may_move
        assert all(bench.starts(f"J{each}") <= 1 for each in range(4))
