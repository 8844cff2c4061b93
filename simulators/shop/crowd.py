"""The crowd: visitors look, and buy or leave; exactly the planned orders come of it, in time.

What is ordered is planned (`customers.plan`); *when*, and which of two articles that would both do, follows what
the shop shows. Visitors pass by at moments fixed by the seed. Each wants one of the orders still to be placed, and
buys with the probability of its least attractive line: the log-odds fall with the price above the first one seen and
with the lead above the first one shown (`appeal.Taste`). A campaign sends more visitors, who look only at what it is
open for. An order nobody placed by its latest moment is placed then, so that all of them come within the customers'
time.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from simulators.shop.appeal import Look, Taste
from simulators.shop.customers import LAST_MOMENT, Visit, Why
from simulators.shop.values import Wanted

SAME_SECOND = 3  # whoever places this order is not alone: another one comes in the same second
ASKED = 2  # visitors for each order who come only because of a campaign
LIKES_BETTER = math.log(2)  # of two articles the first one named has so much log-odds more

See = Callable[[str], Look]


@dataclass(frozen=True, kw_only=True, slots=True)
class Visitor:
    """Somebody who looks, that long after the shop opened.

    wants: which of the orders still to be placed, as a share of their number. doubts: buys when the probability is
    above it. asked: a campaign sent him, so without one he does not come.
    """

    after: timedelta
    wants: float
    doubts: float
    asked: bool = False


def passers(*, seed: int, orders: int, within: timedelta, taste: Taste) -> tuple[Visitor, ...]:
    """Give everybody who looks; as many as it takes to place the orders if prices and leads stay as they are."""
    dice = random.Random(f"visitors {seed}")  # noqa: S311  customers are no secret
    seconds = int(within.total_seconds() * LAST_MOMENT)
    counts = ((math.ceil(orders / taste.conversion), False), (ASKED * orders, True))
    return tuple(
        Visitor(
            after=timedelta(seconds=dice.randint(0, seconds)), wants=dice.random(), doubts=dice.random(), asked=asked
        )
        for count, asked in counts
        for _ in range(count)
    )


class Crowd:
    """Everybody who will come; `next_after` and `pass_by` let them come one by one."""

    def __init__(self, visits: Sequence[Visit], visitors: Sequence[Visitor] = (), taste: Taste | None = None) -> None:
        self._taste = taste or Taste()
        self._visits = tuple(visits)
        self._waiting = {visit.customer: visit for visit in visits if visit.why is Why.PAID}
        self._left, self._sold = len(self._visits), 0
        self.clicks = 0  # visitors whom a campaign sent
        everybody: list[Visit | Visitor] = [*visits, *visitors]
        self._coming = sorted(everybody, key=lambda one: one.after, reverse=True)

    @property
    def next_after(self) -> timedelta | None:
        """Give when the next one comes, that long after the shop opened; None when nobody does."""
        return self._coming[-1].after if self._coming else None

    @property
    def done(self) -> bool:
        """Say whether every planned order has been placed."""
        return self._left == 0

    def target(self, why: Why) -> int:
        """Count the planned orders of that reason."""
        return sum(1 for visit in self._visits if visit.why is why)

    def pass_by(self, see: See) -> tuple[Visit, ...]:
        """Let the next one come; give what is ordered now, with the articles that were chosen."""
        one = self._coming.pop()
        if isinstance(one, Visitor):
            bought = self._decides(one, see)
        elif one.why is Why.PAID:
            bought = self._chosen(one, see) if one.customer in self._waiting else None
        else:
            self._left -= 1
            return (one,)
        return () if bought is None else self._placed(bought, see)

    def _placed(self, bought: Visit, see: See) -> tuple[Visit, ...]:
        del self._waiting[bought.customer]
        self._left, self._sold = self._left - 1, self._sold + 1
        if self._sold == SAME_SECOND and self._waiting:
            company = next(iter(self._waiting.values()))
            return (bought, *self._placed(self._chosen(company, see), see))
        return (bought,)

    def _decides(self, visitor: Visitor, see: See) -> Visit | None:
        """Give what a visitor buys, or None."""
        wanted = [visit for visit in self._waiting.values() if not visitor.asked or _in_campaign(visit, see)]
        if not wanted:
            return None
        self.clicks += visitor.asked
        chosen = self._chosen(wanted[int(visitor.wants * len(wanted))], see)
        liking = min((self._taste.liking(see(line.sku)) for line in chosen.lines), default=0.0)
        return chosen if visitor.doubts < self._taste.chance(liking) else None

    def _chosen(self, visit: Visit, see: See) -> Visit:
        """Settle for one article in each line that leaves a choice."""
        return replace(visit, lines=tuple(self._settled(line, visit.likes, see) for line in visit.lines))

    def _settled(self, line: Wanted, likes: float, see: See) -> Wanted:
        if not line.instead:
            return line
        first = math.exp(LIKES_BETTER + self._taste.liking(see(line.sku)))
        second = math.exp(self._taste.liking(see(line.instead)))
        sku = line.sku if likes < first / (first + second) else line.instead
        return replace(line, sku=sku, instead="")


def _in_campaign(visit: Visit, see: See) -> bool:
    skus = {sku for line in visit.lines for sku in (line.sku, line.instead) if sku}
    return any(see(sku).campaign for sku in skus)
