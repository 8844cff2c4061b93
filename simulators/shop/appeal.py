"""What a visitor makes of an article: its price against what it used to cost, how long it takes, and a campaign."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from simulators.shop.values import Article, minor

PROMISE, CAMPAIGN = "_kvot_promise", "_kvot_campaign"
_HOUR_S = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What a visitor sees: percent above the price he knows, the same of the lead (-50: half as long), a campaign."""

    dearer_percent: float = 0.0
    later_percent: float = 0.0
    campaign: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Taste:
    """How much a visitor minds: falls of the log-odds of buying for a percent of price and a percent of lead.

    `conversion` is the share of visitors who buy at the price and the lead they know. A lead counts by what is usual,
    so that a demo whose days are minutes has customers too: 0.12 a day, where four are usual, is 0.005 a percent.
    """

    conversion: float = 0.25
    price_slope_percent: float = 0.03
    lead_slope_percent: float = 0.005

    def liking(self, look: Look) -> float:
        """Give how far the log-odds of buying move; above 0 the article is more attractive than usual."""
        return -self.price_slope_percent * look.dearer_percent - self.lead_slope_percent * look.later_percent

    def chance(self, liking: float) -> float:
        """Give the probability that a visitor buys whose log-odds moved by so much."""
        usual = math.log(self.conversion / (1 - self.conversion))
        return 1 / (1 + math.exp(-(usual + liking)))


class Window:
    """The shop's window, with what its visitors remember: each article's first price and the first lead it showed."""

    def __init__(self, articles: Iterable[Article]) -> None:
        self._first_minor = {article.id: minor(article.price) for article in articles}
        self._first_lead_h: dict[int, float] = {}

    def notice(self, article: Article, now: datetime) -> None:
        """Remember the first lead that an article shows."""
        lead_h = _lead_h(article, now)
        if lead_h:
            self._first_lead_h.setdefault(article.id, lead_h)

    def look(self, article: Article, now: datetime) -> Look:
        """Give what a visitor sees of an article now. A shop without our metadata shows price alone."""
        first_minor, first_lead_h = self._first_minor[article.id], self._first_lead_h.get(article.id)
        lead_h = _lead_h(article, now)
        return Look(
            dearer_percent=100 * (minor(article.price) / first_minor - 1) if first_minor else 0.0,
            later_percent=0.0 if lead_h is None or first_lead_h is None else 100 * (lead_h / first_lead_h - 1),
            campaign=any(meta.key == CAMPAIGN and meta.value for meta in article.meta),
        )


def _lead_h(article: Article, now: datetime) -> float | None:
    promise = next((meta.value for meta in article.meta if meta.key == PROMISE), None)
    try:
        return max(0.0, (datetime.fromisoformat(str(promise)) - now).total_seconds() / _HOUR_S)
    except (ValueError, TypeError):  # no promise, or one that no customer can read
        return None
