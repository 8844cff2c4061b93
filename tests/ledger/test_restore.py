"""A restored backup is another life of the same ledger: new epoch, nothing armed, nothing numbered twice."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.domain.machines import Level
from gateway.errors import LedgerError, LedgerLostError, RefusedError, StateLockedError
from gateway.ledger import events, exceptions, facts, machines, migrations, recovery
from gateway.ledger.counters import next_number
from gateway.ledger.database import Tx, open_ledger
from gateway.ledger.migrations import Migration
from gateway.ledger.remains import Mark, backup_name
from gateway.ledger.restore import Restored, restore
from gateway.ledger.sql import change, row, rows
from tests.ledger.damage import damage

AT = datetime(2026, 5, 4, 10, 15, tzinfo=UTC)
LATER = datetime(2026, 5, 5, 10, 15, tzinfo=UTC)
WHO = "person:anna"


class CrashError(BaseException):
    """The command ends here."""


def _armed(tx: Tx) -> None:
    machines.enrol(tx, "press-1")
    machines.arm(tx, "press-1", Level.START, who=WHO, identity="press", profile="p1", now=AT)


async def _backed_up(state_dir: Path) -> Path:
    """Make a ledger with an armed press, told facts and one that waits, then a backup, then more of a life."""
    path = state_dir / "backups" / backup_name(AT, 1)
    path.parent.mkdir()
    async with open_ledger(state_dir, site="LUND") as ledger:
        await ledger.write(_armed)
        for _ in range(3):
            await ledger.write(lambda tx: facts.post(tx, "order.state", at=AT, order_id=7))
        await ledger.write(lambda tx: change(tx, "DELETE FROM outbox WHERE seq < 3"))
        await ledger.copy(path, progress=lambda *_: None)
        await ledger.write(lambda tx: next_number(tx, "job"))
    return path


def _restore(state_dir: Path, backup: Path) -> Restored:
    return restore(state_dir, backup, who=WHO, now=LATER)


async def test_a_restore_begins_another_epoch_and_starts_recovering(state_dir: Path) -> None:
    done = _restore(state_dir, await _backed_up(state_dir))

    assert (done.epoch, done.site, done.as_of) == (2, "LUND", "2026-05-04T10:15:00.000000Z")
    async with open_ledger(state_dir, site="LUND") as ledger:
        assert (ledger.epoch, ledger.boot) == (2, 2)
        assert await ledger.read(recovery.since) == done.as_of
        last = (await ledger.read(lambda tx: events.history(tx, "ledger", 1)))[0]
        assert (last["what"], last["who"]) == ("ledger.restored", WHO)


async def test_what_was_there_is_kept_beside_it_and_can_be_taken_back(state_dir: Path) -> None:
    backup = await _backed_up(state_dir)
    done = _restore(state_dir, backup)
    assert done.aside is not None

    back = _restore(state_dir, done.aside)

    assert back.epoch == 3
    async with open_ledger(state_dir, site="LUND") as ledger:
        assert await ledger.read(lambda tx: row(tx, "SELECT 1 FROM counters WHERE name = 'job'")) is not None


async def test_the_same_backup_twice_gives_two_epochs_and_no_boot_comes_again(state_dir: Path) -> None:
    backup = await _backed_up(state_dir)
    boots = []
    for epoch in (2, 3):
        assert _restore(state_dir, backup).epoch == epoch
        for _ in range(2):
            async with open_ledger(state_dir, site="LUND") as ledger:
                boots.append(ledger.boot)

    assert boots == [2, 3, 4, 5]


async def test_the_epoch_is_remembered_even_where_the_ledger_is_lost(state_dir: Path) -> None:
    backup = await _backed_up(state_dir)
    _restore(state_dir, backup)
    (state_dir / "ledger.db").unlink()
    with pytest.raises(LedgerLostError):
        async with open_ledger(state_dir, site="LUND"):
            pass

    assert _restore(state_dir, backup).epoch == 3
    assert (Mark.find(state_dir) or Mark(ledger_id="", epoch=0, boot=0)).epoch == 3


async def test_every_arming_lapses_and_a_person_is_called(state_dir: Path) -> None:
    _restore(state_dir, await _backed_up(state_dir))

    async with open_ledger(state_dir, site="LUND") as ledger:
        assert (await ledger.read(lambda tx: machines.arming(tx, "press-1"))).level is Level.READ
        (asked,) = await ledger.read(lambda tx: exceptions.list_exceptions(tx, state="open"))
        assert (asked["subject"], asked["cause"]) == ("machine:press-1", "arming lapsed")


async def test_facts_are_numbered_from_one_again_without_a_hole(state_dir: Path) -> None:
    _restore(state_dir, await _backed_up(state_dir))

    async with open_ledger(state_dir, site="LUND") as ledger:
        seqs = [one["seq"] for one in await ledger.read(lambda tx: rows(tx, "SELECT seq FROM outbox ORDER BY seq"))]
        assert seqs == list(range(1, len(seqs) + 1))
        assert await ledger.write(lambda tx: facts.post(tx, "order.state", at=AT, order_id=8)) == len(seqs) + 1


async def test_it_refuses_while_a_gateway_runs(state_dir: Path) -> None:
    backup = await _backed_up(state_dir)

    async with open_ledger(state_dir, site="LUND"):
        with pytest.raises(StateLockedError):
            _restore(state_dir, backup)


async def test_a_damaged_backup_is_refused_and_the_ledger_left_alone(state_dir: Path) -> None:
    backup = await _backed_up(state_dir)
    damage(backup)
    before = (state_dir / "ledger.db").read_bytes()

    with pytest.raises(RefusedError, match="damaged"):
        _restore(state_dir, backup)

    assert (state_dir / "ledger.db").read_bytes() == before


async def test_the_backup_of_another_ledger_is_refused(state_dir: Path) -> None:
    mine, other = state_dir / "mine", state_dir / "other"
    mine.mkdir()
    other.mkdir()
    await _backed_up(mine)
    foreign = await _backed_up(other)

    with pytest.raises(RefusedError, match=r"a backup of ledger .* but .* holds"):
        _restore(mine, foreign)
    with pytest.raises(RefusedError, match="is no file"):
        _restore(mine, mine / "none.db")


async def test_a_backup_can_be_restored_in_an_empty_directory(state_dir: Path) -> None:
    backup = await _backed_up(state_dir)
    fresh = state_dir / "fresh"

    assert _restore(fresh, backup).aside is None

    async with open_ledger(fresh, site="LUND") as ledger:
        assert ledger.epoch == 2


async def test_a_backup_of_an_older_program_is_brought_up_to_date_and_one_of_a_newer_refused(state_dir: Path) -> None:
    backup = await _backed_up(state_dir)
    shipped = migrations.known()

    def upgrade(tx: Tx) -> None:
        change(tx, "CREATE TABLE extra (a INTEGER)")

    more = (*shipped, Migration(number=shipped[-1].number + 1, name="more", upgrade=upgrade))
    restore(state_dir, backup, who=WHO, now=LATER, steps=more)
    async with open_ledger(state_dir, site="LUND", steps=more) as ledger:
        assert await ledger.read(lambda tx: rows(tx, "SELECT * FROM extra")) == []
    newer = state_dir / "newer.db"
    shutil.copyfile(state_dir / "ledger.db", newer)

    with pytest.raises(LedgerError, match="newer Kvot"):
        _restore(state_dir, newer)


@pytest.mark.parametrize("lost_after", ["aside", "log aside", "in place"])
async def test_a_crash_on_the_way_never_leaves_another_ledger_than_the_old_or_the_new(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, lost_after: str
) -> None:
    backup = await _backed_up(state_dir)
    (state_dir / "ledger.db-wal").write_bytes(b"")  # as after a crash
    moves = {"aside": 1, "log aside": 2, "in place": 3}[lost_after]
    real = Path.replace
    done: list[str] = []

    def replace(self: Path, target: Path) -> Path:
        if self.name.startswith(("ledger.db", "ledger.restoring")) and self.exists():
            if len(done) >= moves:
                raise CrashError
            done.append(self.name)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    if lost_after == "in place":
        _restore(state_dir, backup)
    else:
        with pytest.raises(CrashError):
            _restore(state_dir, backup)
        monkeypatch.undo()
        with pytest.raises(LedgerLostError):
            async with open_ledger(state_dir, site="LUND"):
                pass
        _restore(state_dir, backup)

    async with open_ledger(state_dir, site="LUND") as ledger:
        assert ledger.epoch == 2
