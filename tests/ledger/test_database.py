"""The database thread: what was answered is on the disk, whatever fails, and nobody else has the ledger."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, OperationalError

from gateway.errors import LedgerError, LedgerFullError
from gateway.ledger import database, engine, opening, writer
from gateway.ledger.database import Ledger, Tx, open_ledger, ring
from tests.eventually import eventually


def put(item: str, quantity: int = 1) -> Callable[[Tx], str]:
    def event(tx: Tx) -> str:
        tx.execute(
            text("INSERT INTO stock (item, quantity) VALUES (:item, :quantity)"), {"item": item, "quantity": quantity}
        )
        return item

    return event


def items(tx: Tx) -> list[str]:
    return list(tx.execute(text("SELECT item FROM stock ORDER BY rowid")).scalars())


class Gate:
    """Holds the ledger's thread inside an event until it is opened."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.reached = threading.Event()

    def __call__(self, _: Tx) -> None:
        self.reached.set()
        assert self._open.wait(20)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


class Commits:
    """Counts commits, and lets a test stand in the way of them."""

    def __init__(self) -> None:
        self.number = 0
        self.before: Callable[[], None] = lambda: None

    def __call__(self, tx: Connection) -> None:
        self.number += 1
        self.before()
        self._commit(tx)

    _commit = staticmethod(engine.commit)


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Commits:
    commits = Commits()
    monkeypatch.setattr(engine, "commit", commits)
    return commits


@asynccontextmanager
async def slow_groups(state_dir: Path) -> AsyncIterator[Ledger]:
    """A ledger whose groups stay open until they are full: 4 events."""
    async with open_ledger(state_dir, site="LUND", commit_interval_s=10, batch=4) as ledger:
        yield ledger


# Settings -------------------------------------------------------------------------------------------


async def test_the_promised_settings_are_in_force(ledger: Ledger) -> None:
    def settings(tx: Tx) -> dict[str, object]:
        names = "journal_mode synchronous locking_mode mmap_size foreign_keys recursive_triggers"
        return {name: tx.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names.split()}

    assert await ledger.read(settings) == {
        "journal_mode": "wal",
        "synchronous": 2,
        "locking_mode": "exclusive",
        "mmap_size": 0,
        "foreign_keys": 1,
        "recursive_triggers": 1,
    }


@pytest.mark.parametrize("name", [name for name, _, _ in engine.PRAGMAS])
async def test_a_setting_that_does_not_hold_is_refused(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(
        engine, "PRAGMAS", tuple((key, value, "else" if key == name else is_) for key, value, is_ in engine.PRAGMAS)
    )

    with pytest.raises(LedgerError, match=name):
        async with open_ledger(state_dir, site="LUND"):
            pass


# Events ---------------------------------------------------------------------------------------------


async def test_an_event_is_answered_with_what_it_returned(ledger: Ledger) -> None:
    assert await ledger.write(put("sheet")) == "sheet"
    assert await ledger.read(items) == ["sheet"]


async def test_an_event_is_answered_only_after_its_commit(ledger: Ledger, commits: Commits, gate: Gate) -> None:
    commits.before = lambda: gate(None)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(ledger.write(put("sheet")))
        await eventually(gate.reached.is_set)
        assert not answer.done()
        gate.open()

    assert answer.result() == "sheet"


async def test_events_that_come_together_share_one_commit(state_dir: Path, commits: Commits) -> None:
    async with slow_groups(state_dir) as ledger:
        before = commits.number
        await asyncio.gather(*(ledger.write(put(str(number))) for number in range(8)))

        assert commits.number - before == 2
        assert await ledger.read(items) == [str(number) for number in range(8)]


async def test_what_comes_during_a_commit_shares_the_next_one_and_waits_for_nothing_else(
    state_dir: Path, commits: Commits, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LONGEST_GROUP_S", 20.0)  # a busy computer may take long over five events
    async with open_ledger(state_dir, site="LUND", commit_interval_s=0) as ledger, asyncio.TaskGroup() as group:
        before = commits.number
        commits.before = lambda: gate(None)  # type: ignore[arg-type]
        group.create_task(ledger.write(put("first")))
        await eventually(gate.reached.is_set)
        for number in range(5):
            group.create_task(ledger.write(put(str(number))))
        await asyncio.sleep(0)  # each has asked
        gate.open()
        await eventually(lambda: commits.number - before >= 2)

        assert await ledger.read(items) == ["first", "0", "1", "2", "3", "4"]
        assert commits.number - before == 2


async def test_a_group_closes_when_its_time_has_passed(state_dir: Path) -> None:
    async with open_ledger(state_dir, site="LUND", commit_interval_s=0.001, batch=10**6) as ledger:
        async with asyncio.timeout(10):
            await ledger.write(put("sheet"))


async def test_a_failed_event_undoes_itself_alone(state_dir: Path, commits: Commits) -> None:
    def half(tx: Tx) -> None:
        put("half")(tx)
        raise ValueError("no")

    async with slow_groups(state_dir) as ledger:
        before = commits.number
        answers = await asyncio.gather(
            ledger.write(put("a")),
            ledger.write(half),
            ledger.write(put("a")),
            ledger.write(put("b")),
            return_exceptions=True,
        )

        assert commits.number - before == 1
        assert answers[0] == "a"
        assert isinstance(answers[1], ValueError)
        assert isinstance(answers[2], IntegrityError)
        assert answers[3] == "b"
        assert await ledger.read(items) == ["a", "b"]


async def test_an_event_may_use_savepoints_of_its_own(ledger: Ledger) -> None:
    def event(tx: Tx) -> None:
        put("kept")(tx)
        with pytest.raises(IntegrityError), tx.begin_nested():
            put("kept")(tx)

    await ledger.write(event)

    assert await ledger.read(items) == ["kept"]


@pytest.mark.parametrize("deed", [Connection.commit, Connection.rollback, Connection.close])
async def test_an_event_cannot_end_the_transaction_of_its_neighbours(
    state_dir: Path, deed: Callable[[Connection], None]
) -> None:
    def event(tx: Tx) -> None:
        put("mine")(tx)
        deed(tx)

    async with slow_groups(state_dir) as ledger:
        async with asyncio.timeout(5):
            answers = await asyncio.gather(ledger.write(put("a")), ledger.write(event), return_exceptions=True)
        assert [type(answer) for answer in answers] == [LedgerError, LedgerError]

    async with open_ledger(state_dir, site="LUND") as ledger:
        assert await ledger.read(items) == []


async def test_stop_iteration_in_an_event_reaches_its_caller(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await ledger.write(lambda _: next(iter(())))

    assert await ledger.write(put("next")) == "next"


# Questions ------------------------------------------------------------------------------------------


async def test_a_question_cannot_write(ledger: Ledger) -> None:
    with pytest.raises(OperationalError, match="readonly"):
        await ledger.read(put("sheet"))

    await ledger.write(put("other"))
    assert await ledger.read(items) == ["other"]


async def test_a_question_in_an_open_group_is_answered_after_its_commit(state_dir: Path) -> None:
    async with slow_groups(state_dir) as ledger, asyncio.TaskGroup() as group:
        group.create_task(ledger.write(put("a")))
        await asyncio.sleep(0)
        seen = group.create_task(ledger.read(items))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await asyncio.shield(seen)
        group.create_task(ledger.write(put("b")))
        group.create_task(ledger.write(put("c")))

    assert seen.result() == ["a"]


async def test_a_failed_question_harms_nobody(state_dir: Path) -> None:
    def fail(_: Tx) -> None:
        raise ValueError("no")

    async with slow_groups(state_dir) as ledger:
        first, question, *_ = await asyncio.gather(
            ledger.write(put("a")),
            ledger.read(fail),
            ledger.write(put("b")),
            ledger.write(put("c")),
            return_exceptions=True,
        )

        assert first == "a"
        assert isinstance(question, ValueError)
        assert await ledger.read(items) == ["a", "b", "c"]


# Trouble --------------------------------------------------------------------------------------------


def _descriptor(path: Path) -> int:
    for handle in Path("/proc/self/fd").iterdir():
        try:
            if handle.readlink() == path:
                return int(handle.name)
        except OSError:
            continue
    raise AssertionError(f"{path} is not open")


def _break(path: Path, by: str, flags: int) -> None:
    """Let every further write to an open file fail as the kernel would let it."""
    other = os.open(by, flags)
    os.dup2(other, _descriptor(path))
    os.close(other)


async def test_after_an_input_output_error_nothing_more_is_accepted(state_dir: Path) -> None:
    async with open_ledger(state_dir, site="LUND", commit_interval_s=0.02) as ledger:
        await ledger.write(put("before"))
        _break(state_dir / "ledger.db-wal", "/dev/null", os.O_RDONLY)

        answers = await asyncio.gather(ledger.write(put("a")), ledger.write(put("b")), return_exceptions=True)

        assert [type(answer) for answer in answers] == [LedgerError, LedgerError]
        with pytest.raises(LedgerError, match="disk"):
            await ledger.read(items)
        with pytest.raises(LedgerError, match="disk"):
            await ledger.changed("plan", timeout_s=5)

    async with open_ledger(state_dir, site="LUND") as ledger:
        assert await ledger.read(items) == ["before"]


async def test_a_listener_is_woken_when_the_ledger_fails(state_dir: Path) -> None:
    async with open_ledger(state_dir, site="LUND", commit_interval_s=0.02) as ledger, asyncio.TaskGroup() as group:
        listener = group.create_task(_fault_of(ledger.changed("plan", timeout_s=20)))
        await ledger.write(put("before"))
        _break(state_dir / "ledger.db-wal", "/dev/null", os.O_RDONLY)
        writer = group.create_task(_fault_of(ledger.write(put("a"))))

    assert "disk" in listener.result()
    assert "disk" in writer.result()


async def _fault_of(call: object) -> str:
    with pytest.raises(LedgerError) as fault:
        await call  # type: ignore[misc]
    return str(fault.value)


async def test_a_full_disk_fails_the_group_and_the_ledger_goes_on_when_there_is_space(ledger: Ledger) -> None:
    await ledger.write(put("before"))
    await ledger.write(_limit(pages_more=0))
    big = "x" * 2_000_000

    with pytest.raises(LedgerFullError, match="full"):
        await ledger.at_once().write(put(big))

    assert await ledger.read(items) == ["before"]
    await ledger.write(_limit(pages_more=10_000))
    await ledger.write(put(big))
    assert len(await ledger.read(items)) == 2


def _limit(*, pages_more: int) -> Callable[[Tx], None]:
    def event(tx: Tx) -> None:
        pages = tx.exec_driver_sql("PRAGMA page_count").scalar_one()
        tx.exec_driver_sql(f"PRAGMA max_page_count = {pages + pages_more}").scalar_one()

    return event


async def test_when_a_commit_finds_the_disk_full_every_caller_is_told_and_nothing_is_kept(
    state_dir: Path, commits: Commits
) -> None:
    async with slow_groups(state_dir) as ledger:
        with_space = os.dup(_descriptor(state_dir / "ledger.db-wal"))
        _break(state_dir / "ledger.db-wal", "/dev/full", os.O_RDWR)

        at_once = ledger.at_once()
        answers = await asyncio.gather(*(at_once.write(put(str(n))) for n in range(4)), return_exceptions=True)

        os.dup2(with_space, _descriptor(Path("/dev/full")))
        os.close(with_space)
        assert [type(answer) for answer in answers] == [LedgerFullError] * 4
        assert "full" in str(answers[0])
        assert await ledger.read(items) == []
        assert await asyncio.gather(*(ledger.write(put(str(n))) for n in range(4))) == ["0", "1", "2", "3"]


async def test_a_bug_in_committing_leaves_nobody_waiting(state_dir: Path, commits: Commits) -> None:
    def bug() -> None:
        raise ZeroDivisionError("a bug")

    async with slow_groups(state_dir) as ledger, asyncio.timeout(5):
        commits.before = bug
        answers = await asyncio.gather(*(ledger.write(put(str(n))) for n in range(4)), return_exceptions=True)

        assert [type(answer) for answer in answers] == [LedgerError] * 4
        assert isinstance(answers[0], LedgerError)
        assert isinstance(answers[0].__cause__, ZeroDivisionError)
        with pytest.raises(LedgerError, match="a bug"):
            await ledger.read(items)


async def test_an_event_that_does_not_end_is_reported_and_nothing_of_its_group_is_kept(
    state_dir: Path, gate: Gate
) -> None:
    async with open_ledger(state_dir, site="LUND", commit_interval_s=0.02, deadline_s=0.3) as ledger:
        answers = await asyncio.gather(ledger.write(put("a")), ledger.write(gate), return_exceptions=True)

        assert [type(answer) for answer in answers] == [LedgerError, LedgerError]
        assert "did not end within 0.3 s" in str(answers[1])
        with pytest.raises(LedgerError):
            await ledger.write(put("b"))
        gate.open()

    async with open_ledger(state_dir, site="LUND") as ledger:
        assert await ledger.read(items) == []


async def test_a_ledger_that_cannot_close_says_so(state_dir: Path, gate: Gate) -> None:
    async def use() -> None:
        async with open_ledger(state_dir, site="LUND", deadline_s=0.2) as ledger:
            with pytest.raises(LedgerError):
                await ledger.write(gate)

    with pytest.raises(LedgerError, match="did not close"):
        await use()
    gate.open()


async def test_a_call_that_was_cancelled_before_its_turn_is_not_run(ledger: Ledger, gate: Gate) -> None:
    blocking = asyncio.ensure_future(ledger.write(gate))
    await eventually(gate.reached.is_set)
    waiting = asyncio.ensure_future(ledger.write(put("late")))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    gate.open()
    await asyncio.gather(blocking, waiting, return_exceptions=True)

    assert await ledger.read(items) == []


async def test_only_so_many_calls_wait_at_once(state_dir: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PLACES", 3)
    async with open_ledger(state_dir, site="LUND", commit_interval_s=0) as ledger:
        blocking = asyncio.ensure_future(ledger.write(gate))
        await eventually(gate.reached.is_set)
        waiting = [asyncio.ensure_future(ledger.write(put(str(number)))) for number in range(20)]
        for _ in range(50):
            await asyncio.sleep(0)
        queued = ledger._writer._queue.qsize()
        gate.open()
        await asyncio.gather(blocking, *waiting)

        assert queued == 2
        assert await ledger.read(items) == [str(number) for number in range(20)]


# Closing --------------------------------------------------------------------------------------------


async def test_what_is_queued_is_written_before_the_ledger_closes(state_dir: Path) -> None:
    async with open_ledger(state_dir, site="LUND") as ledger:
        writes = [asyncio.ensure_future(ledger.write(put(str(number)))) for number in range(50)]
        await asyncio.sleep(0)

    assert await asyncio.gather(*writes) == [str(number) for number in range(50)]
    async with open_ledger(state_dir, site="LUND") as ledger:
        assert len(await ledger.read(items)) == 50


async def test_a_closed_ledger_refuses_every_call(state_dir: Path) -> None:
    async with open_ledger(state_dir, site="LUND") as ledger:
        pass

    for call in (ledger.write(put("a")), ledger.read(items), ledger.changed("plan", timeout_s=1)):
        with pytest.raises(LedgerError, match="closed"):
            await call


async def test_opening_that_is_given_up_leaves_the_directory_free(
    state_dir: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = opening.open_state

    def slow(*args: object, **options: object) -> object:
        gate(None)  # type: ignore[arg-type]
        return original(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(database, "open_state", slow)

    async def use() -> None:
        async with open_ledger(state_dir, site="LUND"):
            raise AssertionError("it was given up")

    user = asyncio.ensure_future(use())
    await eventually(gate.reached.is_set)
    user.cancel()
    await asyncio.gather(user, return_exceptions=True)
    gate.open()

    monkeypatch.setattr(database, "open_state", original)
    await eventually(lambda: all(thread.name != "ledger" for thread in threading.enumerate()))
    async with open_ledger(state_dir, site="LUND") as ledger:
        assert ledger.boot == 2


# Bells ----------------------------------------------------------------------------------------------


def ringing(name: str, *, fail: bool = False) -> Callable[[Tx], None]:
    def event(tx: Tx) -> None:
        ring(tx, name)
        if fail:
            raise ValueError("no")

    return event


async def test_a_bell_that_rang_before_is_heard_once(ledger: Ledger) -> None:
    await ledger.write(ringing("plan"))

    assert await ledger.changed("plan", timeout_s=5)
    assert not await ledger.changed("plan", timeout_s=0.01)


async def test_a_bell_wakes_its_listener_alone(ledger: Ledger) -> None:
    async with asyncio.TaskGroup() as group:
        listener = group.create_task(ledger.changed("plan", timeout_s=20))
        other = group.create_task(ledger.changed("other", timeout_s=0.1))
        await asyncio.sleep(0)
        await ledger.write(ringing("plan"))

    assert listener.result()
    assert not other.result()


async def test_a_bell_of_an_event_that_failed_does_not_ring(state_dir: Path) -> None:
    async with slow_groups(state_dir) as ledger:
        await asyncio.gather(
            ledger.write(ringing("kept")),
            ledger.write(ringing("failed", fail=True)),
            ledger.write(put("a")),
            ledger.write(put("b")),
            return_exceptions=True,
        )

        assert await ledger.changed("kept", timeout_s=5)
        assert not await ledger.changed("failed", timeout_s=0.01)


async def test_a_bell_rings_after_the_commit(ledger: Ledger, commits: Commits, gate: Gate) -> None:
    commits.before = lambda: gate(None)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        group.create_task(ledger.write(ringing("plan")))
        await eventually(gate.reached.is_set)
        assert not await ledger.changed("plan", timeout_s=0.01)
        gate.open()
        assert await ledger.changed("plan", timeout_s=5)


async def test_a_bell_has_one_listener(ledger: Ledger) -> None:
    async with asyncio.TaskGroup() as group:
        listener = group.create_task(ledger.changed("plan", timeout_s=20))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="already listens"):
            await ledger.changed("plan", timeout_s=1)
        await ledger.write(ringing("plan"))

    assert listener.result()
