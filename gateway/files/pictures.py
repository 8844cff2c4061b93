"""Pictures by their headers: size and resolution of PNG and JPEG; no pixel is ever unpacked."""

import mmap
import struct
from collections.abc import Iterator
from typing import Final

from gateway.domain.files import MM_PER_INCH, Content, FileType, UnfitError

SIDE_MAX: Final = 100_000
PIXELS_MAX: Final = 500_000_000  # what a picture unpacks to at the machine
CHUNKS_MAX: Final = 100_000

_PNG_LONGEST_CHUNK: Final = 2**31 - 1
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # ITU-T T.81, table B.1: start of frame
_SCAN, _END, _JFIF = 0xDA, 0xD9, 0xE0
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length
_INCH, _CENTIMETRE = 1, 2
_METRE: Final = 1


def read_png(data: mmap.mmap | bytes) -> Content:
    """Read a PNG's header (ISO/IEC 15948); raise `UnfitError` when it is broken or ends early."""
    width = height = 0
    dpi: float | None = None
    last = b""
    for kind, start, length in _png_chunks(data):
        if not width and (kind != b"IHDR" or length != struct.calcsize(">IIBBBBB")):
            raise UnfitError("it is a broken PNG: it does not begin with its size")
        if kind == b"IHDR":
            width, height = struct.unpack(">II", data[start : start + 8])
            _check_size(width, height)
        elif kind == b"pHYs" and length == struct.calcsize(">IIB"):
            across, down, unit = struct.unpack(">IIB", data[start : start + 9])
            dpi = min(across, down) * MM_PER_INCH / 1000 if unit == _METRE else None
        last = kind
    if last != b"IEND":
        raise UnfitError("it is a PNG that ends early")
    return Content(type=FileType.PNG, width_px=width, height_px=height, dpi=dpi or None)


def read_jpeg(data: mmap.mmap | bytes) -> Content:
    """Read a JPEG's header (ITU-T T.81, JFIF); raise `UnfitError` when it is broken or ends early."""
    dpi: float | None = None
    size: tuple[int, int] | None = None
    for marker, start, length in _jpeg_segments(data):
        if marker == _JFIF and length >= 12 and data[start : start + 5] == b"JFIF\x00":  # noqa: PLR2004 - up to the density
            unit, across, down = struct.unpack(">BHH", data[start + 7 : start + 12])
            dpi = {_INCH: 1.0, _CENTIMETRE: MM_PER_INCH / 10}.get(unit, 0.0) * min(across, down) or None
        elif marker in _FRAMES and length >= 6 and size is None:  # noqa: PLR2004 - precision and both sides
            height, width = struct.unpack(">HH", data[start + 1 : start + 5])
            size = (width, height)
        elif marker == _SCAN:
            if data.rfind(b"\xff\xd9") < start:
                raise UnfitError("it is a JPEG that ends early")
            break
    else:
        raise UnfitError("it is a JPEG without a picture")
    if size is None:
        raise UnfitError("it is a broken JPEG: it does not tell its size")
    _check_size(*size)
    return Content(type=FileType.JPEG, width_px=size[0], height_px=size[1], dpi=dpi)


def _png_chunks(data: mmap.mmap | bytes) -> Iterator[tuple[bytes, int, int]]:
    """Give (type, where its content begins, length) of each chunk up to the last."""
    place = 8
    for _ in range(CHUNKS_MAX):
        if place + 12 > len(data):
            raise UnfitError("it is a PNG that ends early")
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        if length > _PNG_LONGEST_CHUNK or place + 12 + length > len(data):
            raise UnfitError("it is a PNG that ends early")
        yield kind, place + 8, length
        if kind == b"IEND":
            return
        place += 12 + length
    raise UnfitError("it is a PNG of far too many parts")


def _jpeg_segments(data: mmap.mmap | bytes) -> Iterator[tuple[int, int, int]]:
    """Give (marker, where its content begins, length) of each segment up to the first scan."""
    place = 2
    for _ in range(CHUNKS_MAX):
        while data[place : place + 2] == b"\xff\xff":  # fill bytes
            place += 1
        if place + 4 > len(data) or data[place] != 0xFF:  # noqa: PLR2004 - each marker begins so
            raise UnfitError("it is a JPEG that ends early")
        marker = data[place + 1]
        if marker in _ALONE:
            place += 2
            continue
        (length,) = struct.unpack(">H", data[place + 2 : place + 4])
        if marker == _END or length < 2 or place + 2 + length > len(data):  # noqa: PLR2004 - the length counts itself
            raise UnfitError("it is a JPEG that ends early")
        yield marker, place + 4, length - 2
        place += 2 + length
    raise UnfitError("it is a JPEG of far too many parts")


def _check_size(width: int, height: int) -> None:
    if not (0 < width <= SIDE_MAX and 0 < height <= SIDE_MAX and width * height <= PIXELS_MAX):
        raise UnfitError(f"it is a picture of {width} x {height} pixels, which no machine should unpack")
