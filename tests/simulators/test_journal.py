"""The journal is the physical truth: whole lines, synced, readable after a power cut."""

import os
from pathlib import Path

import pytest

from simulators.journal import Entry, Event, Journal, read


def test_what_is_written_is_read_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "journal" / "press-1.jsonl"
    with Journal(path, machine="press-1", wall=lambda: 1000.5) as journal:
        journal.write(Event.START, job="LUND-0-1")
        journal.write(Event.END, job="LUND-0-1", job_no=7, good=9, scrap=1)

    assert read(path) == [
        Entry(t=1000.5, machine="press-1", job="LUND-0-1", job_no=None, event=Event.START, good=0, scrap=0),
        Entry(t=1000.5, machine="press-1", job="LUND-0-1", job_no=7, event=Event.END, good=9, scrap=1),
    ]


def test_an_entry_is_on_the_disk_before_write_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    real = os.fsync

    def fsync(file: int) -> None:
        real(file)
        synced.append((tmp_path / "j.jsonl").read_bytes())

    with Journal(tmp_path / "j.jsonl", machine="press-1") as journal:
        monkeypatch.setattr("simulators.journal.os.fsync", fsync)
        journal.write(Event.START, job="A")

    assert len(synced) == 1
    assert b'"start"' in synced[0]


def test_a_journal_that_is_opened_again_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    for job in ("A", "B"):
        with Journal(path, machine="press-1") as journal:
            journal.write(Event.START, job=job)

    assert [entry.job for entry in read(path)] == ["A", "B"]


def test_a_torn_last_line_has_not_happened_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, machine="press-1") as journal:
        journal.write(Event.START, job="A")
    with path.open("ab") as file:
        file.write(b'{"t": 12.5, "machine": "pre')

    assert [entry.job for entry in read(path)] == ["A"]

    with Journal(path, machine="press-1") as journal:
        journal.write(Event.START, job="B")
    assert [entry.job for entry in read(path)] == ["A", "B"]


def test_a_broken_line_in_the_middle_is_an_error_and_never_skipped(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, machine="press-1") as journal:
        journal.write(Event.START, job="A")
    path.write_bytes(b'{"t": 1}\n' + path.read_bytes())

    with pytest.raises(ValueError, match="not a journal entry"):
        read(path)


def test_a_journal_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path / "nothing.jsonl") == []
