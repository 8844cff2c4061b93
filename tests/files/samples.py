"""Small files of each type, right and wrong, made byte by byte."""

import struct
import zlib


def png(
    width: int = 709, height: int = 709, *, dots_a_metre: int | None = 11811, grey: int = 7, end: bool = True
) -> bytes:
    parts = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))]
    if dots_a_metre is not None:
        parts.append(_chunk(b"pHYs", struct.pack(">IIB", dots_a_metre, dots_a_metre, 1)))
    rows = (b"\x00" + bytes([grey]) * width) * height if width * height < 10**7 else b""
    parts.append(_chunk(b"IDAT", zlib.compress(rows)))
    if end:
        parts.append(_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpeg(width: int = 709, height: int = 354, *, unit: int = 1, density: int = 300, end: bool = True) -> bytes:
    jfif = _segment(0xE0, b"JFIF\x00" + struct.pack(">BBBHHBB", 1, 2, unit, density, density, 0, 0))
    tables = _segment(0xDB, bytes(65))
    frame = _segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00")
    scan = _segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") + b"\x12\x34"
    return b"\xff\xd8" + jfif + tables + frame + scan + (b"\xff\xd9" if end else b"")


def svg(
    inside: str = "<rect width='1' height='1'/>", *, head: str = "", root: str = "width='60mm' height='30mm'"
) -> bytes:
    return f"{head}<svg xmlns='http://www.w3.org/2000/svg' {root}>{inside}</svg>".encode()


def pdf(*sizes_pt: tuple[float, float], catalog: str = "", pages_key: str = "") -> bytes:
    """Write a PDF of empty pages, with a right table of its objects."""
    kids = " ".join(f"{number + 3} 0 R" for number in range(len(sizes_pt)))
    objects = [
        f"<</Type/Catalog/Pages 2 0 R {catalog}>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(sizes_pt)}>>",
        *(f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {width} {height}]{pages_key}>>" for width, height in sizes_pt),
    ]
    body, places = b"%PDF-1.7\n", []
    for number, text in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj{text}endobj\n".encode()
    table = len(body)
    rows = "".join(f"{place:010d} 00000 n \n" for place in places)
    body += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{rows}".encode()
    return body + f"trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{table}\n%%EOF\n".encode()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
