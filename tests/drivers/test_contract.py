"""What every driver promises, whatever it speaks: run against each machine that can be had on loopback."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import pytest
import pytest_asyncio

from drivers.base import Answer, Command, CommandKind, Driver, DriverError, Finding, JobPhase, Reconciling, Session
from drivers.profile import Place, WordOrder
from simulators.journal import Event
from simulators.plain.simulation import RunningPlain
from simulators.press.simulation import RunningPress
from simulators.words import WordOrder as Words
from tests.drivers.conftest import FreshPress
from tests.drivers.fake_machine import FakeMachine
from tests.drivers.modbus_samples import cure, oven_driver
from tests.drivers.plain_nodes import NodeServer, node_saw, node_server
from tests.drivers.plain_samples import plain_driver, plain_map, saw, trim
from tests.drivers.plc import Plc
from tests.drivers.plc_nodes import PlcServer, plc_server
from tests.drivers.plc_wire import served
from tests.drivers.samples import command, driver_for, ignore
from tests.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Bench(Protocol):
    """A machine on the bench: its driver, its panel, and what it physically did."""

    driver: Driver
    tells: bool  # it tells changes by itself; where it does not, polling has to do
    remembers: bool  # it names its jobs; where it does not, only a start that it executes at once is possible
    command: Callable[..., Command]

    async def hand_over(self) -> None: ...
    async def open_guard(self) -> None: ...
    async def shut_guard_and_reset(self) -> None: ...
    async def press_start(self) -> None: ...
    async def work(self) -> None:
        """Let the machine do what it may do, until nothing moves."""

    def starts(self) -> list[str]: ...


class FakeBench:
    tells = True
    remembers = True

    def __init__(self, machine: FakeMachine) -> None:
        self.driver: Driver = machine
        self.command: Callable[..., Command] = command
        self._machine = machine

    async def hand_over(self) -> None:
        self._machine.press_start()

    async def open_guard(self) -> None:
        self._machine.open_guard()

    async def shut_guard_and_reset(self) -> None:
        self._machine.close_guard()

    async def press_start(self) -> None:
        self._machine.press_start()

    async def work(self) -> None:
        for name, job in list(self._machine.jobs.items()):
            if job.phase is JobPhase.ALLOWED_TO_START:
                self._machine.run(name)
            if job.phase is JobPhase.RUNNING:
                self._machine.finish(name, good=job.command.cycles)

    def starts(self) -> list[str]:
        return self._machine.starts


class PressBench:
    tells = True
    remembers = True

    def __init__(self, press: RunningPress, driver: Driver) -> None:
        self.driver = driver
        self.command: Callable[..., Command] = command
        self._press = press

    async def hand_over(self) -> None:
        await self._press.panel(guard="shut", reset=True)
        await self._press.panel(start=True)

    async def open_guard(self) -> None:
        await self._press.panel(guard="open")

    async def shut_guard_and_reset(self) -> None:
        await self._press.panel(guard="shut", reset=True)

    async def press_start(self) -> None:
        await self._press.panel(start=True)

    async def work(self) -> None:
        await eventually(lambda: self._press.machine.state in ("idle", "not_ready"))

    def starts(self) -> list[str]:
        return [entry.job for entry in self._press.journal() if entry.event is Event.START]


class MailboxBench:
    tells = False
    remembers = True

    def __init__(self, plc: Plc, driver: Driver) -> None:
        self.driver = driver
        self.command: Callable[..., Command] = cure
        self._plc = plc

    async def hand_over(self) -> None:
        self._plc.press_start()

    async def open_guard(self) -> None:
        self._plc.open_guard()

    async def shut_guard_and_reset(self) -> None:
        self._plc.shut_guard_and_reset()

    async def press_start(self) -> None:
        self._plc.press_start()

    async def work(self) -> None:
        self._plc.work()

    def starts(self) -> list[str]:
        return ["LUND-1-1" if number == 1 else f"number {number}" for number in self._plc.starts]


class PlainBench:
    remembers = False

    def __init__(self, machine: RunningPlain, driver: Driver, *, tells: bool = False) -> None:
        self.driver = driver
        self.tells = tells
        self.command: Callable[..., Command] = trim
        self._machine = machine

    async def hand_over(self) -> None:
        await self._machine.panel(guard="shut", reset=True)

    async def open_guard(self) -> None:
        await self._machine.panel(guard="open")

    async def shut_guard_and_reset(self) -> None:
        await self._machine.panel(guard="shut", reset=True)

    async def press_start(self) -> None:
        await self._machine.panel(start=True)

    async def work(self) -> None:
        await eventually(lambda: not self._machine.state()["busy"])

    def starts(self) -> list[str]:
        entries = [entry for entry in self._machine.journal() if entry.event is Event.START]
        return ["LUND-1-1" if entry.job_no == 1 else f"number {entry.job_no}" for entry in entries]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NodeServer]:
    async with node_server(tmp_path_factory.mktemp("nodes")) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_plc(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PlcServer]:
    async with plc_server(tmp_path_factory.mktemp("plc")) as server:
        yield server


@pytest_asyncio.fixture(
    loop_scope="session",
    params=[
        "fake",
        "plain",
        "secure",
        "store-and-start-only",
        "store-start-only",
        "mailbox",
        "mailbox-low-word-first",
        "mailbox-nodes",
        "no-memory",
        "no-memory-low-word-first",
        "no-memory-nodes",
    ],
)
async def bench(
    request: pytest.FixtureRequest,
    fresh_press: FreshPress,
    shared_nodes: NodeServer,
    shared_plc: PlcServer,
    tmp_path: Path,
) -> AsyncIterator[Bench]:
    match request.param:
        case "fake":
            yield FakeBench(FakeMachine())
        case "mailbox" | "mailbox-low-word-first":
            plc = Plc(little=request.param != "mailbox")
            async with served({1: plc}) as port:
                yield MailboxBench(plc, oven_driver(f"modbus://127.0.0.1:{port}/1", little=plc.little))
        case "mailbox-nodes":
            plc = shared_plc.fresh()
            yield MailboxBench(plc, shared_plc.driver())
        case "no-memory" | "no-memory-low-word-first":
            order, words = WordOrder.ABCD, Words.BIG
            if request.param != "no-memory":
                order, words = WordOrder.CDAB, Words.LITTLE
            async with saw(tmp_path, cycle_s=0.15, word_order=words) as machine:
                yield PlainBench(
                    machine, plain_driver(machine.url, plain_map(order=order, boot=Place(address="holding:105")))
                )
        case "no-memory-nodes":
            async with node_saw(shared_nodes, tmp_path, cycle_s=0.15) as saw_of_nodes:
                yield PlainBench(saw_of_nodes.machine, saw_of_nodes.driver(), tells=True)
        case kind:
            press = await fresh_press(kind)
            yield PressBench(press, driver_for(press, own=tmp_path if kind == "secure" else None))


async def found(bench: Bench, session: Session, job_id: str, *, begun: bool) -> Finding:
    """Ask what became of a job, as the gateway does."""
    if bench.remembers:
        return await session.ask(job_id)
    assert isinstance(session, Reconciling)
    return await session.reconcile(bench.command(CommandKind.LOAD_START, job_id), begun=begun)


async def test_a_job_is_loaded_started_made_once_told_of_and_cleared(bench: Bench) -> None:
    await bench.hand_over()
    async with bench.driver.session(ignore) as session:
        assert session.identity.text
        if CommandKind.LOAD_START in session.identity.kinds:
            sent = [await session.send(bench.command(CommandKind.LOAD_START))]
        else:
            sent = [
                await session.send(bench.command(CommandKind.LOAD)),
                await session.send(bench.command(CommandKind.START)),
            ]
        assert [receipt.answer for receipt in sent] == [Answer.ACCEPTED] * len(sent)
        named = [job.job_id for job in (await session.look()).jobs]
        assert named == ["LUND-1-1"] if bench.remembers else len(named) == 1
        await bench.work()
        made = await found(bench, session, "LUND-1-1", begun=True)
        assert (made.phase, made.produced, made.good) == (JobPhase.ENDED, 2, 2)
        assert (made.started_at is None) == (made.ended_at is None)  # a machine without a clock tells neither
        assert made.started_at is None or (made.ended_at is not None and made.started_at <= made.ended_at)
        if CommandKind.CLEAR in session.identity.kinds:
            assert (await session.send(bench.command(CommandKind.CLEAR))).answer is Answer.ACCEPTED
            assert (await session.ask("LUND-1-1")).phase is None
        assert (await session.look()).jobs == ()
    assert bench.starts() == ["LUND-1-1"]


async def test_a_job_never_sent_is_unknown_and_this_is_said(bench: Bench) -> None:
    async with bench.driver.session(ignore) as session:
        finding = await session.ask("LUND-1-99")
    assert finding.phase is None
    assert finding.job_id == "LUND-1-99"
    assert "unknown" in finding.evidence


async def test_the_same_job_sent_again_is_made_once_and_the_machine_says_that_it_knows_it(bench: Bench) -> None:
    await bench.hand_over()
    async with bench.driver.session(ignore) as session:
        kinds = session.identity.kinds
        kind = CommandKind.LOAD_START if CommandKind.LOAD_START in kinds else CommandKind.LOAD
        await session.send(bench.command(kind))
        again = await session.send(bench.command(kind))
        await bench.work()
    if not bench.remembers:
        assert again.answer is Answer.REFUSED
        assert "not sent" in again.evidence
    elif again.answer is Answer.REFUSED:
        assert "unable to accept" in again.evidence
    else:
        assert "already accepted earlier" in again.evidence
    assert len(bench.starts()) <= 1


async def test_a_command_the_machine_does_not_know_is_refused_without_being_sent(bench: Bench) -> None:
    async with bench.driver.session(ignore) as session:
        missing = set(CommandKind) - session.identity.kinds
        receipts = [await session.send(bench.command(kind)) for kind in sorted(missing)]
        assert (await session.look()).jobs == ()
    assert all(receipt.answer is Answer.REFUSED and "not sent" in receipt.evidence for receipt in receipts)


async def test_a_command_past_its_deadline_is_never_sent(bench: Bench) -> None:
    await bench.hand_over()
    async with bench.driver.session(ignore) as session:
        kind = next(kind for kind in (CommandKind.LOAD, CommandKind.LOAD_START) if kind in session.identity.kinds)
        with contextlib.nullcontext() if not bench.remembers else pytest.raises(DriverError, match="deadline"):
            receipt = await session.send(bench.command(kind, deadline_s=0.0))
            assert receipt.answer is Answer.REFUSED
            assert "deadline" in receipt.evidence
    async with bench.driver.session(ignore) as session:
        assert (await found(bench, session, "LUND-1-1", begun=False)).phase is None
    assert bench.starts() == []


async def test_a_machine_that_keeps_no_job_refuses_it_while_a_permit_is_missing(bench: Bench) -> None:
    if bench.remembers:
        pytest.skip("this machine keeps the job until it may move")
    await bench.hand_over()
    await bench.open_guard()
    async with bench.driver.session(ignore) as session:
        receipt = await session.send(bench.command(CommandKind.LOAD_START))
        fallen = await session.look()
        await bench.shut_guard_and_reset()
        await bench.press_start()
        back = await session.look()
    assert receipt.answer is Answer.REFUSED
    assert "ready" in receipt.evidence
    assert [(look.permits.ready, look.permits.handed_over) for look in (fallen, back)] == [(False, None), (True, None)]
    assert bench.starts() == []


async def test_permits_fall_with_the_guard_and_only_start_at_the_panel_moves_anything(bench: Bench) -> None:
    if not bench.remembers:
        pytest.skip("this machine keeps no job that could wait")
    await bench.hand_over()
    await bench.open_guard()
    async with bench.driver.session(ignore) as session:
        kinds = session.identity.kinds
        kind = CommandKind.LOAD_START if CommandKind.LOAD_START in kinds else CommandKind.LOAD
        assert (await session.send(bench.command(kind))).answer is Answer.ACCEPTED
        fallen = await session.look()
        await bench.shut_guard_and_reset()
        back = await session.look()
        if CommandKind.START in kinds:
            assert (await session.send(bench.command(CommandKind.START))).answer is Answer.REFUSED
        assert bench.starts() == []
        await bench.press_start()
        await bench.work()
        started = await session.look()
    assert (fallen.permits.remote, fallen.permits.ready, fallen.permits.handed_over) == (True, False, False)
    assert (back.permits.ready, back.permits.handed_over) == (True, False)
    assert [job.phase for job in back.jobs] == [JobPhase.NOT_ALLOWED_TO_START]
    assert started.permits.handed_over is True
    assert bench.starts() == ["LUND-1-1"]


async def test_a_cancelled_job_is_unknown_and_one_that_cannot_be_cancelled_still_waits(bench: Bench) -> None:
    async with bench.driver.session(ignore) as session:
        kinds = session.identity.kinds
        if CommandKind.CANCEL not in kinds:
            pytest.skip("this machine keeps no job that could be cancelled")
        kind = CommandKind.LOAD if CommandKind.LOAD in kinds else CommandKind.LOAD_START
        await session.send(bench.command(kind))
        receipt = await session.send(bench.command(CommandKind.CANCEL))
        finding = await session.ask("LUND-1-1")
    if receipt.answer is Answer.ACCEPTED:
        assert finding.phase is None
    else:
        assert "accepted already" in receipt.evidence
        assert finding.phase is JobPhase.NOT_ALLOWED_TO_START
    assert bench.starts() == []


async def test_a_change_at_the_machine_is_told(bench: Bench) -> None:
    told = []
    if not bench.tells:
        pytest.skip("this machine is polled")
    async with bench.driver.session(lambda: told.append("change")) as session:
        before = await session.look()
        seen = len(told)
        await (bench.hand_over() if bench.remembers else bench.open_guard())
        await eventually(lambda: len(told) > seen)
        after = await session.look()
    if not bench.remembers:
        assert (before.permits.ready, after.permits.ready) == (True, False)
        return
    assert (before.permits.handed_over, after.permits.handed_over) in ((False, True), (True, True))


async def test_boot_stays_the_same_over_sessions_and_looks(bench: Bench) -> None:
    boots = set()
    for _ in range(2):
        async with bench.driver.session(ignore) as session:
            boots.add((await session.look()).boot)
            boots.add((await session.look()).boot)
    assert len(boots) == 1
