"""The oven's program against the register map, rule by rule."""

import math
from dataclasses import replace
from typing import Any

import pytest

from simulators.journal import Event
from simulators.oven.memory import Kept
from simulators.oven.registers import Ack, Cmd, CommandPlace, Permit, payload_crc
from simulators.oven.turn import JobState, Reason, permits
from simulators.tally import Counts
from simulators.words import WordOrder
from tests.simulators.oven_bench import Bench

READY = Permit.REMOTE | Permit.READY
ALL = READY | Permit.SETUP_OK | Permit.MAY_START_ITSELF | Permit.HANDED_OVER


def test_the_crc_is_that_of_modbus() -> None:
    words = [0] * 59
    words[1:6] = [0x3132, 0x3334, 0x3536, 0x3738, 0x3900]
    check = 0xFFFF
    for byte in b"".join(word.to_bytes(2, "big") for word in words[1:56]):
        check ^= byte
        for _ in range(8):
            check = check >> 1 ^ (0xA001 if check & 1 else 0)
    assert payload_crc(words) == check


# A command and its answer


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({}, Ack.OK),
        ({"crc": 0}, Ack.OK),
        ({"crc": 1}, Ack.BAD_PAYLOAD),
        ({"target": 0}, Ack.BAD_PARAMETER),
        ({"recipe": 0}, Ack.BAD_PARAMETER),
        ({"recipe": 99}, Ack.BAD_PARAMETER),
        ({"count": 17}, Ack.BAD_PARAMETER),
        ({"parameters": (1.0, math.nan)}, Ack.BAD_PARAMETER),
        ({"parameters": (1.0, math.inf)}, Ack.BAD_PARAMETER),
        ({"parameters": (1.0, math.nan), "count": 1}, Ack.OK),
        ({"job_no": 0}, Ack.DUPLICATE),
        ({"cmd": 0}, Ack.BAD_PARAMETER),
        ({"cmd": 9}, Ack.BAD_PARAMETER),
        ({"cmd": Cmd.START, "job_no": 7}, Ack.UNKNOWN_JOB),
        ({"cmd": Cmd.CLEAR, "job_no": 0}, Ack.UNKNOWN_JOB),
    ],
)
def test_a_command_to_an_empty_oven_is_answered(wanted: dict[str, Any], code: Ack) -> None:
    bench = Bench(recipes=frozenset({3}))
    assert bench.send(**{"cmd": Cmd.LOAD, **wanted}) == code
    assert (bench.kept.slot_job, bench.kept.hwm_job) == ((1, 1) if code is Ack.OK else (0, 0))


@pytest.mark.parametrize(
    ("state", "allowed"),
    [
        (JobState.NOT_ALLOWED_TO_START, {Cmd.START: 2, Cmd.ABORT: 6}),
        (JobState.ALLOWED_TO_START, {Cmd.ABORT: 6}),
        (JobState.RUNNING, {Cmd.PAUSE: 4, Cmd.STOP: 5, Cmd.ABORT: 6}),
        (JobState.INTERRUPTED, {Cmd.RESUME: 3, Cmd.STOP: 5, Cmd.ABORT: 6}),
        (JobState.ENDED, {Cmd.CLEAR: 0}),
        (JobState.ABORTED, {Cmd.CLEAR: 0}),
    ],
)
@pytest.mark.parametrize("cmd", [cmd for cmd in Cmd if cmd not in (Cmd.LOAD, Cmd.LOAD_START)])
def test_each_state_takes_its_commands_and_no_other(state: JobState, allowed: dict[Cmd, int], cmd: Cmd) -> None:
    bench = Bench(silent=True)  # with the gateway silent nothing starts by itself in between
    bench.send(Cmd.LOAD)
    bench.plc = replace(bench.plc, kept=replace(bench.kept, job_state=state))
    assert bench.send(cmd, 2) == Ack.UNKNOWN_JOB
    bench.plc = replace(bench.plc, kept=replace(bench.kept, job_state=state))
    code = bench.send(cmd)
    if cmd in allowed:
        assert (code, bench.state) == (Ack.OK, allowed[cmd])
        assert bench.kept.slot_job == (0 if cmd is Cmd.CLEAR else 1)
    else:
        assert (code, bench.state) == (Ack.WRONG_STATE, state)


def test_a_second_job_waits_until_the_slot_is_free() -> None:
    bench = Bench().running(target=1)
    assert bench.send(Cmd.LOAD, 2) == Ack.CANNOT_ACCEPT
    bench.scan(10)
    assert bench.state == JobState.ENDED
    assert bench.send(Cmd.LOAD, 2) == Ack.CANNOT_ACCEPT
    assert bench.send(Cmd.CLEAR, 1) == Ack.OK
    assert (bench.kept.slot_job, bench.state, bench.kept.hwm_job) == (0, JobState.EMPTY, 1)
    assert bench.send(Cmd.LOAD, 1) == Ack.DUPLICATE
    assert bench.send(Cmd.LOAD, 2) == Ack.OK


def test_the_same_sequence_number_is_worked_off_once() -> None:
    bench = Bench()
    bench.send(Cmd.LOAD, 1)
    for _ in range(3):
        bench.words[1:57] = [Cmd.ABORT, 0, 1, *bench.words[4:56], 0]
        bench.scan()
    assert bench.state == JobState.NOT_ALLOWED_TO_START
    bench.words[CommandPlace.CMD_SEQ] = 0
    bench.scan()
    assert bench.state == JobState.NOT_ALLOWED_TO_START


def test_acceptance_is_written_in_the_order_that_survives_a_power_cut() -> None:
    bench = Bench()
    bench.send(Cmd.LOAD_START, 5)
    written = [(kept.slot_job, kept.hwm_job, kept.job_state, kept.ack_seq, kept.ack_code) for kept in bench.writes]
    assert written == [
        (0, 0, 0, 0, 0),  # counters, recipe, order id
        (5, 0, 0, 0, 0),
        (5, 5, 0, 0, 0),
        (5, 5, 2, 0, 0),
        (5, 5, 2, 0, 1),
        (5, 5, 2, 1, 1),
        (5, 5, 3, 1, 1),
    ]
    assert not bench.deeds


def test_clearing_frees_the_slot_before_the_state() -> None:
    bench = Bench().running(target=1)
    bench.scan(10)
    bench.send(Cmd.CLEAR)
    assert [(kept.slot_job, kept.job_state) for kept in bench.writes[:2]] == [(0, 5), (0, 0)]


def test_state_3_is_shown_one_scan_before_the_motion_and_the_start() -> None:
    bench = Bench()
    bench.send(Cmd.LOAD_START)
    assert (bench.state, bench.plc.moves, bench.events) == (JobState.RUNNING, False, [])
    bench.scan()
    assert (bench.plc.moves, bench.events) == (True, [Event.START])


# Work


def test_a_job_is_made_and_counted() -> None:
    bench = Bench(pieces_per_cycle=4).running(target=10)
    for _ in range(3):
        bench.scan(10)
    kept = bench.kept
    assert (bench.state, kept.produced, kept.good, kept.scrap) == (JobState.ENDED, 10, 10, 0)
    assert (kept.total_produced, kept.total_good, round(kept.run_s)) == (10, 10, 30)
    assert bench.events == [Event.START, Event.MADE, Event.MADE, Event.END]
    assert [deed.good for deed in bench.deeds] == [0, 4, 4, 2]


def test_late_scans_make_all_pieces_and_no_more() -> None:
    bench = Bench().running(target=3)
    bench.scan(1000)
    assert (bench.state, bench.kept.produced, round(bench.kept.run_s)) == (JobState.ENDED, 3, 30)


def test_a_counter_of_cycles_counts_cycles() -> None:
    bench = Bench(pieces_per_cycle=10, counts=Counts.CYCLES).running(target=2)
    bench.scan(1000)
    assert (bench.state, bench.kept.produced, bench.kept.total_good) == (JobState.ENDED, 2, 2)


def test_scrap_is_produced_and_not_good() -> None:
    bench = Bench().running(target=3)
    bench.scan(scrap_next=2)
    bench.scan(30)
    assert (bench.kept.produced, bench.kept.good, bench.kept.scrap) == (3, 1, 2)


def test_the_same_seed_scraps_the_same_pieces() -> None:
    def good(seed: int) -> int:
        bench = Bench(scrap_rate=0.5, seed=seed).running(target=200)
        bench.scan(2000)
        return bench.kept.good

    assert good(1) == good(1)
    assert len({good(seed) for seed in range(4)}) > 1
    assert 60 < good(1) < 140


def test_a_pause_keeps_what_is_left_of_the_cycle() -> None:
    bench = Bench().running(target=1)
    bench.scan(4)
    assert bench.send(Cmd.PAUSE) == Ack.OK
    assert (bench.state, bench.kept.job_reason, bench.plc.moves) == (JobState.INTERRUPTED, Reason.PAUSED, False)
    bench.scan(100)
    assert bench.send(Cmd.RESUME) == Ack.OK
    bench.scan()
    bench.scan(5.9)
    assert bench.state == JobState.RUNNING
    bench.scan(0.1)
    assert bench.state == JobState.ENDED
    assert bench.events == [Event.START, Event.INTERRUPT, Event.RESUME, Event.END]


@pytest.mark.parametrize(("cmd", "event"), [(Cmd.STOP, Event.END), (Cmd.ABORT, Event.ABORT)])
def test_a_job_that_is_ended_early_keeps_its_counts(cmd: Cmd, event: Event) -> None:
    bench = Bench().running(target=5)
    bench.scan(25)
    assert bench.send(cmd) == Ack.OK
    assert (bench.kept.produced, bench.plc.moves, bench.events[-1]) == (2, False, event)
    bench.scan(100)
    assert bench.kept.produced == 2


def test_an_aborted_job_that_never_moved_leaves_no_trace_in_the_journal() -> None:
    bench = Bench()
    bench.send(Cmd.LOAD)
    bench.send(Cmd.ABORT)
    assert (bench.state, bench.deeds) == (JobState.ABORTED, [])


# Permits

FALLS: list[tuple[dict[str, Any], Reason]] = [
    ({"remote": False}, Reason.SELECTOR),
    ({"guard_shut": False}, Reason.GUARD),
    ({"fault": True}, Reason.FAULT),
    ({"mode": "maintenance"}, Reason.MODE),
    ({"tool": "9"}, Reason.TOOL),
]


@pytest.mark.parametrize(("fall", "reason"), FALLS)
def test_a_fallen_permit_interrupts_and_only_start_lets_go_on(fall: dict[str, Any], reason: Reason) -> None:
    bench = Bench().running(target=5)
    bench.scan(**fall)
    assert (bench.state, bench.kept.job_reason, bench.plc.moves) == (JobState.INTERRUPTED, reason, False)
    assert not bench.plc.handed_over
    bench.scan(reset=True)
    assert permits(bench.plc, bench.inputs, bench.settings) == ALL & ~Permit.HANDED_OVER
    assert bench.send(Cmd.RESUME) == Ack.CANNOT_ACCEPT
    bench.scan(100)
    assert not bench.plc.moves
    bench.scan(start=True)
    bench.scan()
    assert (bench.plc.moves, bench.events) == (True, [Event.START, Event.INTERRUPT, Event.RESUME])


@pytest.mark.parametrize(("fall", "reason"), FALLS)
def test_a_fallen_permit_withdraws_a_released_job(fall: dict[str, Any], reason: Reason) -> None:
    bench = Bench(silent=True)
    assert bench.send(Cmd.LOAD_START) == Ack.OK
    assert bench.state == JobState.ALLOWED_TO_START
    bench.scan(**fall)
    assert (bench.state, bench.kept.job_reason) == (JobState.NOT_ALLOWED_TO_START, reason)
    bench.silent = False
    bench.scan(reset=True)
    assert bench.send(Cmd.START) == Ack.CANNOT_ACCEPT
    bench.scan(100)
    assert (bench.state, bench.deeds) == (JobState.NOT_ALLOWED_TO_START, [])


def test_a_permit_that_falls_between_state_3_and_motion_prevents_the_motion() -> None:
    bench = Bench()
    bench.send(Cmd.LOAD_START)
    assert bench.state == JobState.RUNNING
    bench.scan(guard_shut=False)
    assert (bench.state, bench.deeds) == (JobState.INTERRUPTED, [])
    bench.scan(reset=True, start=True)
    bench.scan()
    assert bench.events == [Event.START]


def test_without_remote_a_load_is_refused() -> None:
    bench = Bench()
    bench.hold(remote=False)
    assert bench.send(Cmd.LOAD) == Ack.CANNOT_ACCEPT
    assert bench.send(Cmd.LOAD_START) == Ack.CANNOT_ACCEPT
    assert bench.kept.hwm_job == 0


@pytest.mark.parametrize("wanted", [{"handed_over": False}, {"may_start_itself": False}])
def test_load_and_start_only_loads_where_the_oven_may_not_start_itself(wanted: dict[str, Any]) -> None:
    bench = Bench(**wanted)
    assert bench.send(Cmd.LOAD_START) == Ack.OK
    assert bench.state == JobState.NOT_ALLOWED_TO_START
    assert bench.send(Cmd.START) == Ack.CANNOT_ACCEPT
    bench.scan(reset=True, start=True)
    bench.scan()
    assert bench.events == [Event.START]


def test_start_at_the_panel_does_nothing_while_not_ready() -> None:
    bench = Bench(handed_over=False)
    bench.send(Cmd.LOAD)
    bench.scan(start=True)
    bench.scan(reset=True)
    assert (bench.plc.handed_over, bench.state) == (False, JobState.NOT_ALLOWED_TO_START)


def test_a_recipe_that_needs_another_tool_waits_for_the_tool_and_for_start() -> None:
    bench = Bench(tools={3: 7})
    assert Permit.SETUP_OK in permits(bench.plc, bench.inputs, bench.settings)
    assert bench.send(Cmd.LOAD_START) == Ack.OK
    assert bench.state == JobState.NOT_ALLOWED_TO_START
    assert Permit.SETUP_OK not in permits(bench.plc, bench.inputs, bench.settings)
    assert bench.send(Cmd.START) == Ack.CANNOT_ACCEPT
    bench.scan(start=True)
    assert bench.state == JobState.NOT_ALLOWED_TO_START
    bench.hold(tool="7")
    bench.scan()
    assert bench.send(Cmd.START) == Ack.CANNOT_ACCEPT  # fitting a tool took the hand-over
    bench.scan(start=True)
    bench.scan()
    assert bench.plc.moves


def test_an_unknown_tool_is_no_set_up() -> None:
    bench = Bench(tool=0)
    assert Permit.SETUP_OK not in permits(bench.plc, bench.inputs, bench.settings)
    bench.send(Cmd.LOAD_START)
    assert bench.state == JobState.NOT_ALLOWED_TO_START


# Heartbeats


def test_a_silent_gateway_lets_the_running_job_end_and_no_new_one_start() -> None:
    bench = Bench().running(target=3)
    bench.silent = True
    bench.scan(30)
    assert bench.state == JobState.ENDED
    bench.send(Cmd.CLEAR)
    bench.send(Cmd.LOAD_START, 2)
    assert bench.state == JobState.ALLOWED_TO_START
    bench.scan(100)
    assert bench.state == JobState.ALLOWED_TO_START
    bench.silent = False
    bench.scan()
    assert bench.state == JobState.RUNNING


def test_start_at_the_panel_starts_no_new_job_while_the_gateway_is_silent() -> None:
    bench = Bench(handed_over=False, silent=True)
    bench.send(Cmd.LOAD)
    bench.scan(reset=True, start=True)
    assert (bench.plc.handed_over, bench.state) == (True, JobState.NOT_ALLOWED_TO_START)


def test_ten_seconds_of_silence_are_the_limit() -> None:
    bench = Bench()
    bench.scan()
    bench.silent = True
    bench.send(Cmd.LOAD)
    bench.scan(9.9)
    assert bench.send(Cmd.START) == Ack.OK
    assert bench.state == JobState.RUNNING


def test_the_heartbeat_goes_on_twice_a_second_and_skips_zero() -> None:
    bench = Bench()
    bench.plc = replace(bench.plc, heartbeat=0xFFFE, beat_due_s=bench.now.machine_s)
    assert [bench.scan(0.25).heartbeat for _ in range(6)] == [0xFFFF, 0xFFFF, 1, 1, 2, 2]


# Boot


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"slot_job": 0, "job_state": 0}),
        ({"job_state": 5}, {"slot_job": 0, "job_state": 0}),  # cleared, but for the state
        ({"slot_job": 4, "hwm_job": 3}, {"slot_job": 0, "job_state": 0, "hwm_job": 3}),
        ({"slot_job": 4, "hwm_job": 3, "job_state": 5}, {"slot_job": 0, "job_state": 0}),
        ({"slot_job": 4, "hwm_job": 4, "job_state": 0}, {"slot_job": 4, "job_state": 1}),
        ({"slot_job": 4, "hwm_job": 4, "job_state": 1}, {"slot_job": 4, "job_state": 1}),
        ({"slot_job": 4, "hwm_job": 4, "job_state": 2}, {"slot_job": 4, "job_state": 1}),
        ({"slot_job": 4, "hwm_job": 4, "job_state": 3}, {"slot_job": 4, "job_state": 4, "job_reason": 14}),
        (
            {"slot_job": 4, "hwm_job": 4, "job_state": 4, "job_reason": 1},
            {"slot_job": 4, "job_state": 4, "job_reason": 14},
        ),
        ({"slot_job": 4, "hwm_job": 4, "job_state": 5}, {"slot_job": 4, "job_state": 5}),
        ({"slot_job": 4, "hwm_job": 4, "job_state": 6}, {"slot_job": 4, "job_state": 6}),
        ({"boot_count": 0xFFFF}, {"boot_count": 1}),
        ({"boot_count": 7}, {"boot_count": 8}),
    ],
)
def test_boot_brings_the_memory_into_order(before: dict[str, int], after: dict[str, int]) -> None:
    bench = Bench()
    bench.power_cut(Kept(**before))  # type: ignore[arg-type]
    assert {name: getattr(bench.kept, name) for name in after} == after
    assert not bench.plc.handed_over
    assert not bench.plc.moves


@pytest.mark.parametrize("cmd", list(Cmd))
def test_a_command_pending_at_boot_is_discarded(cmd: Cmd) -> None:
    bench = Bench().running(target=9)
    bench.send(Cmd.PAUSE)
    bench.write(cmd, 1)
    bench.power_cut(commands_kept=True)
    assert (bench.kept.ack_code, bench.kept.ack_seq) == (Ack.DISCARDED_AT_BOOT, bench.words[CommandPlace.CMD_SEQ])
    bench.scan(reset=True)
    bench.scan(100)
    assert (bench.state, bench.plc.moves) == (JobState.INTERRUPTED, False)


def test_after_boot_work_goes_on_by_start_at_the_panel_only_with_a_whole_cycle() -> None:
    bench = Bench().running(target=2)
    bench.scan(14)
    bench.power_cut()
    assert (bench.state, bench.kept.produced) == (JobState.INTERRUPTED, 1)
    bench.scan(reset=True)
    assert bench.send(Cmd.RESUME) == Ack.CANNOT_ACCEPT
    bench.scan(start=True)
    bench.scan()
    bench.scan(9.9)
    assert bench.state == JobState.RUNNING
    bench.scan(0.1)
    assert (bench.state, bench.kept.produced, bench.kept.total_produced) == (JobState.ENDED, 2, 2)
    assert bench.events == [Event.START, Event.MADE, Event.RESUME, Event.END]


def test_little_word_order_is_read_as_such() -> None:
    bench = Bench(word_order=WordOrder.LITTLE)
    assert bench.send(Cmd.LOAD, 0x00020001, target=0x00010002) == Ack.OK
    assert (bench.kept.slot_job, bench.kept.target) == (0x00020001, 0x00010002)
