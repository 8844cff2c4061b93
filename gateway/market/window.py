"""What the shop shows: the price in force with its moves, and a campaign with its open hours."""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime

from gateway.domain.pricing import CampaignSeen, PriceMove, Published, RunPlan
from gateway.market.world import HOUR_S

_DAY_S = 24 * HOUR_S
_WEEK_S = 7 * _DAY_S


class ShopWindow:
    """Follows what is planned, and remembers as much of it as `plan` wants to be told again. Times are timestamps."""

    def __init__(self, *, price_minor: int) -> None:
        self.price_minor = price_minor
        self.depth = 0.0  # what an open campaign takes off
        self._moves: list[PriceMove] = []
        self._opened: float | None = None
        self._shown: list[tuple[float, float]] = []

    @property
    def campaign_open(self) -> bool:
        """Say whether a campaign is open."""
        return self._opened is not None

    @property
    def asked_minor(self) -> float:
        """Give what a buyer pays: the price, less what an announced reduction takes off."""
        return self.price_minor * (1 - self.depth)

    def show(self, planned: RunPlan, now: float) -> None:
        """Put a plan's price and campaign in force."""
        price = planned.price.price_minor
        if price != self.price_minor:
            at = datetime.fromtimestamp(now, UTC)
            self._moves.append(PriceMove(at=at, from_minor=self.price_minor, to_minor=price))
            self.price_minor = price
        self.depth = planned.campaign.depth if planned.campaign.open else 0.0
        if planned.campaign.open and self._opened is None:
            self._opened = now
        elif not planned.campaign.open and self._opened is not None:
            self._shown.append((self._opened, now))
            self._opened = None

    def published(self, now: float) -> Published:
        """Give the price and its moves of the last day."""
        first = len(self._moves)
        while first and now - self._moves[first - 1].at.timestamp() < _DAY_S:
            first -= 1
        return Published(price_minor=self.price_minor, moves=tuple(self._moves[first:]))

    def campaign(self, now: float) -> CampaignSeen:
        """Give the campaign as it stands; whoever has to agree to it did."""
        return CampaignSeen(open=self.campaign_open, hours_week=self.open_h(now), approved=True)

    def open_h(self, now: float, *, since: float | None = None) -> float:
        """Give the hours in which a campaign was open, of the last week or since then."""
        since = now - _WEEK_S if since is None else since
        return sum(max(0.0, end - max(start, since)) for start, end in self._spans(now)) / HOUR_S

    @property
    def moves(self) -> int:
        """Count the price moves."""
        return len(self._moves)

    @property
    def most_moves(self) -> int:
        """Give the most price moves within any seven days."""
        at = [move.at.timestamp() for move in self._moves]
        return max((bisect_right(at, start + _WEEK_S) - index for index, start in enumerate(at)), default=0)

    def _spans(self, now: float) -> Iterator[tuple[float, float]]:
        yield from self._shown
        if self._opened is not None:
            yield self._opened, now
