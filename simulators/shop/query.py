"""List parameters as WooCommerce understands them: strict dates, the time zone trap, order, pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from re import fullmatch
from typing import Protocol, TypeVar
from zoneinfo import ZoneInfo

from simulators.shop.values import STATUSES, Json

DATE = r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}(?::?\d{2})?)?"
DATE_FILTERS = (
    ("after", False, True),
    ("before", False, False),
    ("modified_after", True, True),
    ("modified_before", True, False),
)
PER_PAGE_MAX = 100


class RestError(Exception):
    """An answer that is an error: HTTP status, WooCommerce's code and message, and what `data` says besides."""

    def __init__(self, status: int, code: str, message: str, **more: Json) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.more = more


class Dated(Protocol):
    """What can be listed."""

    @property
    def id(self) -> int:
        """Give the id."""
        ...

    @property
    def created(self) -> datetime:
        """Give the time of creation."""
        ...

    @property
    def modified(self) -> datetime:
        """Give the time of the last change."""
        ...


Row = TypeVar("Row", bound=Dated)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """One date filter, compared with a column of wall-clock times: the site's own or GMT."""

    modified: bool
    after: bool
    gmt_column: bool
    wall: datetime

    def admits(self, row: Dated, zone: ZoneInfo) -> bool:
        """Compare strictly, with a resolution of one second."""
        time = (row.modified if self.modified else row.created).replace(microsecond=0)
        column = time.astimezone(UTC if self.gmt_column else zone).replace(tzinfo=None)
        return column > self.wall if self.after else column < self.wall


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """A parsed list request. `statuses` empty means all but the bin."""

    page: int
    per_page: int
    orderby: str
    descending: bool
    bounds: tuple[Bound, ...]
    statuses: frozenset[str]
    include: tuple[int, ...]

    def window(self) -> slice:
        """Give which of the found rows belong to the page."""
        return slice((self.page - 1) * self.per_page, self.page * self.per_page)


def listing(query: Mapping[str, str], zone: ZoneInfo) -> Listing:
    """Parse a list request or raise `RestError` 400, as the real shop does for its known parameters."""
    gmt_column = _flag(query, "dates_are_gmt")
    bounds = tuple(
        Bound(modified=modified, after=after, gmt_column=gmt_column, wall=wall_time(query[name], name, zone))
        for name, modified, after in DATE_FILTERS
        if query.get(name)
    )
    return Listing(
        page=_integer(query, "page", default=1, least=1, most=None),
        per_page=_integer(query, "per_page", default=10, least=1, most=PER_PAGE_MAX),
        orderby=_one_of(query, "orderby", ("date", "id", "include", "title", "slug", "modified"), "date"),
        descending=_one_of(query, "order", ("asc", "desc"), "desc") == "desc",
        bounds=bounds,
        statuses=_statuses(query),
        include=_ids(query, "include"),
    )


def select(rows: Sequence[Row], asked: Listing, zone: ZoneInfo) -> list[Row]:
    """Give the rows that pass all filters, in the order asked for, all pages together."""
    found = [row for row in rows if all(bound.admits(row, zone) for bound in asked.bounds)]
    if asked.include:
        found = [row for row in found if row.id in asked.include]
    if asked.orderby == "include":
        return sorted(found, key=lambda row: asked.include.index(row.id) if asked.include else row.id)
    by_id = sorted(found, key=lambda row: row.id, reverse=asked.descending)
    match asked.orderby:
        case "date":
            return sorted(by_id, key=lambda row: row.created, reverse=asked.descending)
        case "modified":
            return sorted(by_id, key=lambda row: row.modified, reverse=asked.descending)
        case _:
            return by_id


def wall_time(text: str, name: str, zone: ZoneInfo) -> datetime:
    """Read a date filter as WordPress does.

    A text without a zone is taken as it stands. One with a zone is converted to the *site's* wall clock,
    whichever column it is then compared with: with `dates_are_gmt` it is off by the site's offset.
    """
    try:
        time = datetime.fromisoformat(text.upper().replace(" ", "T") if fullmatch(DATE, text) else "")
    except ValueError:
        raise invalid(name, "Invalid date.", "rest_invalid_date") from None
    time = time.replace(microsecond=0)
    return time if time.tzinfo is None else time.astimezone(zone).replace(tzinfo=None)


def invalid(name: str, message: str, code: str) -> RestError:
    """Give the error for a parameter that is not acceptable."""
    detail = {"code": code, "message": message, "data": None}
    return RestError(
        400, "rest_invalid_param", f"Invalid parameter(s): {name}", params={name: message}, details={name: detail}
    )


def _integer(query: Mapping[str, str], name: str, *, default: int, least: int, most: int | None) -> int:
    text = query.get(name, str(default))
    if not fullmatch(r"-?\d{1,9}", text):
        raise invalid(name, f"{name} is not of type integer.", "rest_invalid_type")
    number = int(text)
    if most is not None and not least <= number <= most:
        message = f"{name} must be between {least} (inclusive) and {most} (inclusive)"
        raise invalid(name, message, "rest_out_of_bounds")
    if number < least:
        raise invalid(name, f"{name} must be greater than or equal to {least}", "rest_out_of_bounds")
    return number


def _one_of(query: Mapping[str, str], name: str, words: tuple[str, ...], default: str) -> str:
    word = query.get(name, default)
    if word not in words:
        raise invalid(name, f"{name} is not one of {', '.join(words)}.", "rest_not_in_enum")
    return word


def _flag(query: Mapping[str, str], name: str) -> bool:
    word = query.get(name, "false").lower()
    if word not in {"true", "1", "false", "0", ""}:
        raise invalid(name, f"{name} is not of type boolean.", "rest_invalid_type")
    return word in {"true", "1"}


def _statuses(query: Mapping[str, str]) -> frozenset[str]:
    words = [word.strip() for word in query.get("status", "any").split(",") if word.strip()]
    for place, word in enumerate(words):
        if word not in {"any", *STATUSES}:
            message = f"status[{place}] is not one of any, {', '.join(STATUSES)}."
            raise invalid("status", message, "rest_not_in_enum")
    return frozenset() if "any" in words else frozenset(words)


def _ids(query: Mapping[str, str], name: str) -> tuple[int, ...]:
    parts = [part.strip() for part in query.get(name, "").split(",") if part.strip()]
    if not all(fullmatch(r"\d{1,12}", part) for part in parts):
        raise invalid(name, f"{name}[0] is not of type integer.", "rest_invalid_type")
    return tuple(int(part) for part in parts)
