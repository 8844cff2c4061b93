"""The key `files` of an article or a step: artwork and documents that an order line brings along."""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from gateway.domain.files import PICTURES, SIZED, FileType
from gateway.settings.faults import shown
from gateway.settings.values import Distinct, Formula, Model

FileTypeName = Literal["pdf", "png", "jpeg", "svg", "dxf", "step"]
_HOST: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?"
_PORT_MAX: Final = 65_535


def _host(text: str) -> str:
    port = re.search(r":([0-9]+)$", text)
    if not re.fullmatch(_HOST, text) or (port and not text.endswith("]") and int(port[1]) > _PORT_MAX):
        raise ValueError(
            f"'{shown(text)}' must be a host or address, such as cdn.example, 192.0.2.7 or cdn.example:8443"
        )
    return text.lower()


FileHost = Annotated[str, AfterValidator(_host), WithJsonSchema({"type": "string", "pattern": f"^{_HOST}$"})]


class FileSettings(Model):
    """A file that a line brings along: fetched, checked, and laid into the machine's hot folder before its job."""

    url: Formula
    """Where it is, as a CEL expression over `line` and `order`; '' means that this line has none."""
    types: Annotated[tuple[FileTypeName, ...], Field(min_length=1), Distinct]
    """What it may be, judged by its content: pdf, png, jpeg, svg, dxf, step."""
    max_mb: Annotated[float, Field(gt=0, le=500, allow_inf_nan=False)] = 50
    """Largest size, megabytes."""
    pages: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """How many pages a PDF has."""
    width_mm: Formula | None = None
    """Width it is to have, as a CEL expression; PDF and SVG within 1 mm (or 1 %), a picture in its proportions."""
    height_mm: Formula | None = None
    """Height it is to have; goes together with width_mm."""
    min_dpi: Annotated[float, Field(ge=1, le=10_000, allow_inf_nan=False)] | None = None
    """Lowest resolution of a picture at that size; without a size, as the picture itself says."""

    @property
    def kinds(self) -> frozenset[FileType]:
        """Give the types as the domain names them."""
        return frozenset(FileType(name) for name in self.types)

    @model_validator(mode="after")
    def _possible(self) -> "FileSettings":
        if (self.width_mm is None) != (self.height_mm is None):
            raise ValueError("width_mm and height_mm belong together; give both or none")
        if self.pages is not None and FileType.PDF not in self.kinds:
            raise ValueError("pages are those of a PDF, and types has no pdf; remove pages, or add pdf")
        if self.min_dpi is not None and not self.kinds & PICTURES:
            raise ValueError("min_dpi is for png and jpeg, and types has neither; remove it, or add one")
        if self.width_mm is not None and not self.kinds & SIZED:
            raise ValueError("dxf and step do not tell their size; remove width_mm and height_mm")
        return self
