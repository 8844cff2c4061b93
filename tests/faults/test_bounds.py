"""Secrets and growth are seen in whatever a life leaves behind, a stuck loop by its silence, and answers are spoilt."""

import json
import os
import signal
import zlib
from pathlib import Path

import pytest

from gateway import sdnotify
from gateway.shops.strict_json import JsonFaultError, parse
from tests.faults import bounds, nameless, watchdog
from tests.faults.answers import BOMB_MB, bomb
from tests.faults.checker import UNEXPLAINED
from tests.faults.oddities import EXTRA, ODD_TEXTS, ODDITIES, written
from tests.faults.watchdog import Watchdog

HELD = {"files": 5, "tasks": 2, "grown_kb": 1000}


@pytest.mark.parametrize("name", ["1-log.txt", "2-broken.txt", "state/ledger.db"])
@pytest.mark.parametrize("secret", bounds.SECRETS)
def test_a_secret_is_found_wherever_it_is_shown(state_dir: Path, name: str, secret: bytes) -> None:
    path = state_dir / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"GET /orders\n?key=")
    assert bounds.check(state_dir) == []
    path.write_bytes(b"GET /orders\n?key=" + secret)
    assert [found[:2] for found in bounds.check(state_dir)] == [(UNEXPLAINED, "I10")]


@pytest.mark.parametrize("name", list(bounds.LIMITS))
def test_what_grew_beyond_its_limit_is_found(state_dir: Path, name: str) -> None:
    held = state_dir / "1-held.json"
    held.write_text(json.dumps(HELD))
    assert bounds.check(state_dir) == []
    held.write_text(json.dumps(HELD | {name: bounds.LIMITS[name] + 1}))
    assert [found[:2] for found in bounds.check(state_dir)] == [(UNEXPLAINED, "I7")]


def test_a_log_without_end_is_found(state_dir: Path) -> None:
    (state_dir / "1-log.txt").write_bytes(b"." * (bounds.LOG_BYTES_MAX + 1))
    assert [found[:2] for found in bounds.check(state_dir)] == [(UNEXPLAINED, "I7")]


def test_a_life_that_is_silent_is_killed_and_one_that_keeps_alive_though_stuck_is_found(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "PATIENCE_S", 0.2)
    monkeypatch.setattr(watchdog, "LAST_S", 0.0)
    (state_dir / "struck").touch()
    for talks in (False, True):
        over = Watchdog(directory=state_dir, exact=True, patience_s=30)
        child = os.fork()
        if child == 0:
            over.announce()
            while True:
                if talks:
                    sdnotify.notify_watchdog()
                signal.sigtimedwait([], 0.01)
        pidfd = os.pidfd_open(child)
        found = over.watch(pidfd, child, 1)
        os.close(pidfd)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        assert [one[:2] for one in found] == ([(UNEXPLAINED, "I11")] if talks else [])


def test_the_bomb_is_small_and_unpacks_to_what_it_says() -> None:
    assert len(bomb()) < BOMB_MB * 2000
    unpacker = zlib.decompressobj(wbits=31)
    some = unpacker.decompress(bomb(), 5_000_000)
    assert some == b"\0" * 5_000_000
    assert unpacker.unconsumed_tail


@pytest.mark.parametrize("odd", [name for name in ODDITIES if name != "field of 10 MB"])
def test_each_oddity_changes_the_row_it_is_for(odd: str) -> None:
    row = {"id": 1, "quantity": 1, "total": "149.00", "name": "Tray", "meta_data": []}
    before = dict(row)
    ODDITIES[odd](row)
    assert row != before
    assert odd == EXTRA or {name: row.get(name) for name in before} != before
    assert b"RAW" not in written([row])


@pytest.mark.parametrize("odd", list(ODD_TEXTS))
def test_each_odd_text_is_no_json_that_can_be_trusted(odd: str) -> None:
    body = json.dumps([{"id": 1, "line_items": [{"quantity": 1, "name": "Tray"}]}], separators=(",", ":")).encode()
    with pytest.raises(JsonFaultError):
        parse(ODD_TEXTS[odd](body))


def test_a_name_is_away_as_often_as_it_was_told(state_dir: Path) -> None:
    nameless.take_away(state_dir, times=2)
    assert [nameless.is_away(state_dir) for _ in range(3)] == [True, True, False]
