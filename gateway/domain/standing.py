"""What an order looks like from outside: derived from its lines each time, never stored."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Final

from gateway.domain.states import LineState

EASE: Final = timedelta(hours=6)
_WORST_FIRST = (
    LineState.QUARANTINED,
    LineState.NOT_DUE,
    LineState.RECEIVED,
    LineState.PLANNED,
    LineState.IN_PRODUCTION,
    LineState.MADE,
    LineState.SHIPPED,
    LineState.NOT_MADE,
    LineState.CANCELLED,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LineStanding:
    """One line: its state, the pieces wanted, the pieces made, and whether it is to be made at all."""

    state: LineState
    quantity: int
    good: int
    promise_at: str | None = None
    expected_at: str | None = None


def order_state(states: Iterable[LineState]) -> LineState:
    """Give the worst of the lines; cancelled and not-made lines count only when no other is left."""
    present = set(states)
    return next((state for state in _WORST_FIRST if state in present), LineState.NOT_MADE)


def told(lines: Iterable[LineStanding]) -> dict[str, str]:
    """Give what a shop is told of an order: state, progress in percent of pieces made, promise, expectation.

    Promise and expectation are the latest of the lines, and a line without an expectation comes as promised; keys
    without a value are left out.
    """
    lines = tuple(lines)
    made = [line for line in lines if line.state not in {LineState.NOT_MADE, LineState.CANCELLED}]
    wanted = sum(line.quantity for line in made)
    good = sum(min(line.good, line.quantity) for line in made)
    values = {
        "_kvot_state": order_state(line.state for line in lines).value,
        "_kvot_progress": str(100 * good // wanted if wanted else 100),
    }
    promises = [line.promise_at for line in made if line.promise_at]
    if promises:
        values["_kvot_promise"] = max(promises)
    if any(line.expected_at for line in made):
        values["_kvot_expected"] = max(times for line in made if (times := line.expected_at or line.promise_at))
    return values


def expectation(
    forecast: datetime | None, *, promise: datetime, before: datetime | None, zone: tzinfo
) -> datetime | None:
    """Give what a customer is to expect instead of what he was told last; None while that stands.

    `forecast`: when he gets it in nine of ten cases, None while nothing speaks against the promise. Only days later
    than the promised one are told. Another day is told as soon as it is later; an earlier one when the forecast would
    have to slip by `EASE` to be wrong, and when that is the promised day, the promise itself is expected again.
    """
    told = before or promise
    wanted = promise if forecast is None or _day(forecast, zone) <= _day(promise, zone) else forecast
    if _day(wanted, zone) > _day(told, zone):
        return wanted
    eased = wanted if forecast is None else max(wanted, forecast + EASE)
    return wanted if _day(eased, zone) < _day(told, zone) else None


def _day(at: datetime, zone: tzinfo) -> date:
    return at.astimezone(zone).date()
