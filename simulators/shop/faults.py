"""What can go wrong between a shop and the world, switched on and off while it runs."""

from dataclasses import dataclass, replace
from enum import StrEnum

from simulators.shop.values import Json


class FaultKind(StrEnum):
    """How an answer is spoilt."""

    DOWN = "down"  # 503, nothing is done
    LIMITED = "limited"  # 429 with Retry-After, nothing is done
    HTML = "html"  # 200 with a page instead of JSON, nothing is done
    LOST = "lost"  # the change is made, the answer is a 502
    TRUNCATED = "truncated"  # done, but the JSON ends half-way
    SLOW = "slow"  # done at once, answered late
    RENAMED = "renamed"  # one order has a field under another name
    DUPLICATE_PAGE = "duplicate_page"  # a list answers with the rows of the page before
    MISSING_PAGE = "missing_page"  # a list page has no rows
    ARTWORK_MISSING = "artwork_missing"  # 404 for a customer's picture
    ARTWORK_HTML = "artwork_html"  # a page to sign in on instead of the picture
    ARTWORK_MOVED = "artwork_moved"  # a redirect to another address
    ARTWORK_HUGE = "artwork_huge"  # 80 MB instead of the picture
    ARTWORK_DRIP = "artwork_drip"  # the picture, byte by byte


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One fault; `times` None means until cleared, and `method` None any method.

    `seconds` is the delay of `slow` or the Retry-After of `limited`; `page` the page that is duplicated or
    missing; `order`, `field` and `to` what is renamed (`field` may go deeper: `line_items.0.sku`).
    """

    kind: FaultKind
    times: int | None = None
    method: str | None = None
    seconds: float = 1.0
    page: int = 1
    order: int = 0
    field: str = ""
    to: str = ""


class Faults:
    """The faults in force, at most one of each kind."""

    def __init__(self) -> None:
        self._faults: dict[FaultKind, Fault] = {}

    def put(
        self,
        kind: FaultKind | str,
        *,
        times: int | None = None,
        method: str | None = None,
        seconds: float = 1.0,
        page: int = 1,
        order: int = 0,
        field: str = "",
        to: str = "",
    ) -> None:
        """Switch a fault on; a fault of the same kind is replaced."""
        self._faults[FaultKind(kind)] = Fault(
            kind=FaultKind(kind),
            times=times,
            method=method,
            seconds=seconds,
            page=page,
            order=order,
            field=field,
            to=to,
        )

    def clear(self, kind: FaultKind | str | None = None) -> None:
        """Switch one fault off, or all of them."""
        if kind is None:
            self._faults.clear()
        else:
            self._faults.pop(FaultKind(kind), None)

    def active(self) -> tuple[Fault, ...]:
        """Give the faults in force."""
        return tuple(self._faults.values())

    def take(self, kind: FaultKind, method: str, *, page: int | None = None, order: int | None = None) -> Fault | None:
        """Give the fault of that kind if it applies to this request, and count it down."""
        fault = self._faults.get(kind)
        if fault is None or (fault.method or method) != method:
            return None
        if (page is not None and fault.page != page) or (order is not None and fault.order != order):
            return None
        if fault.times is not None:
            if fault.times <= 1:
                del self._faults[kind]
            else:
                self._faults[kind] = replace(fault, times=fault.times - 1)
        return fault


def renamed(body: Json, path: str, to: str) -> None:
    """Give the field at a dotted path another name, in place; a path that leads nowhere changes nothing."""
    *way, last = path.split(".")
    place = body
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place.get(step, {})
    if last in place:
        place[to] = place.pop(last)
