"""A drawing in SVG: its size, and that it holds nothing that acts, grows, or fetches."""

import mmap
import re
from collections.abc import Mapping
from typing import Final
from xml.parsers import expat

from gateway.domain.files import MM_PER_INCH, Content, FileType, UnfitError

BYTES_MAX: Final = 20_000_000
DEPTH_MAX: Final = 200
ELEMENTS_MAX: Final = 500_000

_SVG: Final = "http://www.w3.org/2000/svg"
_ACTING: Final = frozenset(
    {"script", "foreignobject", "iframe", "object", "embed", "audio", "video", "handler", "listener"}
)
_SAFE_TARGET: Final = re.compile(r"\s*(?:#|data:image/(?:png|jpeg);base64,|$)", re.IGNORECASE)
_FETCHES: Final = re.compile(r"@import|expression\(|javascript:|url\((?!\s*+['\"]?+\s*+#)", re.IGNORECASE)
_LENGTH: Final = re.compile(r"\s*([0-9]{1,7}(?:\.[0-9]{1,9})?)\s*(mm|cm|in|pt|pc|px)?\s*")
_MM: Final[Mapping[str, float]] = {
    "mm": 1.0,
    "cm": 10.0,
    "in": MM_PER_INCH,
    "pt": MM_PER_INCH / 72,
    "pc": MM_PER_INCH / 6,
    "px": MM_PER_INCH / 96,  # CSS: 96 to an inch
}


def read_svg(data: mmap.mmap | bytes) -> Content:
    """Read a drawing's size; raise `UnfitError` when it is broken or holds what has no place in artwork."""
    if len(data) > BYTES_MAX:
        raise UnfitError(f"it is a drawing of more than {BYTES_MAX // 1_000_000} MB of text")
    reader = _Reader()
    parser = expat.ParserCreate(encoding="UTF-8", namespace_separator=" ")
    parser.XmlDeclHandler = reader.declared
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.EntityDeclHandler = reader.entity
    parser.ProcessingInstructionHandler = reader.instruction
    parser.StartElementHandler = reader.begins
    parser.EndElementHandler = reader.ends
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(data[:], True)
    except expat.ExpatError as error:
        raise UnfitError(f"it is a broken drawing, at line {error.lineno}") from None
    return Content(type=FileType.SVG, width_mm=reader.width_mm, height_mm=reader.height_mm)


class _Reader:
    """Judges a drawing while it is read."""

    def __init__(self) -> None:
        self.width_mm: float | None = None
        self.height_mm: float | None = None
        self._open: list[str] = []
        self._style = ""
        self._elements = 0

    def declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        # Another reader would believe the declaration, and see another drawing than this one.
        if encoding is not None and encoding.lower() not in {"utf-8", "us-ascii"}:
            raise UnfitError("it is a drawing that is not written in UTF-8")

    def doctype(self, *_: object) -> None:
        raise UnfitError("it is a drawing with a document type, which can grow without end; save it without one")

    def entity(self, *_: object) -> None:
        raise UnfitError("it is a drawing with entities, which can grow without end; save it without them")

    def instruction(self, *_: object) -> None:
        raise UnfitError("it is a drawing with instructions to programs; save it without them")

    def begins(self, name: str, attributes: dict[str, str]) -> None:
        space, _, local = name.rpartition(" ")
        self._elements += 1
        if not self._open:
            if (space, local) != (_SVG, "svg"):
                raise UnfitError("it is XML, but no drawing")
            self.width_mm, self.height_mm = _mm(attributes.get("width")), _mm(attributes.get("height"))
        self._open.append(local)
        if len(self._open) > DEPTH_MAX or self._elements > ELEMENTS_MAX:
            raise UnfitError("it is a drawing of far too many parts")
        if local.lower() in _ACTING:
            raise UnfitError(f"it is a drawing that acts (<{local.lower()}>); save it as plain artwork")
        for key, value in attributes.items():
            _check_attribute(key.rpartition(" ")[2].lower(), value)

    def ends(self, _name: str) -> None:
        if self._open.pop() == "style":
            _check_style(self._style)
            self._style = ""

    def text(self, text: str) -> None:
        if "style" in self._open:
            self._style += text


def _check_attribute(key: str, value: str) -> None:
    if key.startswith("on"):
        raise UnfitError("it is a drawing that acts (an attribute on...); save it as plain artwork")
    if key in {"href", "src"} and not _SAFE_TARGET.match(value):
        raise UnfitError("it is a drawing that fetches something from elsewhere; embed it")
    _check_style(value)


def _check_style(text: str) -> None:
    # CSS escapes could hide what is looked for; artwork needs none.
    if _FETCHES.search(text) or ("\\" in text and "(" in text):
        raise UnfitError("it is a drawing that fetches something from elsewhere; embed it")


def _mm(length: str | None) -> float | None:
    """Give a length in mm; None for a share of the page, or none at all."""
    found = _LENGTH.fullmatch(length or "")
    return float(found[1]) * _MM[found[2] or "px"] if found else None
