"""A reply counts only when each of its bytes is right: judged over TCP and over a serial line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.mailbox_command import crc16
from drivers.modbus.frames import Expected, Reply, judge_rtu, judge_tcp

_READ = Expected.of_read(7, 2)
_READ_PDU = bytes([3, 4, 0x12, 0x34, 0x56, 0x78])
_WRITE = Expected.of_write(7, 158, 0x1234)
_WRITE_PDU = bytes([6, 0, 158, 0x12, 0x34])
_MANY = Expected.of_write_many(7, 101, 56)
_MANY_PDU = bytes([16, 0, 101, 0, 56])
_CASES = [(_READ, _READ_PDU), (_WRITE, _WRITE_PDU), (_MANY, _MANY_PDU)]
_CASES += [(expected, bytes([expected.function | 0x80, 11])) for expected in (_READ, _WRITE, _MANY)]


def tcp(pdu: bytes, *, transaction: int = 5, protocol: int = 0, unit: int = 7, length: int | None = None) -> bytes:
    length = len(pdu) + 1 if length is None else length
    return b"".join(number.to_bytes(2, "big") for number in (transaction, protocol, length)) + bytes([unit]) + pdu


def rtu(pdu: bytes, *, unit: int = 7) -> bytes:
    frame = bytes([unit]) + pdu
    return frame + crc16(frame).to_bytes(2, "little")


@pytest.mark.parametrize(("expected", "pdu"), _CASES)
def test_a_right_reply_is_whole_and_each_of_its_beginnings_is_not_yet(expected: Expected, pdu: bytes) -> None:
    frame = tcp(pdu)
    assert judge_tcp(frame, expected, 5) is Reply.WHOLE
    assert {judge_tcp(frame[:end], expected, 5) for end in range(len(frame))} == {Reply.PARTIAL}
    frame = rtu(pdu)
    assert judge_rtu(frame, expected) is Reply.WHOLE
    assert {judge_rtu(frame[:end], expected) for end in range(len(frame))} == {Reply.PARTIAL}


@pytest.mark.parametrize(("expected", "pdu"), _CASES)
@given(data=st.data())
def test_no_changed_byte_of_what_is_fixed_passes(expected: Expected, pdu: bytes, data: st.DataObject) -> None:
    frame = bytearray(tcp(pdu))
    free = 9 if expected is _READ or pdu[0] & 0x80 else len(frame)  # registers, or the code of an exception
    at = data.draw(st.integers(0, min(free, len(frame)) - 1))
    if pdu[0] & 0x80 and at == 8:
        return
    frame[at] ^= data.draw(st.integers(1, 255))
    assert judge_tcp(bytes(frame), expected, 5) is not Reply.WHOLE


@pytest.mark.parametrize(("expected", "pdu"), _CASES)
@given(data=st.data())
def test_no_changed_byte_passes_on_a_serial_line(expected: Expected, pdu: bytes, data: st.DataObject) -> None:
    frame = bytearray(rtu(pdu))
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= data.draw(st.integers(1, 255))
    assert judge_rtu(bytes(frame), expected) is not Reply.WHOLE


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (tcp(_READ_PDU, transaction=4), "transaction 4 where 5"),
        (tcp(_READ_PDU, transaction=0), "transaction 0 where 5"),
        (tcp(_READ_PDU, protocol=1), "protocol 1"),
        (tcp(_READ_PDU, unit=8), "unit 8 where 7"),
        (tcp(bytes([4]) + _READ_PDU[1:]), "function 4 where 3"),
        (tcp(bytes([3, 2, 0x12, 0x34])), "4 bytes|5 bytes"),
        (tcp(bytes([3, 2]) + _READ_PDU[2:]), "begins 02 where 04"),
        (tcp(_READ_PDU + b"\0\0"), "9 bytes where 7"),
        (tcp(_READ_PDU, length=9), "9 bytes where 7"),
        (tcp(_READ_PDU) + b"\0", "1 bytes more"),
        (tcp(bytes([0x86, 2])), "function 134"),
        (tcp(bytes([0x83, 2, 0])), "4 bytes where 3"),
    ],
)
def test_what_is_wrong_with_a_reply_is_said(frame: bytes, says: str) -> None:
    verdict = judge_tcp(frame, _READ, 5)
    assert isinstance(verdict, str)
    assert any(part in verdict for part in says.split("|")), verdict


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (rtu(_READ_PDU, unit=8), "unit 8 where 7"),
        (rtu(_READ_PDU)[:-1] + b"\0", "CRC"),
        (rtu(_READ_PDU) + b"\0", "more"),
        (rtu(bytes([3, 2, 1, 2])), "begins 02"),
        (rtu(_WRITE_PDU), "function 6 where 3"),
    ],
)
def test_what_is_wrong_with_a_reply_on_a_serial_line_is_said(frame: bytes, says: str) -> None:
    verdict = judge_rtu(frame, _READ)
    assert isinstance(verdict, str)
    assert says in verdict
