"""The plain dialect on a simulated machine: one start, and evidence for what became of it."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Answer, Command, CommandKind, DriverError, Finding, JobPhase
from drivers.plain_session import PlainSession, Terms, plain_identity
from drivers.profile import Counting, Memory, PermitTags, Place, PlainMap, Unit, WordOrder
from simulators.journal import Event
from simulators.modbus_faults import Lie
from simulators.plain.faults import PlainFaults
from simulators.plain.settings import Counters, Points
from simulators.plain.simulation import RunningPlain
from simulators.tally import Counts
from simulators.words import WordOrder as Words
from tests.drivers.plain_samples import IDLE, ReconcilingSession, opened, plain_map, saw, trim
from tests.eventually import eventually
from tests.simulators.modbus_client import connected

WRITE_COIL, READ_COILS, WRITE_REGISTERS = 5, 1, 16


async def looked(session: ReconcilingSession, **changes: Any) -> Command:
    """Give a command as the gateway makes it: with the baseline of the look before."""
    return trim(baseline=(await session.look()).baseline, **changes)


async def made(machine: RunningPlain, session: ReconcilingSession, **changes: Any) -> Command:
    """Let the machine make one job, so that its done stands."""
    command = await looked(session, **changes)
    assert (await session.send(command)).answer is Answer.ACCEPTED
    await eventually(lambda: machine.state()["done"] and not machine.state()["busy"])
    return command


def starts(machine: RunningPlain) -> int:
    return sum(entry.event is Event.START for entry in machine.journal())


async def own_work(machine: RunningPlain, quantity: int, *, length: int = 0) -> None:
    """Let somebody else start a batch: a person at a panel of the machine's own that writes the same registers."""
    async with connected(machine.port) as client:
        await client.write_registers(0, [9, quantity, length, 0])
        await client.write_coil(0, True)
        await eventually(lambda: machine.state()["busy"])


async def after_a_lost_answer(machine: RunningPlain, lost: Command, **session: Any) -> Finding:
    """Connect afresh, as after a restart of the gateway, and ask what became of the start."""
    async with opened(machine, **session) as again:
        return await again.reconcile(lost, begun=False)


async def test_a_job_is_started_once_followed_and_counted(tmp_path: Path) -> None:
    async with saw(tmp_path, cycle_s=0.2, scrap_rate=1.0) as machine, opened(machine) as session:
        assert session.identity.kinds == {CommandKind.LOAD_START}
        command = await looked(session)
        assert (await session.send(command)).answer is Answer.ACCEPTED
        busy = await session.look()
        assert [job.phase for job in busy.jobs] == [JobPhase.RUNNING]
        assert busy.baseline is None
        assert busy.setup_code == "1"
        assert (await session.reconcile(command, begun=True)).phase is JobPhase.RUNNING
        await eventually(lambda: machine.state()["done"])
        told = await session.reconcile(command, begun=True)
        assert (told.phase, told.produced, told.good) == (JobPhase.ENDED, 2, 0)
        assert (await session.look()).jobs == ()
        async with connected(machine.port) as client:
            assert (await client.read_holding_registers(0, count=4)).registers == [3, 2, 0x42F1, 0]
    assert starts(machine) == 1


@pytest.mark.parametrize("begun", [False, True])
async def test_a_start_whose_answer_is_lost_is_found_by_what_the_machine_shows(tmp_path: Path, begun: bool) -> None:
    async with saw(tmp_path, cycle_s=0.3) as machine:
        async with opened(machine) as session:
            command = await looked(session)
            await machine.break_down(PlainFaults(lie=Lie.NEVER, functions=frozenset({WRITE_COIL}), times=1))
            with pytest.raises(DriverError):
                await session.send(command)
            with pytest.raises(DriverError, match="finished"):
                await session.look()
        async with opened(machine) as again:
            assert (await again.reconcile(command, begun=begun)).phase is JobPhase.RUNNING
            await eventually(lambda: machine.state()["done"])
            told = await again.reconcile(command, begun=begun)
            assert (told.phase, told.produced, told.good) == (JobPhase.ENDED, 2, 2)
    assert starts(machine) == 1


async def test_a_start_answered_late_is_waited_for(tmp_path: Path) -> None:
    async with saw(tmp_path) as machine, opened(machine) as session:
        command = await looked(session)
        await machine.break_down(PlainFaults(late_s=0.15, functions=frozenset({WRITE_COIL}), times=1))
        assert (await session.send(command)).answer is Answer.ACCEPTED
    assert starts(machine) == 1


async def test_a_start_that_was_never_executed_is_proven_absent_while_the_done_before_stands(tmp_path: Path) -> None:
    async with saw(tmp_path) as machine:
        async with opened(machine) as session:
            await made(machine, session, quantity=3)
            command = await looked(session, job_id="LUND-1-2")
            await machine.break_down(PlainFaults(deaf=True))
            with pytest.raises(DriverError, match="no batch is seen"):
                await session.send(command)
        told = await after_a_lost_answer(machine, command)
        assert (told.phase, told.unproven) == (None, None)
        await machine.break_down(PlainFaults())
        async with opened(machine) as session:
            again = await session.send(command)
        assert again.answer is Answer.ACCEPTED
    assert starts(machine) == 2


async def test_without_a_done_before_a_start_broken_off_cannot_be_told_from_none(tmp_path: Path) -> None:
    async with saw(tmp_path) as machine:
        async with opened(machine) as session:
            command = await looked(session)
            await machine.break_down(PlainFaults(deaf=True))
            with pytest.raises(DriverError, match="no batch is seen"):
                await session.send(command)
        told = await after_a_lost_answer(machine, command)
    assert told.phase is None
    assert "broken off before its first piece" in (told.unproven or "")


@pytest.mark.parametrize("first", [False, True])
async def test_a_power_cut_before_the_first_piece_never_looks_like_no_start(tmp_path: Path, first: bool) -> None:
    async with saw(tmp_path, cycle_s=0.2) as machine:
        async with opened(machine) as session:
            if not first:
                await made(machine, session, quantity=3)
            command = await looked(session, job_id="LUND-1-2")
            await machine.break_down(PlainFaults(lie=Lie.CLOSE, functions=frozenset({WRITE_COIL}), times=1))
            before = starts(machine)
            with pytest.raises(DriverError):
                await session.send(command)
            await eventually(lambda: starts(machine) == before + 1)
        await machine.power(cut=True)
        await machine.power(cut=False)
        await machine.panel(reset=True)
        told = await after_a_lost_answer(machine, command)
    assert told.phase is None
    assert told.unproven


@pytest.mark.parametrize(
    ("memory", "counters", "phase"),
    [
        (Memory.PERSISTENT, Counters.TOTAL, JobPhase.ABORTED),
        (Memory.VOLATILE, Counters.TOTAL, None),
        (Memory.VOLATILE, Counters.VOLATILE, None),
    ],
)
async def test_a_restart_in_the_middle_ends_the_job_only_where_the_counters_are_kept(
    tmp_path: Path, memory: Memory, counters: Counters, phase: JobPhase | None
) -> None:
    async with saw(tmp_path, cycle_s=0.15, counters=counters) as machine:
        async with opened(machine) as session:
            await made(machine, session)
            command = await looked(session, quantity=9, cycles=9)
            await session.send(command)
            await eventually(lambda: machine.state()["produced"] == 1)
            await machine.power(cut=True)
            with pytest.raises(DriverError):
                await session.reconcile(command, begun=True)
        await machine.power(cut=False)
        await machine.panel(reset=True)
        async with opened(machine, memory=memory) as again:
            told = await again.reconcile(command, begun=True)
            unknown = await again.reconcile(command, begun=False)
        assert told.phase is phase
        assert (told.produced, told.good) == ((1, 1) if phase else (None, None))
        assert unknown.phase is None
        assert unknown.unproven
        assert phase is not None or told.unproven
        assert starts(machine) == 2


async def test_work_begun_at_the_panel_after_the_look_keeps_the_start_from_being_sent(tmp_path: Path) -> None:
    async with saw(tmp_path, cycle_s=0.2) as machine, opened(machine) as session:
        command = await looked(session)
        await own_work(machine, 1)
        busy = await session.send(command)
        async with connected(machine.port) as client:
            assert (await client.read_holding_registers(0, count=2)).registers == [9, 1]  # nothing was written over it
        await eventually(lambda: machine.state()["done"])
        over = await session.send(command)
    assert (busy.answer, over.answer) == (Answer.REFUSED, Answer.REFUSED)
    assert "busy with its own work" in busy.evidence
    assert "has worked or been reset since" in over.evidence
    assert starts(machine) == 1


async def test_work_begun_at_the_panel_after_a_lost_start_is_not_taken_for_the_job(tmp_path: Path) -> None:
    async with saw(tmp_path, cycle_s=0.2) as machine:
        async with opened(machine) as session:
            await made(machine, session, quantity=4)
            command = await looked(session, job_id="LUND-1-2", quantity=3, cycles=3)
            await machine.break_down(PlainFaults(deaf=True))
            with pytest.raises(DriverError):
                await session.send(command)
        await machine.break_down(PlainFaults())
        await own_work(machine, 1)
        busy = await after_a_lost_answer(machine, command)
        await eventually(lambda: machine.state()["done"])
        over = await after_a_lost_answer(machine, command)
    assert (busy.phase, over.phase) == (None, None)
    assert "not those of this job" in (busy.unproven or "")
    assert "1 of 3 pieces" in (over.unproven or "")


async def test_work_of_its_own_after_the_job_makes_its_count_a_question(tmp_path: Path) -> None:
    async with saw(tmp_path) as machine, opened(machine) as session:
        command = await made(machine, session)
        await own_work(machine, 1)
        await eventually(lambda: machine.state()["done"])
        told = await session.reconcile(command, begun=True)
    assert (told.phase, told.produced, told.good) == (JobPhase.ENDED, None, None)


async def test_a_start_left_standing_is_taken_back_and_runs_at_no_later_time(tmp_path: Path) -> None:
    async with saw(tmp_path, start_clears=False) as machine:
        spec = plain_map(start_clears=False)
        async with opened(machine, spec) as session:
            await made(machine, session, quantity=3)
            command = await looked(session)
            await machine.panel(guard="open")
            refused = await session.send(command)
            async with connected(machine.port) as client:
                await client.write_coil(0, True)  # the byte that was under way when the gateway died
            told = await session.reconcile(command, begun=False)
            async with connected(machine.port) as client:
                assert (await client.read_coils(0)).bits[0] is False
            await machine.panel(guard="shut", reset=True)
            await machine.panel(start=True)
    assert "ready" in refused.evidence
    assert (told.phase, told.unproven) == (None, None)
    assert starts(machine) == 1


async def test_a_stopped_controller_with_a_live_wire_is_never_given_a_start_that_waits(tmp_path: Path) -> None:
    async with saw(tmp_path) as machine:
        async with opened(machine) as session:
            command = await looked(session)
            await machine.break_down(PlainFaults(stopped=True))
            with pytest.raises(DriverError, match="no batch is seen"):
                await session.send(command)
            async with connected(machine.port) as client:
                assert (await client.read_coils(0)).bits[0] is False
        await machine.break_down(PlainFaults())
        told = await after_a_lost_answer(machine, command)
        await machine.panel(reset=True, start=True)
    assert told.unproven
    assert starts(machine) == 0


@pytest.mark.parametrize("little", [False, True])
async def test_a_torn_counter_is_read_again(tmp_path: Path, little: bool) -> None:
    order, words = (WordOrder.CDAB, Words.LITTLE) if little else (WordOrder.ABCD, Words.BIG)
    async with (
        saw(tmp_path, cycle_s=0.05, word_order=words, scan_s=0.01) as machine,
        opened(machine, plain_map(order=order, scan_s=0.2)) as session,
    ):
        assert machine.machine.plc is not None
        machine.machine.plc = replace(machine.machine.plc, good=65530, done=True)
        await machine.panel()
        await machine.break_down(PlainFaults(torn=True))
        command = await looked(session, quantity=10, cycles=10)
        assert command.baseline == "idle, done, good 65530, scrap 0"
        await session.send(command)
        seen: list[Finding] = []
        while not seen or seen[-1].phase is JobPhase.RUNNING:
            seen.append(await session.reconcile(command, begun=True))
        assert all(told.produced in (None, *range(11)) for told in seen)
        assert (seen[-1].phase, seen[-1].good) == (JobPhase.ENDED, 10)


async def test_parameters_that_are_not_taken_start_nothing(tmp_path: Path) -> None:
    async with saw(tmp_path) as machine, opened(machine) as session:
        command = await looked(session)
        await machine.break_down(PlainFaults(exception=4, executes=True, functions=frozenset({WRITE_REGISTERS})))
        unanswered = await session.send(command)
        with pytest.raises(DriverError, match="finished"):
            await session.look()
        async with opened(machine) as again:
            await machine.break_down(PlainFaults(exception=3, functions=frozenset({WRITE_REGISTERS})))
            untaken = await again.send(command)
    assert (unanswered.answer, untaken.answer) == (Answer.REFUSED, Answer.REFUSED)
    assert all("not sent" in receipt.evidence for receipt in (unanswered, untaken))
    assert starts(machine) == 0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"baseline": None}, "no baseline"),
        ({"baseline": "idle, done, good 0, scrap 0"}, "has worked or been reset"),
        ({"recipe": "saw"}, "not in the machine's map"),
        ({"parameters": {}}, "goes down with length_mm"),
        ({"quantity": 70_000}, "does not fit"),
        ({"deadline_s": 0.0}, "deadline"),
        ({"kind": CommandKind.CLEAR}, "no command clear"),
    ],
)
async def test_what_cannot_be_sent_is_refused_and_starts_nothing(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    async with saw(tmp_path) as machine, opened(machine) as session:
        receipt = await session.send(replace(trim(), **changes))
        assert machine.state()["busy"] is False
    assert receipt.answer is Answer.REFUSED
    assert "not sent" in receipt.evidence
    assert why in receipt.evidence
    assert starts(machine) == 0


async def test_a_start_that_the_unit_refuses_is_refused_and_one_that_it_doubts_is_a_doubt(tmp_path: Path) -> None:
    async with saw(tmp_path) as machine, opened(machine) as session:
        await machine.break_down(PlainFaults(exception=2, functions=frozenset({WRITE_COIL}), times=1))
        assert (await session.send(trim())).answer is Answer.REFUSED
        await machine.break_down(PlainFaults(exception=11, executes=True, functions=frozenset({WRITE_COIL}), times=1))
        with pytest.raises(DriverError, match="exception 11"):
            await session.send(trim())
        await eventually(lambda: machine.state()["done"])
        told = await after_a_lost_answer(machine, trim())
    assert told.phase is JobPhase.ENDED
    assert starts(machine) == 1


async def test_an_interrupted_batch_is_shown_as_such(tmp_path: Path) -> None:
    async with saw(tmp_path, cycle_s=5) as machine, opened(machine) as session:
        command = await looked(session)
        await session.send(command)
        await machine.panel(guard="open")
        look = await session.look()
        told = await session.reconcile(command, begun=True)
    assert (look.permits.remote, look.permits.ready, look.permits.handed_over) == (True, False, None)
    assert told.phase is JobPhase.INTERRUPTED


async def test_bits_of_registers_machine_cycles_and_counters_of_one_batch_work_as_well(tmp_path: Path) -> None:
    points = Points(
        start="holding:18.0", busy="holding:20.0", done="holding:20.1", remote="holding:20.2", ready="holding:20.3"
    )
    wanted = {"points": points, "counts": Counts.CYCLES, "pieces_per_cycle": 4, "counters": Counters.BATCH}
    spec: PlainMap = plain_map(
        start="holding:18.0",
        busy="holding:20.0",
        done="holding:20.1",
        quantity_in=Unit.CYCLES,
        pieces_per_count=4,
        counting=Counting.BATCH,
        start_clears=False,
    )
    permits = PermitTags(remote="holding:20.2", ready="holding:20.3")
    async with (
        saw(tmp_path, **wanted, start_clears=False) as machine,
        opened(machine, spec, permits=permits) as session,
    ):
        for _ in range(2):  # the second time the counters show the same before and after
            command = await made(machine, session, quantity=10, cycles=3)
            told = await session.reconcile(command, begun=True)
            assert (told.phase, told.produced, told.good) == (JobPhase.ENDED, 12, 12)
        lost = await session.reconcile(command, begun=False)
        assert "same size" in (lost.unproven or "")
    assert starts(machine) == 2


async def test_looking_and_asking_write_nothing(tmp_path: Path) -> None:
    async with saw(tmp_path) as machine:
        await machine.break_down(PlainFaults(exception=4, functions=frozenset({WRITE_COIL, 6, WRITE_REGISTERS})))
        async with opened(machine) as session:
            assert (await session.look()).baseline == IDLE
            assert (await session.ask("LUND-1-1")).unproven
            assert (await session.reconcile(trim(), begun=False)).unproven


async def test_a_frozen_machine_ends_the_session_in_time(tmp_path: Path) -> None:
    async with saw(tmp_path) as machine, opened(machine) as session:
        await machine.break_down(PlainFaults(lie=Lie.NEVER, functions=frozenset({READ_COILS})))
        with pytest.raises(DriverError, match="no answer"):
            await session.look()


@pytest.mark.parametrize("function", [READ_COILS, WRITE_COIL])
@pytest.mark.parametrize("lie", [lie for lie in Lie if lie not in {Lie.NONE, Lie.NEVER}])
async def test_a_reply_that_is_not_exactly_right_is_none(tmp_path: Path, lie: Lie, function: int) -> None:
    if (lie, function) == (Lie.BYTE_COUNT, WRITE_COIL):
        pytest.skip("the reply to a write has no byte count")
    async with saw(tmp_path) as machine:
        async with opened(machine) as session:
            await machine.break_down(PlainFaults(lie=lie, functions=frozenset({function}), times=1))
            if function == READ_COILS:
                with pytest.raises(DriverError):
                    await session.look()
            else:
                with pytest.raises(DriverError):
                    await session.send(trim())
        if function == WRITE_COIL:
            await eventually(lambda: machine.state()["done"])
            assert (await after_a_lost_answer(machine, trim())).phase is JobPhase.ENDED
            assert starts(machine) == 1


class Racing:
    """A machine to which something happens between our write and our start; it journals what was switched."""

    def __init__(self, *, holds: bool, after: dict[str, Any]) -> None:
        self.values: dict[str, Any] = {"start": False, "busy": False, "done": False, "good": 0, "scrap": 0}
        self.values |= {"remote": True, "ready": True}
        self.switched: list[bool] = []
        self._holds, self._after = holds, after

    async def shown(self) -> dict[str, Any]:
        return dict(self.values)

    async def write(self, values: object, *, deadline_s: float) -> None:
        del values, deadline_s
        self.values |= self._after

    async def holds(self, values: object) -> bool:
        del values
        return self._holds

    async def switch(self, address: str, *, on: bool, deadline_s: float | None = None) -> None:
        del address, deadline_s
        self.switched.append(on)
        self.values["busy"] = self.values["busy"] or on


@pytest.mark.parametrize(
    ("holds", "after", "why"),
    [
        (True, {}, None),
        (False, {}, "read back changed"),
        (True, {"busy": True}, "busy with its own work"),
        (True, {"good": 1, "done": True}, "has worked"),
        (True, {"ready": False}, "ready"),
        (True, {"remote": None}, "remote"),
    ],
)
async def test_what_happens_between_the_parameters_and_the_start_keeps_the_start_back(
    holds: bool,
    after: dict[str, Any],
    why: str | None,
) -> None:
    spec = plain_map(scan_s=0.001)
    machine = Racing(holds=holds, after=after)
    terms = Terms(spec=spec, answer_s=0.1, persistent=False, monotonic=time.monotonic)
    session = PlainSession(machine, terms=terms, identity=plain_identity("saw", spec))
    receipt = await session.send(trim())
    assert machine.switched == ([True] if why is None else [])
    assert (receipt.answer is Answer.ACCEPTED) == (why is None)
    assert why is None or why in receipt.evidence


class Restless(Racing):
    """A machine whose counter is read like this, one reading after the other; the last value stays."""

    def __init__(self, *readings: int) -> None:
        super().__init__(holds=True, after={})
        self._readings = list(readings)

    async def shown(self) -> dict[str, Any]:
        good = self._readings.pop(0) if len(self._readings) > 1 else self._readings[0]
        return self.values | {"good": good}


@pytest.mark.parametrize(
    ("readings", "baseline"),
    [
        ((65535, 131071, 65536, 65536), "idle, not done, good 65536, scrap 0"),
        (tuple(range(100)), None),
    ],
)
async def test_only_what_stands_still_becomes_a_baseline(readings: tuple[int, ...], baseline: str | None) -> None:
    spec = plain_map(scan_s=0.001)
    terms = Terms(spec=spec, answer_s=0.1, persistent=False, monotonic=time.monotonic)
    session = PlainSession(Restless(*readings), terms=terms, identity=plain_identity("saw", spec))
    assert (await session.look()).baseline == baseline


async def test_nothing_is_written_after_the_deadline_whatever_the_wire_would_take() -> None:
    spec = plain_map(scan_s=0.001)
    machine = Racing(holds=True, after={"good": 99})
    terms = Terms(spec=spec, answer_s=0.1, persistent=False, monotonic=time.monotonic)
    session = PlainSession(machine, terms=terms, identity=plain_identity("saw", spec))
    receipt = await session.send(trim(deadline_s=0.0))
    assert (receipt.answer, machine.switched, machine.values["good"]) == (Answer.REFUSED, [], 0)


async def test_where_the_machine_tells_no_boot_it_may_have_restarted_before_any_new_session(tmp_path: Path) -> None:
    boots = []
    async with saw(tmp_path) as machine:
        for told in (None, Place(address="holding:105")):
            for _ in range(2):
                async with opened(machine, plain_map(boot=told)) as session:
                    boots.append((await session.look()).boot)
                    assert (await session.look()).boot == boots[-1]
    assert boots[0] != boots[1]
    assert boots[2] == boots[3] == str(machine.machine.read_words(105, 1)[0])
