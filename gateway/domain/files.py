"""Files of an order line: what an article asks of them, what was found in one, and why one does not fit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from drivers.base import Scalar

MM_PER_INCH: Final = 25.4
SIZE_TOLERANCE_MM: Final = 1.0
SIZE_TOLERANCE: Final = 0.01  # of the side, where that is more
DPI_TOLERANCE: Final = 0.999  # 300 dpi are written as 11811 pixels a metre


class FileType(StrEnum):
    """The kinds of files that are told apart by their content."""

    PDF = "pdf"
    PNG = "png"
    JPEG = "jpeg"
    SVG = "svg"
    DXF = "dxf"
    STEP = "step"


PICTURES: Final = frozenset({FileType.PNG, FileType.JPEG})
SIZED: Final = PICTURES | {FileType.PDF, FileType.SVG}  # whose width and height can be told


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRules:
    """What a step asks of one of its files.

    `url`, `width_mm` and `height_mm` are compiled expressions like those of a step's parameters; an empty url
    means that the line has no such file. pages: exactly so many, of a PDF. min_dpi: of pictures, at the size
    asked for, else as the picture itself says.
    """

    name: str
    url: Callable[[Mapping[str, object]], Scalar]
    types: frozenset[FileType]
    max_bytes: int
    pages: int | None = None
    min_dpi: float | None = None
    width_mm: Callable[[Mapping[str, object]], Scalar] | None = None
    height_mm: Callable[[Mapping[str, object]], Scalar] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class WantedFile:
    """A file that one step of a line needs, and the size in mm it is to have (both, or none)."""

    step: int
    name: str
    url: str
    width_mm: float | None = None
    height_mm: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What was found in a file: its type by content, pages, size in mm or pixels, and the resolution it states."""

    type: FileType
    pages: int | None = None
    width_mm: float | None = None
    height_mm: float | None = None
    width_px: int | None = None
    height_px: int | None = None
    dpi: float | None = None


class UnfitError(ValueError):
    """A file cannot be used as it is: a person must get another one. The text says why, and quotes no stranger."""


def unfit(
    content: Content, rules: FileRules, *, width_mm: float | None = None, height_mm: float | None = None
) -> tuple[str, ...]:
    """Say why a file's content does not fit what is asked of it; nothing where it fits."""
    faults: list[str] = []
    if rules.pages is not None and content.pages is not None and content.pages != rules.pages:
        faults.append(f"it has {content.pages} pages, {rules.pages} are wanted")
    if width_mm is not None and height_mm is not None:
        faults += _size(content, width_mm, height_mm)
    if rules.min_dpi is not None and content.type in PICTURES:
        faults += _resolution(content, rules.min_dpi, width_mm, height_mm)
    return tuple(faults)


def _size(content: Content, width_mm: float, height_mm: float) -> list[str]:
    if content.type not in SIZED:
        return []
    if content.width_px is not None and content.height_px is not None:
        found_mm = (width_mm, width_mm * content.height_px / content.width_px)
        found = f"a picture of {content.width_px} x {content.height_px} pixels has another shape"
    elif content.width_mm is not None and content.height_mm is not None:
        found_mm = (content.width_mm, content.height_mm)
        found = f"it is {content.width_mm:.1f} x {content.height_mm:.1f} mm"
    else:
        return [f"it does not say its size; {width_mm:g} x {height_mm:g} mm are wanted"]
    if _near(found_mm[0], width_mm) and _near(found_mm[1], height_mm):
        return []
    return [f"{found}; {width_mm:g} x {height_mm:g} mm are wanted"]


def _near(found_mm: float, wanted_mm: float) -> bool:
    return abs(found_mm - wanted_mm) <= max(SIZE_TOLERANCE_MM, SIZE_TOLERANCE * wanted_mm)


def _resolution(content: Content, min_dpi: float, width_mm: float | None, height_mm: float | None) -> list[str]:
    dpi = content.dpi
    if width_mm and height_mm and content.width_px is not None and content.height_px is not None:
        dpi = min(content.width_px * MM_PER_INCH / width_mm, content.height_px * MM_PER_INCH / height_mm)
    if dpi is None:
        return [f"it does not say its resolution; {min_dpi:g} dpi are wanted"]
    return [] if dpi >= min_dpi * DPI_TOLERANCE else [f"it has {dpi:.0f} dpi, {min_dpi:g} are wanted"]
