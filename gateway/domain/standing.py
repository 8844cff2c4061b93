"""What an order looks like from outside: derived from its lines each time, never stored."""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.domain.states import LineState

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

    Promise and expectation are the latest of the lines; keys without a value are left out.
    """
    lines = tuple(lines)
    made = [line for line in lines if line.state not in {LineState.NOT_MADE, LineState.CANCELLED}]
    wanted = sum(line.quantity for line in made)
    good = sum(min(line.good, line.quantity) for line in made)
    values = {
        "_kvot_state": order_state(line.state for line in lines).value,
        "_kvot_progress": str(100 * good // wanted if wanted else 100),
    }
    for key, times in (
        ("_kvot_promise", [line.promise_at for line in made if line.promise_at]),
        ("_kvot_expected", [line.expected_at for line in made if line.expected_at]),
    ):
        if times:
            values[key] = max(times)
    return values
