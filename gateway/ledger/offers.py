"""The offer log: what customers were told when, what binds for an order, and what a shop has yet to be told."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from gateway.domain.exceptions import Kind
from gateway.domain.offers import Logged, Offer, binding_promise, moves_of
from gateway.domain.pricing import PriceMove
from gateway.ledger import events, facts, outbox
from gateway.ledger.database import Tx, ring
from gateway.ledger.exceptions import open_exception
from gateway.ledger.list_prices import ListPrice, listed, log_price
from gateway.ledger.sql import Row, change, insert, row, rows
from gateway.ledger.times import to_text, to_time

KIND = "offer"  # of a shop's fact that is an offer; the others are the status of an order
_KEYS = ("_kvot_promise", "_kvot_lead_days", "_kvot_run_closes_at", "_kvot_campaign")
_REACH = 50  # offers looked back on for one order: each of them was replaced before the shop had shown it
_COLUMNS = "offer_id, sku, price_minor, currency, promise_at, campaign, body, valid_from, valid_until"


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """An offer to put in force for an article of a shop, in place of the one it was decided upon (None: the first).

    `changed` names what is different; `texts` explain it in English. `write`: the shop is told.
    """

    shop: str
    sku: str
    product_id: str
    family: str
    offer: Offer
    list_minor: int
    before: int | None
    changed: tuple[str, ...]
    texts: tuple[str, ...] = ()
    write: bool = False


def standing(tx: Tx, shop: str, sku: str) -> Logged | None:
    """Give the offer in force of an article."""
    found = row(
        tx,
        f"SELECT {_COLUMNS} FROM offers WHERE shop = :shop AND sku = :sku "  # noqa: S608 - a constant
        "ORDER BY valid_from DESC, offer_id DESC LIMIT 1",
        shop=shop,
        sku=sku,
    )
    return None if found is None or found["valid_until"] is not None else _logged(found)


def offered(tx: Tx, shop: str) -> frozenset[str]:
    """Give the articles of a shop that have an offer in force."""
    found = rows(tx, "SELECT DISTINCT sku FROM offers WHERE shop = :shop AND valid_until IS NULL", shop=shop)
    return frozenset(one["sku"] for one in found)


def in_force(tx: Tx) -> list[tuple[str, str, Logged]]:
    """Give every offer in force, with its shop and article."""
    found = rows(
        tx,
        f"SELECT shop, {_COLUMNS} FROM offers WHERE valid_until IS NULL ORDER BY shop, sku",  # noqa: S608 - a constant
    )
    return [(one["shop"], one["sku"], _logged(one)) for one in found]


def least_list_price(tx: Tx, family: str) -> int | None:
    """Give the lowest list price of the articles a family prices, None where none is offered."""
    found = row(
        tx,
        "SELECT MIN(json_extract(body, '$.list_minor')) AS least FROM offers "
        "WHERE valid_until IS NULL AND json_extract(body, '$.family') = :family",
        family=family,
    )
    return None if found is None or found["least"] is None else int(found["least"])


def price_moves(tx: Tx, shop: str, sku: str, *, base: ListPrice, since: datetime) -> tuple[PriceMove, ...]:
    """Give how the price of an article moved from a time on, but not before its list price was set."""
    since = max(since, base.since)
    found = rows(
        tx,
        "SELECT valid_from, price_minor FROM offers WHERE shop = :shop AND sku = :sku AND valid_from >= "
        "COALESCE((SELECT MAX(valid_from) FROM offers WHERE shop = :shop AND sku = :sku AND valid_from < :since "
        "AND valid_from >= :listed), :since) ORDER BY valid_from, offer_id",
        shop=shop,
        sku=sku,
        since=to_text(since),
        listed=to_text(base.since),
    )
    steps = [(to_time(one["valid_from"]), int(one["price_minor"])) for one in found]
    return moves_of(steps, since=since, standing=base.price_minor)


def tried_since(tx: Tx, shop: str, sku: str, at: datetime) -> frozenset[int]:
    """Give the prices that were offered at a time or later: any of them may have reached the shop."""
    found = rows(
        tx,
        "SELECT price_minor, valid_until FROM offers WHERE shop = :shop AND sku = :sku "
        "ORDER BY valid_from DESC, offer_id DESC LIMIT :reach",
        shop=shop,
        sku=sku,
        reach=_REACH,
    )
    return frozenset(
        one["price_minor"] for one in found if one["valid_until"] is None or to_time(one["valid_until"]) >= at
    )


def publish(tx: Tx, one: Publication, *, now: datetime) -> bool:
    """Put an offer in force and tell it; False, and nothing done, where another one was put in force meanwhile."""
    last = row(
        tx,
        "SELECT offer_id, body, valid_from, valid_until FROM offers WHERE shop = :shop AND sku = :sku "
        "ORDER BY valid_from DESC, offer_id DESC LIMIT 1",
        shop=one.shop,
        sku=one.sku,
    )
    before = None if last is None or last["valid_until"] is not None else last
    if (None if before is None else before["offer_id"]) != one.before:
        return False
    if last is not None:  # a clock that went back must not bring the log out of order
        now = max(now, to_time(last["valid_from"]))
    _end(tx, one.shop, one.sku, now=now)
    values = _shop_values(one.offer)
    told_before = {} if before is None else orjson.loads(before["body"])
    write = one.write and told_before.get("wanted") != [one.offer.price_minor, values]
    body = {
        "lead_s": round(one.offer.lead.total_seconds()),
        "closes_at": None if one.offer.closes_at is None else to_text(one.offer.closes_at),
        "family": one.family,
        "product_id": one.product_id,
        "list_minor": one.list_minor,
        "changed": one.changed,
        "wanted": [one.offer.price_minor, values] if one.write else None,
        "to_shop": one.write,
        "shown_at": to_text(now) if one.write and not write and told_before.get("shown_at") else None,
    }
    offer_id = insert(
        tx,
        "offers",
        shop=one.shop,
        sku=one.sku,
        price_minor=one.offer.price_minor,
        currency=one.offer.currency,
        promise_at=to_text(one.offer.promise_at),
        campaign=one.offer.campaign,
        body=orjson.dumps(body).decode(),
        valid_from=to_text(now),
    )
    if write:
        _tell_shop(tx, one, offer_id, now=now)
    elif not one.write:
        log_price(tx, one.shop, one.sku, one.offer.currency, one.offer.price_minor, at=now)
    _tell_world(tx, one, offer_id, now=now)
    return True


def write_again(tx: Tx, shop: str, sku: str, product_id: str, *, now: datetime) -> bool:
    """Tell the shop once more what is in force, because it shows another price; False while it is being told.

    When it happens again to the same offer, somebody is asked: another program may write there too.
    """
    logged = standing(tx, shop, sku)
    waiting = row(
        tx,
        "SELECT 1 FROM outbox WHERE destination = :to AND subject = :subject",
        to=f"shop:{shop}",
        subject=f"offer:{sku}",
    )
    if logged is None or not logged.to_shop or waiting is not None:
        return False
    offer, subject = logged.offer, f"sku:{shop}/{sku}"
    again = row(
        tx,
        "SELECT 1 FROM events WHERE subject = :subject AND what = 'price.drifted' "
        "AND json_extract(after, '$.offer_id') = :id LIMIT 1",
        subject=subject,
        id=logged.offer_id,
    )
    story = {"price_minor": offer.price_minor, "offer_id": logged.offer_id}
    events.record(tx, what="price.drifted", who=f"shop:{shop}", subject=subject, at=now, after=story)
    if again is not None:
        evidence = {"shop": shop, "sku": sku, **story}
        open_exception(tx, Kind.NOT_KEPT, subject=f"price:{shop}/{sku}", evidence=evidence, at=now)
    _enqueue(tx, shop, sku, product_id=product_id, offer_id=logged.offer_id, offer=offer, now=now, price_kept=False)
    return True


def withdraw(tx: Tx, shop: str, skus: Sequence[str], *, sold: Collection[str], now: datetime) -> None:
    """End the offers of articles that are no longer priced, and what the shop has yet to hear of them.

    Of those that are still `sold` the shop forgets promise and campaign, which nobody keeps true any more; their prices
    stay as they are.
    """
    for sku in skus:
        logged = standing(tx, shop, sku)
        _end(tx, shop, sku, now=now)
        forget_waiting(tx, shop, sku)
        if logged is not None and logged.to_shop and sku in sold:
            _post(tx, shop, sku, product_id=logged.product_id, offer_id=0, values=dict.fromkeys(_KEYS, ""), now=now)
        facts.post(tx, "offer.ended", at=now, shop=shop, sku=sku)


def shown(tx: Tx, body: Mapping[str, object], *, now: datetime) -> None:
    """Note that a shop has taken an offer: from now on its price is in force and its promise is seen."""
    change(
        tx,
        "UPDATE offers SET body = json_set(body, '$.shown_at', :at) WHERE shop = :shop AND sku = :sku "
        "AND json_extract(body, '$.shown_at') IS NULL AND offer_id >= :id "
        "AND json_extract(body, '$.wanted') = (SELECT json_extract(body, '$.wanted') FROM offers WHERE offer_id = :id)",
        at=to_text(now),
        shop=body["shop"],
        sku=body["sku"],
        id=body["offer_id"],
    )
    if isinstance(price_minor := body["price_minor"], int):
        log_price(tx, str(body["shop"]), str(body["sku"]), str(body["currency"]), price_minor, at=now)


def binding(tx: Tx, shop: str, skus: Sequence[str], placed_at: datetime) -> datetime | None:
    """Give the promise that an order placed then was shown, by its article number; the most specific counts."""
    for sku in skus:
        found = rows(
            tx,
            f"SELECT {_COLUMNS} FROM offers WHERE shop = :shop AND sku = :sku AND valid_from <= :at "  # noqa: S608
            "ORDER BY valid_from DESC, offer_id DESC LIMIT :reach",
            shop=shop,
            sku=sku,
            at=to_text(placed_at),
            reach=_REACH,
        )
        promise = binding_promise([_logged(one) for one in found], placed_at)
        if promise is not None:
            return promise
    return None


def forget_waiting(tx: Tx, shop: str, sku: str) -> int:
    """Drop what a shop has yet to hear of an article; give the number of offers dropped."""
    return change(
        tx,
        "DELETE FROM outbox WHERE destination = :to AND subject = :subject AND dead_at IS NULL",
        to=f"shop:{shop}",
        subject=f"offer:{sku}",
    )


def bell(shop: str) -> str:
    """Name the bell that rings when a shop is to be told an offer."""
    return f"offers:{shop}"


def promises(tx: Tx) -> tuple[int, int]:
    """Give the lines that are made and had a promise, and how many of them were made by then.

    A line is made when the last job of its last step has ended, or when it got the last piece from the shelf.
    """
    found = rows(
        tx,
        "SELECT l.promise_at, (SELECT MAX(e.at) FROM requirements r JOIN allocations a USING (requirement_id) "
        "JOIN events e ON e.subject = 'job:' || a.job_id AND e.what IN ('job.completed', 'job.aborted') "
        "WHERE r.line_id = l.line_id AND r.step = "
        "(SELECT MAX(x.step) FROM requirements x WHERE x.line_id = l.line_id)) AS made_at, "
        "(SELECT MAX(s.at) FROM shelf s WHERE s.line_id = l.line_id AND s.kind = 'take') AS taken_at "
        "FROM order_lines l WHERE l.state IN ('made','shipped') AND l.promise_at IS NOT NULL",
    )
    ended = [max(one["made_at"] or "", one["taken_at"] or "") for one in found]
    return len(found), sum("" < at <= one["promise_at"] for at, one in zip(ended, found, strict=True))


def _end(tx: Tx, shop: str, sku: str, *, now: datetime) -> None:
    change(
        tx,
        "UPDATE offers SET valid_until = :at WHERE shop = :shop AND sku = :sku AND valid_until IS NULL",
        at=to_text(now),
        shop=shop,
        sku=sku,
    )


def _tell_shop(tx: Tx, one: Publication, offer_id: int, *, now: datetime) -> None:
    change(
        tx,
        "UPDATE list_prices SET written_minor = :price WHERE shop = :shop AND sku = :sku AND currency = :currency",
        price=one.offer.price_minor,
        shop=one.shop,
        sku=one.sku,
        currency=one.offer.currency,
    )
    _enqueue(tx, one.shop, one.sku, product_id=one.product_id, offer_id=offer_id, offer=one.offer, now=now)


def _enqueue(
    tx: Tx, shop: str, sku: str, *, product_id: str, offer_id: int, offer: Offer, now: datetime, price_kept: bool = True
) -> None:
    """Put the newest offer of an article in the outbox; an older one that still waits is not worth telling.

    A price the shop has already is left alone, so that a change by its owner is not overwritten unseen.
    """
    dropped = forget_waiting(tx, shop, sku)
    known = listed(tx, shop, sku, offer.currency)
    there = price_kept and known is not None and known.in_force_minor == offer.price_minor and not dropped
    _post(
        tx,
        shop,
        sku,
        product_id=product_id,
        offer_id=offer_id,
        values=_shop_values(offer),
        now=now,
        price_minor=None if there else offer.price_minor,
        currency=offer.currency,
    )


def _post(
    tx: Tx,
    shop: str,
    sku: str,
    *,
    product_id: str,
    offer_id: int,
    values: Mapping[str, str],
    now: datetime,
    price_minor: int | None = None,
    currency: str | None = None,
) -> None:
    body = {
        "kind": KIND,
        "shop": shop,
        "sku": sku,
        "product_id": product_id,
        "offer_id": offer_id,
        "price_minor": price_minor,
        "currency": currency,
        "values": values,
    }
    outbox.post(tx, destination=f"shop:{shop}", subject=f"offer:{sku}", body=body, at=now)
    ring(tx, bell(shop))


def _tell_world(tx: Tx, one: Publication, offer_id: int, *, now: datetime) -> None:
    offer = one.offer
    facts.post(
        tx,
        "offer.changed",
        at=now,
        offer_id=offer_id,
        shop=one.shop,
        sku=one.sku,
        family=one.family,
        changed=list(one.changed),
        price_minor=offer.price_minor,
        list_minor=one.list_minor,
        currency=offer.currency,
        factor=round(offer.price_minor / one.list_minor, 4),
        promise_at=to_text(offer.promise_at),
        lead_days=offer.lead_days,
        lead_h=round(offer.lead / timedelta(hours=1), 2),
        closes_at=None if offer.closes_at is None else to_text(offer.closes_at),
        campaign=offer.campaign,
        why=list(one.texts),
    )


def _shop_values(offer: Offer) -> dict[str, str]:
    """Give the metadata of an article; a run that does not close, and no campaign, are empty texts."""
    closes = "" if offer.closes_at is None else to_text(offer.closes_at)
    return dict(
        zip(_KEYS, (to_text(offer.promise_at), str(offer.lead_days), closes, offer.campaign or ""), strict=True)
    )


def _logged(found: Row) -> Logged:
    body = orjson.loads(found["body"])
    closes_at, shown_at, until = body["closes_at"], body["shown_at"], found["valid_until"]
    return Logged(
        offer_id=found["offer_id"],
        offer=Offer(
            price_minor=found["price_minor"],
            currency=found["currency"],
            promise_at=to_time(found["promise_at"]),
            lead=timedelta(seconds=body["lead_s"]),
            closes_at=None if closes_at is None else to_time(closes_at),
            campaign=found["campaign"],
        ),
        valid_from=to_time(found["valid_from"]),
        valid_until=None if until is None else to_time(until),
        to_shop=body["to_shop"],
        shown_at=None if shown_at is None else to_time(shown_at),
        family=body["family"],
        product_id=body["product_id"],
    )
