"""A machine behind the mailbox over real sockets: sent once, read consistently, and never believed on trust."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from drivers.base import Absence, Answer, Beating, CommandKind, DriverError, JobPhase, Session
from drivers.link import Links
from drivers.profile import MailboxMap
from tests.drivers.modbus_samples import commit, cure, mailbox_profile, opened, oven_driver
from tests.drivers.plc import INTERRUPTED, LOADED, Plc, Retentive
from tests.drivers.plc_wire import Liar, served
from tests.drivers.samples import ignore

LOAD, LOAD_START, START = CommandKind.LOAD, CommandKind.LOAD_START, CommandKind.START


# Opening ------------------------------------------------------------------------------------------------


async def test_the_machine_is_known_by_its_address_and_its_kinds() -> None:
    async with opened(Plc()) as session:
        assert "unit 1" in session.identity.text
        assert session.identity.kinds == set(CommandKind) - {CommandKind.WITHDRAW}


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda s: s.__setitem__(0, 0), "MAGIC is 0x0000"),
        (lambda s: s.__setitem__(1, 2), "MAP_VER is 2"),
        (lambda s: s.__setitem__(slice(2, 4), [0x0304, 0x0102]), "set word_order to CDAB"),
        (lambda s: s.__setitem__(6, 0x4241), "TEST_STR"),
        (lambda s: s.__setitem__(63, s[9] + 1), "was being written"),
    ],
)
async def test_what_is_no_mailbox_is_not_opened(damage: Callable[[list[int]], None], says: str) -> None:
    with pytest.raises(DriverError, match=says):
        async with opened(Plc(damage=damage)):
            raise AssertionError("opened")


async def test_blocks_lie_where_the_profile_says() -> None:
    spec = replace(mailbox_profile().mailbox or MailboxMap(), status_base=1000, command_base=2000)
    plc = Plc(status_base=1000, command_base=2000)
    async with opened(plc, mailbox=spec) as session:
        assert (await session.send(cure(LOAD))).answer is Answer.ACCEPTED
    assert {address for address, _ in plc.writes} == {2000, 2001, 2058}
    with pytest.raises(DriverError, match="exception 2"):
        async with opened(Plc(), mailbox=spec):
            raise AssertionError("opened")


async def test_a_plc_that_does_not_run_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.handshake.STALE_S", 0.2)
    plc = Plc(running=False)
    with pytest.raises(DriverError, match="does not run"):
        async with opened(plc):
            raise AssertionError("opened")
    plc.running = True
    async with opened(plc) as session:
        await session.look()
        plc.running = False
        with pytest.raises(DriverError, match="heartbeat stands"):
            await _look_for_ever(session)
        with pytest.raises(DriverError, match="the session is finished"):
            await session.look()


async def _look_for_ever(session: Session) -> None:
    while True:
        await session.look()
        await asyncio.sleep(0.01)


async def test_nothing_is_written_to_a_machine_that_was_never_driven() -> None:
    plc = Plc()
    async with opened(plc) as session:
        await session.look()
        await session.ask("LUND-1-1")
    assert plc.writes == []


# Sending ------------------------------------------------------------------------------------------------


async def test_a_command_is_laid_down_whole_and_committed_by_one_word_alone() -> None:
    plc = Plc()
    async with opened(plc) as session:
        receipt = await session.send(cure(LOAD))
    assert receipt.answer is Answer.ACCEPTED
    assert plc.writes == [(100, 1), (101, 56), (158, 1)]
    assert plc.commands == [(2, 1)]
    assert plc.memory.parameters == (180.5, 45.0)


@pytest.mark.parametrize("little", [False, True])
async def test_all_commands_of_a_job_from_loading_to_clearing(little: bool) -> None:
    plc = Plc(little=little)
    async with opened(plc, little=little) as session:
        assert (await session.send(cure(LOAD_START))).answer is Answer.ACCEPTED
        assert (await session.ask("LUND-1-1")).phase is JobPhase.NOT_ALLOWED_TO_START  # nobody handed over
        refused = await session.send(cure(START))
        assert refused.answer is Answer.REFUSED
        assert "unable to accept" in refused.evidence
        plc.handed_over = True
        assert (await session.send(cure(START))).answer is Answer.ACCEPTED
        assert (await session.ask("LUND-1-1")).phase is JobPhase.ALLOWED_TO_START
        assert (await session.send(cure(CommandKind.ABORT))).answer is Answer.ACCEPTED
        assert (await session.send(cure(CommandKind.STOP))).answer is Answer.REFUSED
        assert (await session.ask("LUND-1-1")).phase is JobPhase.ABORTED
        assert (await session.send(cure(CommandKind.CLEAR, job_no=2))).answer is Answer.REFUSED
        assert (await session.send(cure(CommandKind.CLEAR))).answer is Answer.ACCEPTED
        assert (await session.ask("LUND-1-1")).phase is None


async def test_a_command_that_cannot_be_carried_writes_nothing() -> None:
    plc = Plc()
    async with opened(plc) as session:
        receipts = [
            await session.send(cure(CommandKind.WITHDRAW)),
            await session.send(cure(LOAD, parameters={"temperature_c": "hot", "minutes": 1})),
        ]
        assert (await session.look()).jobs == ()
    assert all(receipt.answer is Answer.REFUSED and "not sent" in receipt.evidence for receipt in receipts)
    assert plc.writes == []


async def test_a_deadline_that_passes_between_payload_and_commit_stops_the_commit() -> None:
    plc = Plc()

    def tick() -> float:
        return 1000.0 if any(count == 56 for _, count in plc.writes) else 0.0

    plc.monotonic = lambda: 0.0
    async with served({1: plc}) as port:
        from drivers.modbus.session import mailbox_driver

        driver = mailbox_driver(
            url=f"modbus://127.0.0.1:{port}/1", profile=mailbox_profile(), monotonic=tick, links=Links()
        )
        async with driver.session(ignore) as session:
            with pytest.raises(DriverError, match="deadline"):
                await session.send(cure(LOAD, deadline_s=500.0))
    assert plc.c[58] == 0
    assert plc.commands == []


async def test_a_block_being_written_is_read_again_and_at_most_so_often() -> None:
    plc = Plc()
    async with opened(plc) as session:
        plc.torn_reads = 4
        assert (await session.look()).mark == 0
        plc.torn_reads = 99
        with pytest.raises(DriverError, match="was being written"):
            await session.look()
    assert plc.torn_reads == 94


async def test_the_heartbeat_is_written_when_asked_for_and_at_most_once_a_second() -> None:
    plc = Plc()
    plc.c[0] = 0xFFFF
    async with opened(plc) as session:
        assert isinstance(session, Beating)
        for _ in range(5):
            await session.beat()
    assert plc.writes == [(100, 1)]
    assert plc.c[0] == 1


# Doubt --------------------------------------------------------------------------------------------------


async def test_a_command_that_is_not_answered_is_in_doubt_and_taken_back_by_the_next_session() -> None:
    plc = Plc()
    async with served({1: plc}) as port:
        driver = oven_driver(f"modbus://127.0.0.1:{port}/1", timeout_s=0.2)
        async with driver.session(ignore) as session:
            plc.deaf = True
            with pytest.raises(DriverError, match="committed and not answered"):
                await session.send(cure(LOAD_START))
            assert plc.c[58] == 1
        async with driver.session(ignore) as session:
            assert plc.c[58] == 0
            assert set(plc.c[1:56]) == {0}
            finding = await session.ask("LUND-1-1")
            plc.deaf = False
            await session.look()
        assert finding.phase is None
        assert finding.absence(job_no=1, known_mark=0) is Absence.NEVER
    assert plc.commands == []


async def test_a_commit_that_arrives_after_its_withdrawal_moves_nothing() -> None:
    plc = Plc()
    plc.press_start()
    async with Liar({1: plc}).listening() as port:
        driver = oven_driver(f"modbus://127.0.0.1:{port}/1", timeout_s=0.2)
        async with driver.session(ignore) as session:
            plc.deaf = True
            with pytest.raises(DriverError):
                await session.send(cure(LOAD_START))
        async with driver.session(ignore) as session:
            plc.write(158, [1])  # the old commit
            plc.deaf = False
            plc.scan()
            plc.work()
            assert (await session.ask("LUND-1-1")).phase is None
    assert plc.starts == []


async def test_what_became_of_a_lost_answer_is_found_by_asking() -> None:
    plc = Plc()
    plc.press_start()
    liar = Liar({1: plc}, lie=commit(lambda _request, _reply: None))
    async with liar.listening() as port:
        driver = oven_driver(f"modbus://127.0.0.1:{port}/1", timeout_s=0.2)
        async with driver.session(ignore) as session:
            with pytest.raises(DriverError):
                await session.send(cure(LOAD_START))
            plc.scan()
            plc.work()
        async with driver.session(ignore) as session:
            finding = await session.ask("LUND-1-1")
            again = await session.send(cure(LOAD_START))
            plc.work()
    assert (finding.phase, finding.good) == (JobPhase.ENDED, 2)
    assert "already accepted earlier" in again.evidence
    assert plc.starts == [1]


async def test_a_restart_of_the_plc_ends_the_session_and_a_command_is_then_not_sent() -> None:
    plc = Plc()
    async with opened(plc) as session:
        plc.power_cut()
        receipt = await session.send(cure(LOAD))
        with pytest.raises(DriverError, match="the session is finished: the PLC has restarted"):
            await session.look()
    assert receipt.answer is Answer.REFUSED
    assert "not sent: the PLC has restarted" in receipt.evidence
    assert plc.commands == []
    async with opened(plc) as session:
        assert (await session.look()).boot == "2"


async def test_a_restart_before_the_answer_leaves_the_command_in_doubt_whatever_the_plc_says() -> None:
    plc = Plc()
    scan = plc.scan

    def cut_off() -> None:
        if plc.c[58] == 1 and plc.memory.boot == 1:
            plc.power_cut(command_kept=True)  # discards it at boot: ACK_CODE 8
        scan()

    plc.scan = cut_off  # type: ignore[method-assign]
    async with opened(plc) as session:
        with pytest.raises(DriverError, match="the PLC has restarted"):
            await session.send(cure(LOAD))
    assert plc.memory.ack_code == 8


async def test_a_memory_that_went_back_is_seen_by_the_mark() -> None:
    plc = Plc(memory=Retentive(hwm=9))
    async with opened(plc) as session:
        assert (await session.look()).mark == 9
        plc.memory.hwm = 8
        with pytest.raises(DriverError, match="memory went back"):
            await session.ask("LUND-1-9")
    async with opened(plc) as session:
        finding = await session.ask("LUND-1-9")
    assert finding.absence(job_no=9, known_mark=9) is Absence.LOST


async def test_after_a_power_cut_nothing_moves_until_start_is_pressed() -> None:
    plc = Plc()
    plc.press_start()
    async with served({1: plc}) as port:
        driver = oven_driver(f"modbus://127.0.0.1:{port}/1")
        async with driver.session(ignore) as session:
            await session.send(cure(LOAD_START))
        plc._start()
        plc.power_cut()
        plc.work()
        async with driver.session(ignore) as session:
            look = await session.look()
            assert look.jobs[0].phase is JobPhase.INTERRUPTED
            assert look.permits.handed_over is False
            assert (await session.send(cure(START))).answer is Answer.REFUSED
        assert plc.memory.state == INTERRUPTED
        plc.press_start()
        plc.work()
    assert plc.starts == [1]


async def test_another_masters_payload_is_noticed_and_not_committed() -> None:
    plc = Plc()
    write = plc.write

    def meddling(address: int, values: Any) -> bool:
        done = write(address, values)
        if len(values) == 56:
            plc.c[4] += 1
        return done

    plc.write = meddling  # type: ignore[method-assign]
    async with opened(plc) as session:
        receipt = await session.send(cure(LOAD))
    assert receipt.answer is Answer.REFUSED
    assert "reads back changed" in receipt.evidence
    assert plc.commands == []


async def test_another_masters_commit_leaves_the_command_in_doubt() -> None:
    plc = Plc()
    write = plc.write

    def meddling(address: int, values: Any) -> bool:
        done = write(address, values)
        if len(values) == 56:
            plc.c[58] = 77
        return done

    plc.write = meddling  # type: ignore[method-assign]
    async with opened(plc) as session:
        with pytest.raises(DriverError, match="a commit came that this session did not send"):
            await session.send(cure(LOAD))


async def test_a_command_of_somebody_else_that_is_never_answered_keeps_ours_back() -> None:
    plc = Plc()
    async with opened(plc) as session:
        plc.deaf = True
        plc.c[58] = 9
        receipt = await session.send(cure(LOAD, deadline_s=time.monotonic() + 0.1))
    assert receipt.answer is Answer.REFUSED
    assert "another command lies in the mailbox" in receipt.evidence
    assert plc.commands == []


@pytest.mark.parametrize(
    ("memory", "answer", "says"),
    [
        (Retentive(), Answer.ACCEPTED, "never accepted"),
        (Retentive(hwm=1, slot=1, state=LOADED, order_id=b"LUND-1-1"), Answer.REFUSED, "accepted already"),
        (Retentive(hwm=1), Answer.REFUSED, "no longer there"),
    ],
)
async def test_a_job_is_withdrawn_only_where_the_plc_has_never_accepted_it(
    memory: Retentive, answer: Answer, says: str
) -> None:
    plc = Plc(memory=memory)
    async with opened(plc) as session:
        receipt = await session.send(cure(CommandKind.CANCEL))
        with pytest.raises(DriverError, match="deadline"):
            await session.send(cure(CommandKind.CANCEL, deadline_s=0.0))
    assert receipt.answer is answer
    assert says in receipt.evidence
    assert plc.commands == []


async def test_a_withdrawal_proves_nothing_without_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.handshake.STALE_S", 0.2)
    plc = Plc()
    async with opened(plc) as session:
        plc.running = False
        with pytest.raises(DriverError, match="does not run"):
            await session.send(cure(CommandKind.CANCEL))


async def test_a_cancelled_call_ends_the_session() -> None:
    plc = Plc()
    async with Liar({1: plc}).listening() as port, oven_driver(f"modbus://127.0.0.1:{port}/1").session(ignore) as it:
        plc.deaf = True
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await it.send(cure(LOAD))
        with pytest.raises(DriverError, match="cut off"):
            await it.look()
