"""Announced reductions: what is taken off, counted from the lowest price of 30 days, and when the next one may come."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_UP, Decimal
from typing import Final

from gateway.domain.price_log import LOOK_BACK, Lowest

_STEP: Final = Decimal("0.01")  # per cent; what a coupon can say


@dataclass(frozen=True, kw_only=True, slots=True)
class Reduced:
    """An article whose price is reduced: what it costs now, and the lowest price of the last 30 days."""

    price_minor: int
    prior_minor: int


def percent_off(articles: Iterable[Reduced], depth: float) -> Decimal:
    """Give the per cent that one coupon takes off each price, so that the announced share of the prior price is true.

    The announcement says "so much less than the lowest price of 30 days"; for an article that is dearer now the coupon
    has to take off more, and all articles get what the worst of them needs. A price just lowered, which the log does
    not have yet, counts as its own prior price. Rounded up to what a coupon can say.
    """
    kept = 1 - Decimal(str(depth))
    needed = [1 - Decimal(min(one.prior_minor, one.price_minor)) * kept / one.price_minor for one in articles]
    return (max(needed) * 100).quantize(_STEP, rounding=ROUND_UP)


def reduced_minor(price_minor: int, percent: Decimal) -> int:
    """Give what a customer pays."""
    return round(price_minor * (1 - percent / 100))


def rests_until(logs: Iterable[Lowest], *, last_ended: datetime | None) -> datetime | None:
    """Give before when nothing may be announced; None: it may be, now.

    30 days after the last reduction ended, so that no reduced price is within the 30 days looked back on; and not
    before the log knows 30 days of each article.
    """
    times = [] if last_ended is None else [last_ended + LOOK_BACK]
    times += [log.known_since + LOOK_BACK for log in logs if not log.whole]
    return max(times, default=None)
