"""List prices as facts of the ledger, and the log of every price that was really in force."""

from dataclasses import dataclass
from datetime import datetime

from gateway.domain.price_log import LOOK_BACK, Entry, Lowest, lowest_price
from gateway.ledger import events, facts
from gateway.ledger.database import Tx
from gateway.ledger.sql import Row, change, insert, row, rows
from gateway.ledger.times import to_text, to_time


@dataclass(frozen=True, kw_only=True, slots=True)
class ListPrice:
    """The list price of an article, since when, and what the shop last took from us (None: nothing yet)."""

    price_minor: int
    since: datetime
    in_force_minor: int | None
    in_force_at: datetime | None


def listed(tx: Tx, shop: str, sku: str, currency: str) -> ListPrice | None:
    """Give the list price of an article, None before its first sight."""
    found = row(
        tx,
        "SELECT price_minor, since FROM list_prices WHERE shop = :shop AND sku = :sku AND currency = :currency",
        shop=shop,
        sku=sku,
        currency=currency,
    )
    if found is None:
        return None
    last = _last(tx, shop, sku, currency)
    return ListPrice(
        price_minor=found["price_minor"],
        since=to_time(found["since"]),
        in_force_minor=None if last is None else last["price_minor"],
        in_force_at=None if last is None else to_time(last["at"]),
    )


def list_price(tx: Tx, shop: str, sku: str) -> int | None:
    """Give the list price of one article in minor units, None before its first sight."""
    found = row(
        tx,
        "SELECT price_minor FROM list_prices WHERE shop = :shop AND sku = :sku ORDER BY since DESC LIMIT 1",
        shop=shop,
        sku=sku,
    )
    return None if found is None else int(found["price_minor"])


def set_list_price(tx: Tx, shop: str, sku: str, currency: str, price_minor: int, *, now: datetime) -> bool:
    """Store what the shop's owner asks: the first sight of an article, or another price than ours.

    False, and nothing done, where this is the list price already.
    """
    before = row(
        tx,
        "SELECT price_minor, written_minor FROM list_prices WHERE shop = :shop AND sku = :sku AND currency = :currency",
        shop=shop,
        sku=sku,
        currency=currency,
    )
    if before is not None and before["price_minor"] == price_minor:
        return False
    change(
        tx,
        "INSERT INTO list_prices (shop, sku, currency, price_minor, written_minor, since) "
        "VALUES (:shop, :sku, :currency, :price, NULL, :at) ON CONFLICT (shop, sku, currency) "
        "DO UPDATE SET price_minor = excluded.price_minor, written_minor = NULL, since = excluded.since",
        shop=shop,
        sku=sku,
        currency=currency,
        price=price_minor,
        at=to_text(now),
    )
    log_price(tx, shop, sku, currency, price_minor, at=now)
    events.record(
        tx,
        what="list_price.seen" if before is None else "list_price.changed",
        who=f"shop:{shop}",
        subject=f"sku:{shop}/{sku}",
        at=now,
        before=None if before is None else dict(before),
        after={"price_minor": price_minor, "currency": currency},
    )
    facts.post(
        tx,
        "offer.list_price",
        at=now,
        shop=shop,
        sku=sku,
        currency=currency,
        list_minor=price_minor,
        before_minor=None if before is None else before["price_minor"],
    )
    return True


def lowest(tx: Tx, shop: str, sku: str, currency: str, *, now: datetime) -> Lowest | None:
    """Give the lowest price of the last 30 days by our own log, None for an article never seen."""
    since = to_text(now - LOOK_BACK)
    found = rows(
        tx,
        "SELECT price_minor, at FROM price_log WHERE shop = :shop AND sku = :sku AND market = '' "
        "AND currency = :currency AND at >= COALESCE((SELECT MAX(at) FROM price_log WHERE shop = :shop "
        "AND sku = :sku AND market = '' AND currency = :currency AND at <= :since), :since) "
        "ORDER BY at, price_id",
        shop=shop,
        sku=sku,
        currency=currency,
        since=since,
    )
    return lowest_price([Entry(at=to_time(one["at"]), price_minor=one["price_minor"]) for one in found], now=now)


def log_price(tx: Tx, shop: str, sku: str, currency: str, price_minor: int, *, at: datetime) -> None:
    """Write down a price that is in force from now on; the one in force already is no news."""
    last = _last(tx, shop, sku, currency)
    if last is None or last["price_minor"] != price_minor:
        insert(
            tx,
            "price_log",
            shop=shop,
            sku=sku,
            currency=currency,
            price_minor=price_minor,
            at=to_text(at),
        )


def _last(tx: Tx, shop: str, sku: str, currency: str) -> Row | None:
    return row(
        tx,
        "SELECT price_minor, at FROM price_log WHERE shop = :shop AND sku = :sku AND currency = :currency "
        "ORDER BY at DESC, price_id DESC LIMIT 1",
        shop=shop,
        sku=sku,
        currency=currency,
    )
