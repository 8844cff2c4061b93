"""What a file is, by its content alone: names and content types that strangers give are not believed."""

import mmap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from gateway.domain.files import Content, FileType, UnfitError
from gateway.files.pdf import read_pdf
from gateway.files.pictures import read_jpeg, read_png
from gateway.files.svg import read_svg

_HEAD: Final = 4096
_MAGIC: Final = (
    (b"%PDF-", FileType.PDF),
    (b"\x89PNG\r\n\x1a\n", FileType.PNG),
    (b"\xff\xd8\xff", FileType.JPEG),
    (b"ISO-10303-21;", FileType.STEP),
    (b"AutoCAD Binary DXF\r\n\x1a\x00", FileType.DXF),
)
_BLANKS: Final = b" \t\r\n"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def type_of(head: bytes) -> FileType | None:
    """Tell the type by the first bytes; None where they are those of no known one."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    text = head.removeprefix(_BYTE_ORDER_MARK).lstrip(_BLANKS)
    if text.startswith(b"ISO-10303-21;"):
        return FileType.STEP
    if text[:1] == b"0" and text[1:].lstrip(_BLANKS).startswith(b"SECTION"):
        return FileType.DXF
    # A page of HTML may hold a drawing; a drawing begins with its own element, or with what may stand before it.
    if text.lower().startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text:
        return FileType.SVG
    return None


def read_content(path: Path, wanted: frozenset[FileType]) -> Content:
    """Look into a file; raise `UnfitError` when it is none of the wanted types, broken, or made to do harm."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        kind = type_of(head)
        if kind is None or kind not in wanted:
            names = ", ".join(sorted(wanted))
            raise UnfitError(f"it is {kind or _described(head)} by its content; wanted: {names}")
        read = _READ.get(kind)
        if read is None:
            return Content(type=kind)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            return read(whole)


def _described(head: bytes) -> str:
    if not head:
        return "empty"
    text = head.removeprefix(_BYTE_ORDER_MARK).lstrip(_BLANKS).lower()
    return "a web page" if text.startswith((b"<!doctype html", b"<html")) else "of an unknown type"


_READ: Final[Mapping[FileType, Callable[[mmap.mmap], Content]]] = {
    FileType.PDF: read_pdf,
    FileType.PNG: read_png,
    FileType.JPEG: read_jpeg,
    FileType.SVG: read_svg,
}
