"""The spool's format on disk, version 1: a header, then records, each with its length and checksum.

Header, 32 bytes little-endian: magic, version u16, how often thinned u16, created (ms since 1970) i64,
number of the first record u64, CRC-32 of all before. Record: length of what follows the checksum u32,
CRC-32 of the length and of what follows u32, then number u64, source time (ms) i64, boot u32, seq u64,
values u32, length of the machine's name u16, the name, and the message as it is published.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zlib import crc32

VERSION = 1
HEADER_SIZE = 32
RECORD_MAX = 16 * 1024 * 1024  # bytes; no message is longer

_MAGIC = b"KVSPOOL\0"
_HEADER = struct.Struct("<8sHHqQ")
_CHECKSUM = struct.Struct("<I")
_FRAME = struct.Struct("<II")
_FIELDS = struct.Struct("<QqIQIH")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One message of values of one machine. `number` orders all samples; (boot, seq) those of the machine."""

    number: int
    machine: str
    boot: int
    seq: int
    t_ms: int  # source time
    count: int  # values
    body: bytes  # the message, JSON


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """What will never be sent: `count` of the messages `first` to `last` of one boot, with `values` values."""

    machine: str
    boot: int
    first: int
    last: int
    count: int
    values: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a segment says of itself."""

    first: int
    created_ms: int
    thinned: int = 0


class UnknownVersionError(Exception):
    """This is a segment of another version: it is left alone."""


def encode_header(header: Header) -> bytes:
    """Write a header."""
    raw = _HEADER.pack(_MAGIC, VERSION, header.thinned, header.created_ms, header.first)
    return raw + _CHECKSUM.pack(crc32(raw))


def decode_header(raw: bytes) -> Header | None:
    """Read a header, None for what is none or damaged; raise `UnknownVersionError` for a sound one we cannot read."""
    if len(raw) < HEADER_SIZE or raw[:8] != _MAGIC:
        return None
    if _CHECKSUM.unpack_from(raw, _HEADER.size)[0] != crc32(raw[: _HEADER.size]):
        return None
    _, version, thinned, created_ms, first = _HEADER.unpack_from(raw)
    if version != VERSION:
        raise UnknownVersionError(f"version {version}, this program writes {VERSION}")
    return Header(first=first, created_ms=created_ms, thinned=thinned)


def encode(sample: Sample) -> bytes:
    """Write one record."""
    name = sample.machine.encode()
    fields = _FIELDS.pack(sample.number, sample.t_ms, sample.boot, sample.seq, sample.count, len(name))
    length = len(fields) + len(name) + len(sample.body)
    checksum = crc32(sample.body, crc32(name, crc32(fields, crc32(length.to_bytes(4, "little")))))
    return b"".join((_FRAME.pack(length, checksum), fields, name, sample.body))


def decode(raw: bytes, at: int) -> tuple[Sample, int] | None:
    """Read the record at an offset and where it ends; None where there is no sound one."""
    if at + _FRAME.size > len(raw):
        return None
    length, checksum = _FRAME.unpack_from(raw, at)
    start, end = at + _FRAME.size, at + _FRAME.size + length
    if not _FIELDS.size <= length <= RECORD_MAX or end > len(raw):
        return None
    if crc32(raw[start:end], crc32(raw[at : at + 4])) != checksum:
        return None
    number, t_ms, boot, seq, count, name_length = _FIELDS.unpack_from(raw, start)
    body_at = start + _FIELDS.size + name_length
    machine = raw[start + _FIELDS.size : body_at].decode(errors="replace")
    found = Sample(number=number, machine=machine, boot=boot, seq=seq, t_ms=t_ms, count=count, body=raw[body_at:end])
    return found, end


def decode_all(raw: bytes, at: int) -> tuple[list[Sample], int, list[int]]:
    """Read all records from an offset on: the sound ones, where the last sound one ends, and the holes.

    A hole is the index of the sample behind damage. Damage is stepped over where a sound record follows.
    """
    found: list[Sample] = []
    holes: list[int] = []
    end = at
    while True:
        record = decode(raw, at)
        if record is not None:
            sample, at = record
            found.append(sample)
            end = at
            continue
        at = _behind_damage(raw, at)
        if at < 0:
            return found, end, holes
        holes.append(len(found))


def lost(samples: Iterable[Sample], reason: str) -> Iterator[Gap]:
    """Declare samples as lost: one gap for each machine and boot."""
    groups: dict[tuple[str, int], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.machine, sample.boot), []).append(sample)
    for (machine, boot), members in groups.items():
        yield Gap(
            machine=machine,
            boot=boot,
            first=min(sample.seq for sample in members),
            last=max(sample.seq for sample in members),
            count=len(members),
            values=sum(sample.count for sample in members),
            reason=reason,
        )


def _behind_damage(raw: bytes, at: int) -> int:
    """Give where a sound record follows a damaged one whose length can still be believed, else -1."""
    if at + _FRAME.size > len(raw):
        return -1
    end = at + _FRAME.size + int(_FRAME.unpack_from(raw, at)[0])
    return end if end < len(raw) and decode(raw, end) is not None else -1
