"""A PDF: how many pages of which size, and that it holds nothing that acts."""

import io
import mmap
from typing import Any, Final

from pypdf import PdfReader

from gateway.domain.files import MM_PER_INCH, SIZE_TOLERANCE_MM, Content, FileType, UnfitError

PAGES_MAX: Final = 10_000
_TAIL: Final = 2048
_MM_PER_POINT: Final = MM_PER_INCH / 72
_QUARTER_TURNS: Final = frozenset({90, 270})


def read_pdf(data: mmap.mmap | bytes) -> Content:
    """Read pages and size; raise `UnfitError` for what is encrypted, ends early, or acts.

    What the library raises on a broken file is left to end the process this runs in.
    """
    if data.rfind(b"%%EOF", max(0, len(data) - _TAIL)) < 0:
        raise UnfitError("it is a PDF that ends early")
    document: Any = PdfReader(_stream(data), strict=False)
    if document.is_encrypted:
        raise UnfitError("it is an encrypted PDF; save it without a password")
    _refuse_acting(document.trailer["/Root"])
    pages = document.get_num_pages()
    if not 0 < pages <= PAGES_MAX:
        raise UnfitError(f"it is a PDF of {pages} pages")
    sizes = [_size_mm(page) for page in document.pages]
    alike = all(abs(one[side] - sizes[0][side]) <= SIZE_TOLERANCE_MM for one in sizes for side in (0, 1))
    width_mm, height_mm = sizes[0] if alike else (None, None)
    return Content(type=FileType.PDF, pages=pages, width_mm=width_mm, height_mm=height_mm)


def _stream(data: mmap.mmap | bytes) -> Any:
    return io.BytesIO(data) if isinstance(data, bytes) else data


def _refuse_acting(root: Any) -> None:
    """Refuse scripts, programs to start and files inside."""
    names = root.get("/Names", {})
    opening = root.get("/OpenAction")
    acts = isinstance(opening, dict) and opening.get("/S") not in {None, "/GoTo"}
    if acts or "/AA" in root or "/JavaScript" in names or "/EmbeddedFiles" in names:
        raise UnfitError("it is a PDF that acts (scripts, actions or files inside); save it as plain artwork")


def _size_mm(page: Any) -> tuple[float, float]:
    """Give a page's size as it is trimmed, turned as it is shown."""
    box, scale = page.trimbox, float(page.get("/UserUnit", 1.0)) * _MM_PER_POINT
    width, height = float(box.width) * scale, float(box.height) * scale
    return (height, width) if page.rotation % 360 in _QUARTER_TURNS else (width, height)
