"""What the spool has on disk survives damage, a full disk and its limits, and what it drops is declared."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.uplink.spool import Gap, Limits, Policy, Sample
from gateway.uplink.spool.gaps import GAPS_MAX, merged
from gateway.uplink.spool.records import HEADER_SIZE, decode_all, encode
from gateway.uplink.spool.segment import Disk
from gateway.uplink.spool.store import Store

HOUR_MS = 3_600_000
LOG = structlog.get_logger("test")


class FullDisk(Disk):
    """A disk that takes only so many bytes more, and writes a part of what does not fit."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, descriptor: int, raw: bytes) -> None:
        taken, self.room = raw[: self.room], max(0, self.room - len(raw))
        super().write(descriptor, taken)
        if len(taken) < len(raw):
            raise OSError(errno.ENOSPC, "No space left on device")


class Clock:
    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms


def store(place: Path, *, now: Callable[[], int] = Clock(), disk: Disk | None = None, **limits: Any) -> Store:  # noqa: B008
    return Store(place, Limits(**{"max_bytes": 1_000_000, **limits}), now_ms=now, log=LOG, disk=disk)


def samples(first: int, count: int, *, machine: str = "press-1", boot: int = 1, size: int = 100) -> list[Sample]:
    return [
        Sample(number=n, machine=machine, boot=boot, seq=n, t_ms=n, count=3, body=b"%d:" % n + b"x" * size)
        for n in range(first, first + count)
    ]


def waiting(kept: Store, *, after: int = 0) -> list[int]:
    found, _ = kept.read(after, limit=100_000, wanted=lambda _: True, stop=1 << 62)
    return [sample.number for sample in found]


def declared(kept: Store) -> set[int]:
    return {seq for gap in kept.gaps for seq in range(gap.first, gap.last + 1)}


def segment(place: Path) -> Path:
    (only,) = place.glob("*.seg")
    return only


def test_what_was_kept_is_found_again_in_its_order(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.append(samples(1, 10))
    kept.append(samples(11, 5, machine="oven-1"))
    again = store(tmp_path)
    found, _ = again.read(0, limit=100, wanted=lambda _: True, stop=1 << 62)
    assert list(found) == samples(1, 10) + samples(11, 5, machine="oven-1")
    assert again.next_number == 16


def test_a_segment_goes_when_all_of_it_was_acknowledged_and_not_before(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.append(samples(1, 10))
    kept.acknowledge(range(2, 11))
    assert list(tmp_path.glob("*.seg"))
    kept.acknowledge([1])
    assert not list(tmp_path.glob("*.seg"))
    assert kept.size == 0


def test_after_a_restart_only_what_was_not_acknowledged_is_sent(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.append(samples(1, 10))
    kept.acknowledge([1, 2, 3, 7])
    kept.tidy()
    assert waiting(store(tmp_path)) == [4, 5, 6, 8, 9, 10]


def test_a_segment_whose_only_waiting_record_is_torn_goes_at_the_start(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.append(samples(1, 3))
    kept.acknowledge([1, 2])
    kept.tidy()
    file = segment(tmp_path)
    file.write_bytes(file.read_bytes()[:-1])
    again = store(tmp_path)
    assert waiting(again) == []
    assert not file.exists()
    assert again.next_number > 2


def test_a_damaged_file_of_acknowledgements_only_sends_twice(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.append(samples(1, 3))
    kept.acknowledge([1])
    kept.tidy()
    file = tmp_path / "acknowledged"
    file.write_bytes(file.read_bytes()[:-1])
    assert waiting(store(tmp_path)) == [1, 2, 3]


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_torn_last_record_costs_only_itself_wherever_it_is_torn(tmp_path: Path, damage: str) -> None:
    kept = store(tmp_path)
    kept.append(samples(1, 4, size=20))
    file = segment(tmp_path)
    whole = file.read_bytes()
    length = len(encode(samples(4, 1, size=20)[0]))
    for place in range(len(whole) - length, len(whole)):
        torn = whole[:place] if damage == "cut" else whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :]
        file.write_bytes(torn)
        again = store(tmp_path)
        assert waiting(again) == [1, 2, 3], place
        assert file.stat().st_size == len(whole) - length, place


def test_a_segment_whose_header_is_torn_holds_nothing(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.append(samples(1, 4))
    file = segment(tmp_path)
    whole = file.read_bytes()
    for length in range(HEADER_SIZE):
        file.write_bytes(whole[:length])
        assert waiting(store(tmp_path)) == []


def test_a_segment_of_another_version_is_left_alone_and_its_name_is_not_taken(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.append(samples(1, 4))
    file = segment(tmp_path)
    whole = bytearray(file.read_bytes())
    whole[8] = 2
    whole[HEADER_SIZE - 4 : HEADER_SIZE] = __import__("zlib").crc32(whole[: HEADER_SIZE - 4]).to_bytes(4, "little")
    file.write_bytes(whole)
    again = store(tmp_path)
    again.append(samples(again.next_number, 1))
    assert file.read_bytes() == whole
    assert len(list(tmp_path.glob("*.seg"))) == 2


def test_damage_in_the_middle_costs_one_record_and_is_declared(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.append(samples(1, 6))
    file = segment(tmp_path)
    whole = bytearray(file.read_bytes())
    whole[whole.index(b"3:x") + 5] ^= 1
    file.write_bytes(whole)
    again = store(tmp_path)
    assert waiting(again) == [1, 2, 4, 5, 6]
    assert declared(again) == {3}


@given(raw=st.binary(max_size=300))
def test_no_bytes_are_read_as_more_than_they_are(raw: bytes) -> None:
    found, end, _ = decode_all(raw, 0)
    assert found == []
    assert end == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=4))
def test_flipped_bytes_never_make_a_sample_that_was_not_kept(flips: list[tuple[int, int]]) -> None:
    kept = samples(1, 5, size=40)
    raw = bytearray(b"".join(map(encode, kept)))
    for place, value in flips:
        raw[place % len(raw)] ^= value
    found, _, _ = decode_all(bytes(raw), 0)
    assert {sample.number for sample in found} <= {1, 2, 3, 4, 5}
    assert all(sample in kept for sample in found)


@pytest.mark.parametrize("policy", list(Policy))
def test_a_full_spool_keeps_to_its_bytes_and_every_number_is_there_or_declared(tmp_path: Path, policy: Policy) -> None:
    kept = store(tmp_path, max_bytes=20_000, policy=policy)
    for first in range(1, 601, 10):
        kept.append(samples(first, 10))
        assert kept.size <= 20_000
    there = set(waiting(kept))
    assert len(there) > 40
    assert there | declared(kept) >= set(range(1, 601))
    match policy:
        case Policy.DROP_OLDEST:
            assert max(there) == 600
            assert len(kept.gaps) == 1
            assert sum(gap.count for gap in kept.gaps) + len(there) == 600
        case Policy.DROP_NEWEST:
            assert min(there) == 1
            assert max(there) < 200
        case Policy.THIN:
            assert max(there) == 600
            assert len(there & set(range(1, 400))) > 5


def test_a_gap_is_on_disk_before_what_it_declares_is_gone(tmp_path: Path) -> None:
    kept = store(tmp_path, max_bytes=20_000)
    for first in range(1, 401, 10):
        kept.append(samples(first, 10))
    again = store(tmp_path)
    assert again.gaps == kept.gaps
    assert set(waiting(again)) | declared(again) == set(range(1, 401))


def test_a_told_gap_is_forgotten_but_one_that_grew_meanwhile_is_told_again(tmp_path: Path) -> None:
    kept = store(tmp_path)
    one = Gap(machine="press-1", boot=1, first=1, last=5, count=5, values=15, reason="the spool is full")
    kept.declare([one])
    kept.declare([Gap(machine="press-1", boot=1, first=6, last=8, count=3, values=9, reason="the spool is full")])
    kept.told(one)
    (left,) = kept.gaps
    assert (left.first, left.last, left.count) == (1, 8, 8)
    kept.told(left)
    assert store(tmp_path).gaps == ()


def test_there_are_never_many_gaps_and_none_is_forgotten() -> None:
    many = [
        Gap(machine="press-1", boot=1, first=n, last=n, count=1, values=1, reason="the spool is full")
        for n in range(1, 1000, 2)
    ]
    kept = merged((), many)
    assert len(kept) <= GAPS_MAX
    assert sum(gap.count for gap in kept) == len(many)
    assert all(any(gap.first <= one.first <= gap.last for gap in kept) for one in many)


def test_what_is_too_old_goes_and_is_declared(tmp_path: Path) -> None:
    now = Clock()
    kept = store(tmp_path, now=now, max_age_h=8)
    for first in range(1, 201, 10):
        kept.append(samples(first, 10))
        kept.tidy()
        now.ms += HOUR_MS
    there = waiting(kept)
    assert there == list(range(min(there), 201))
    assert 191 - min(there) in range(70, 101)
    assert declared(kept) == set(range(1, min(there)))


def test_a_full_disk_sheds_samples_with_a_gap_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    disk = FullDisk(room=2_000)
    kept = store(tmp_path, disk=disk, policy=Policy.DROP_NEWEST)
    kept.append(samples(1, 10))
    kept.append(samples(11, 10))
    kept.append(samples(21, 10))
    assert waiting(kept) == list(range(1, 11))
    assert declared(kept) == set(range(11, 31))
    disk.room = 1_000_000
    kept.append(samples(31, 10))
    assert waiting(store(tmp_path)) == [*range(1, 11), *range(31, 41)]


def test_a_full_disk_takes_the_oldest_samples_first(tmp_path: Path) -> None:
    disk = FullDisk(room=60_000)
    kept = store(tmp_path, disk=disk, max_bytes=80_000)
    for first in range(1, 301, 10):
        kept.append(samples(first, 10))
    disk.room = 0
    kept.append(samples(301, 10))
    there = waiting(kept)
    assert 1 not in there
    assert set(there) | declared(kept) == set(range(1, 311))


def test_samples_are_read_in_parts_and_only_what_is_wanted(tmp_path: Path) -> None:
    kept = store(tmp_path, max_bytes=20_000)
    kept.append(samples(1, 20))
    kept.append(samples(21, 20))
    kept.acknowledge([3, 4])
    found, after = kept.read(0, limit=5, wanted=lambda _: True, stop=100)
    assert [sample.number for sample in found] == [1, 2, 5, 6, 7]
    found, after = kept.read(after, limit=100, wanted=lambda number: number < 12 or number > 30, stop=35)
    assert [sample.number for sample in found] == [8, 9, 10, 11, 31, 32, 33, 34]
    found, after = kept.read(after, limit=100, wanted=lambda _: True, stop=100)
    assert [sample.number for sample in found] == list(range(35, 41))


def test_samples_give_way_the_oldest_first_until_there_is_room_and_none_is_kept_meanwhile(tmp_path: Path) -> None:
    kept = store(tmp_path, max_bytes=8_000)
    for first in range(1, 41, 5):
        kept.append(samples(first, 5))
    before = waiting(kept)
    looks = iter([False, False, True])

    kept.give_way(lambda: next(looks))
    after = waiting(kept)
    assert before[-len(after) :] == after
    assert 0 < len(after) < len(before)
    kept.append(samples(41, 2))
    assert waiting(kept) == after
    assert {gap.reason for gap in kept.gaps} >= {"the disk is full: orders come first"}
    assert declared(kept) >= {*before} - {*after} | {41, 42}

    kept.give_way(None)
    kept.append(samples(43, 2))
    assert waiting(kept) == [*after, 43, 44]
