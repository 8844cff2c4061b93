"""Announced reductions in the ledger: opened once, told to the shops as a coupon, ended with their campaign."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from gateway.domain.pricing import CampaignDecision, money
from gateway.domain.reductions import Reduced, percent_off, reduced_minor
from gateway.ledger import events, outbox
from gateway.ledger.campaigns import follow_campaign
from gateway.ledger.database import Tx, ring
from gateway.ledger.list_prices import lowest
from gateway.ledger.offers import in_force
from gateway.ledger.sql import change, insert, row, rows
from gateway.ledger.times import to_text, to_time

KIND: Final = "coupon"
_LONGEST: Final = timedelta(days=14)  # of a coupon whose run has no latest start


@dataclass(frozen=True, kw_only=True, slots=True)
class Announced:
    """What is needed to open or close a reduction. `floors`: by shop and article, what nothing is sold below."""

    family: str
    decided: CampaignDecision
    floors: Mapping[tuple[str, str], int]
    shops: frozenset[str]  # those that are written to
    why: str


def ended_at(tx: Tx) -> dict[str, datetime | None]:
    """Give when the newest reduction of each family ended; None: it is open."""
    found = rows(
        tx,
        "SELECT family, closed_at FROM reductions r WHERE reduction_id = "
        "(SELECT MAX(reduction_id) FROM reductions q WHERE q.family = r.family)",
    )
    return {one["family"]: None if one["closed_at"] is None else to_time(one["closed_at"]) for one in found}


def follow_reduction(tx: Tx, one: Announced, *, now: datetime) -> bool:
    """Open or close the campaign of a family that announces a reduction, and tell the shops its coupon.

    False, and nothing done, where it stands so already, or where an article would be sold below its floor at the prices
    that are in force by now.
    """
    if one.decided.open:
        articles = _articles(tx, one, now=now)
        if not articles or any(
            article["reduced_minor"] < one.floors[article["shop"], article["sku"]] for article in articles
        ):
            return False
        if not follow_campaign(tx, one.family, one.decided, why=one.why, now=now):
            return False
        _open(tx, one, articles, now=now)
        return True
    if not follow_campaign(tx, one.family, one.decided, why=one.why, now=now):
        return False
    end_reduction(tx, one.family, now=now)
    return True


def end_reduction(tx: Tx, family: str, *, now: datetime) -> None:
    """Close the open reduction of a family, if there is one, and have its coupon removed."""
    found = row(
        tx,
        "UPDATE reductions SET closed_at = :at WHERE family = :family AND closed_at IS NULL "
        "RETURNING reduction_id, code, body",
        at=to_text(now),
        family=family,
    )
    if found is None:
        return
    body = orjson.loads(found["body"])
    for shop in body["shops"]:
        _tell(tx, shop, family, {"code": found["code"], "coupon": None}, now=now)
    subject = f"reduction:{found['reduction_id']}"
    events.record(tx, what="reduction.ended", who="kvot", subject=subject, at=now, after={"code": found["code"]})


def bell(shop: str) -> str:
    """Name the bell that rings when a shop is to be told of a coupon."""
    return f"coupons:{shop}"


def _open(tx: Tx, one: Announced, articles: Sequence[Mapping[str, Any]], *, now: datetime) -> None:
    until = one.decided.until or now + _LONGEST
    shops = sorted({str(article["shop"]) for article in articles} & one.shops)
    body = {"depth": one.decided.depth, "until": to_text(until), "articles": articles, "shops": shops}
    reduction_id = insert(
        tx,
        "reductions",
        family=one.family,
        code="",
        body=orjson.dumps(body).decode(),
        opened_at=to_text(now),
    )
    code = f"kvot-{one.family}-{reduction_id}".lower()
    change(tx, "UPDATE reductions SET code = :code WHERE reduction_id = :id", code=code, id=reduction_id)
    for shop in shops:
        its = [article for article in articles if article["shop"] == shop]
        coupon = {
            "percent": its[0]["percent"],
            "product_ids": [article["product_id"] for article in its],
            "uses": one.decided.units_left,
            "until": to_text(until),
            "text": _text(one.decided.depth, its),
        }
        _tell(tx, shop, one.family, {"code": code, "coupon": coupon}, now=now)
    events.record(
        tx,
        what="reduction.announced",
        who="kvot",
        subject=f"reduction:{reduction_id}",
        at=now,
        after={**body, "code": code},
    )


def _articles(tx: Tx, one: Announced, *, now: datetime) -> list[dict[str, Any]]:
    """Give each article with its price, its prior price and what the coupon makes of it."""
    offered = [(shop, sku, logged) for shop, sku, logged in in_force(tx) if (shop, sku) in one.floors]
    known = [
        (shop, sku, logged, least.price_minor)
        for shop, sku, logged in offered
        if (least := lowest(tx, shop, sku, logged.offer.currency, now=now)) is not None
    ]
    if not known:
        return []
    percent = percent_off(
        [Reduced(price_minor=logged.offer.price_minor, prior_minor=prior) for _, _, logged, prior in known],
        one.decided.depth,
    )
    return [
        {
            "shop": shop,
            "sku": sku,
            "product_id": logged.product_id,
            "price_minor": logged.offer.price_minor,
            "prior_minor": prior,
            "reduced_minor": reduced_minor(logged.offer.price_minor, percent),
            "currency": logged.offer.currency,
            "percent": str(percent),
        }
        for shop, sku, logged, prior in known
    ]


def _text(depth: float, articles: Iterable[Mapping[str, Any]]) -> str:
    """Say what is announced, with each prior price: customers have to be told it."""
    prior = ", ".join(f"{one['sku']}: {money(one['prior_minor'], one['currency'])}" for one in articles)
    return f"-{depth:.0%} on the lowest price of 30 days ({prior})"


def _tell(tx: Tx, shop: str, family: str, said: Mapping[str, object], *, now: datetime) -> None:
    body = {"kind": KIND, "shop": shop, "family": family, **said}
    outbox.post(tx, destination=f"shop:{shop}", subject=f"coupon:{family}", body=body, at=now)
    ring(tx, bell(shop))
