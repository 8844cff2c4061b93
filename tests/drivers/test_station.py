"""A station remembers its tickets over restarts, and takes only what fits from its people."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from drivers.base import Answer, Command, CommandKind, DriverError, JobPhase
from drivers.station import book as books
from drivers.station.book import Book, BookError, Ticket
from drivers.station.session import Station

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
WHO = "person:tester"


def _command(kind: CommandKind = CommandKind.LOAD_START, job_id: str = "LUND-1-1") -> Command:
    return Command(
        kind=kind,
        job_id=job_id,
        job_no=1,
        recipe="pack",
        recipe_version="1",
        parameters={"text": "Åsa"},
        quantity=3,
        cycles=3,
        deadline_s=1e9,
        labels={"order_numbers": ("1001",), "sku": "TRAY-12"},
    )


def _station(directory: Path) -> Station:
    return Station(name="packing", path=directory / "packing.jsonl", now=lambda: NOW)


async def test_a_ticket_is_begun_counted_and_ended_by_a_named_person(tmp_path: Path) -> None:
    station = _station(tmp_path)
    rung: list[bool] = []
    async with station.session(lambda: rung.append(True)) as session:
        assert (await session.send(_command())).answer is Answer.ACCEPTED
        station.start("LUND-1-1", who=WHO)
        station.report("LUND-1-1", good=2, scrap=1, reason="torn box", who=WHO)
        station.report("LUND-1-1", good=1, scrap=0, reason=None, who=WHO)
        station.done("LUND-1-1", who=WHO)
        finding = await session.ask("LUND-1-1")
        assert (finding.phase, finding.good, finding.produced) == (JobPhase.ENDED, 3, 4)
        assert finding.reason == "torn box"
        assert finding.confirmed_by == WHO
        assert "tester" not in finding.evidence
        assert (await session.send(_command(CommandKind.CLEAR))).answer is Answer.ACCEPTED
        assert (await session.ask("LUND-1-1")).phase is None
    assert len(rung) == 4


async def test_tickets_outlive_a_restart_and_are_never_issued_twice(tmp_path: Path) -> None:
    station = _station(tmp_path)
    async with station.session(lambda: None) as session:
        await session.send(_command())
        station.start("LUND-1-1", who=WHO)
        station.report("LUND-1-1", good=1, scrap=0, reason=None, who=WHO)
    again = _station(tmp_path)
    async with again.session(lambda: None) as session:
        finding = await session.ask("LUND-1-1")
        assert (finding.phase, finding.good, finding.started_at) == (JobPhase.RUNNING, 1, NOW)
        assert (await session.send(_command())).answer is Answer.REFUSED
        (ticket,) = again.tickets()
        assert ticket.labels["order_numbers"] == ("1001",)


async def test_a_torn_last_line_never_counted(tmp_path: Path) -> None:
    station = _station(tmp_path)
    async with station.session(lambda: None) as session:
        await session.send(_command())
        station.start("LUND-1-1", who=WHO)
    path = tmp_path / "packing.jsonl"
    whole = path.read_bytes()
    for cut in range(len(whole) - 1, whole.index(b"\n"), -37):
        path.write_bytes(whole[:cut])
        torn = _station(tmp_path)
        async with torn.session(lambda: None) as session:
            assert (await session.ask("LUND-1-1")).phase is JobPhase.ALLOWED_TO_START
            torn.start("LUND-1-1", who=WHO)
        async with torn.session(lambda: None) as session:
            assert (await session.ask("LUND-1-1")).phase is JobPhase.RUNNING


async def test_a_damaged_book_is_said_and_not_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "packing.jsonl").write_bytes(b"{nonsense\n")
    with pytest.raises(DriverError, match="cannot be read"):
        async with _station(tmp_path).session(lambda: None):
            pass


@pytest.mark.parametrize("act", ["report", "done", "clear"])
async def test_what_does_not_fit_is_refused_in_words(tmp_path: Path, act: str) -> None:
    station = _station(tmp_path)
    async with station.session(lambda: None) as session:
        await session.send(_command())
        match act:
            case "report":
                with pytest.raises(BookError, match="not begun"):
                    station.report("LUND-1-1", good=1, scrap=0, reason=None, who=WHO)
            case "done":
                with pytest.raises(BookError, match="not begun"):
                    station.done("LUND-1-1", who=WHO)
            case _:
                assert (await session.send(_command(CommandKind.CLEAR))).answer is Answer.REFUSED


def test_scrap_needs_a_reason_and_a_report_needs_pieces(tmp_path: Path) -> None:
    book = Book(tmp_path / "b.jsonl")
    book.issue(Ticket(job_id="J", recipe="pack", parameters={}, quantity=1))
    book.start("J", who=WHO, now=NOW)
    with pytest.raises(BookError, match="reason"):
        book.report("J", good=0, scrap=1, reason=None, who=WHO)
    with pytest.raises(BookError, match="how many"):
        book.report("J", good=0, scrap=0, reason=None, who=WHO)
    book.close()


def test_a_begun_ticket_cannot_be_taken_back(tmp_path: Path) -> None:
    book = Book(tmp_path / "b.jsonl")
    book.issue(Ticket(job_id="J", recipe="pack", parameters={}, quantity=1))
    book.start("J", who=WHO, now=NOW)
    with pytest.raises(BookError, match="under way"):
        book.cancel("J")
    book.close()


def test_a_long_book_is_written_anew_with_its_open_tickets_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "COMPACT_LINES", 5)
    path = tmp_path / "b.jsonl"
    book = Book(path)
    for number in range(4):
        book.issue(Ticket(job_id=f"J{number}", recipe="pack", parameters={}, quantity=1))
        if number:
            book.cancel(f"J{number}")
    book.close()
    Book(path).close()
    assert path.read_bytes().count(b"\n") == 1
    again = Book(path)
    assert [ticket.job_id for ticket in again.tickets()] == ["J0"]
    again.close()
