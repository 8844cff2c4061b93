"""Quotes in the ledger: what was answered, which places are held for whom and how long, and what people see of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson

from gateway.domain.pricing import Reservation
from gateway.domain.pricing.quotes import Kind
from gateway.domain.quotes import Token, sign
from gateway.ledger import events, proposals
from gateway.ledger.counters import next_number
from gateway.ledger.database import Tx, ring
from gateway.ledger.sql import Row, insert, row, rows
from gateway.ledger.times import to_text, to_time

PAGE: Final = 500
EXPRESS: Final = "express"  # the kind of the proposal that asks about a run of one's own

# Nobody has to approve the run of one's own (any more).
_APPROVED = (
    "(q.proposal_id IS NULL OR EXISTS (SELECT 1 FROM proposals p WHERE p.proposal_id = q.proposal_id "
    "AND p.state = 'approved'))"
)
_LAST_RELEASED = (
    "COALESCE((SELECT MAX(r.run_id) FROM runs r WHERE r.family = {family} AND r.express IS NULL "
    "AND r.state NOT IN ('collecting','committed')), 0)"
)
# `moved`: the run after the open one has become the open one.
_LIVING = f"""
    SELECT q.family, q.units, q.open_promise, q.next_promise, q.held_until, q.machine, q.machine_h,
      {_APPROVED} AS approved, {_LAST_RELEASED.format(family="q.family")} > q.after_run AS moved
    FROM quotes q WHERE q.held_until > :now AND q.line_id IS NULL ORDER BY q.rowid"""  # noqa: S608 - constants
_QUOTE = f"""
    SELECT q.*, {_APPROVED} AS approved, l.order_id FROM quotes q LEFT JOIN order_lines l USING (line_id)"""  # noqa: S608


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What living quotes hold of a family: places in its open run, and units of the run after that."""

    open: tuple[Reservation, ...] = ()
    next_units: int = 0

    @property
    def open_units(self) -> int:
        """Give the places held in the open run."""
        return sum(one.units for one in self.open)


@dataclass(frozen=True, kw_only=True, slots=True)
class Living:
    """What living quotes hold: places by family, and hours of machines for runs of one's own that may be ordered."""

    places: Mapping[str, Held] = field(default_factory=dict)
    hours: Mapping[str, float] = field(default_factory=dict)

    def of(self, family: str) -> Held:
        """Give what is held of one family."""
        return self.places.get(family, Held())


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """A quote to keep. `body` is the answer without what the ledger adds; `express`: what a person is asked about."""

    shop: str
    sku: str
    family: str
    quantity: int
    asked_by: str
    request_key: str | None
    request_hash: str
    body: Mapping[str, object]
    valid_until: datetime
    held_until: datetime
    units: int
    promises: Mapping[Kind, datetime]
    machine: str | None = None
    machine_h: float | None = None
    express: Mapping[str, object] | None = None


def living(tx: Tx, *, now: datetime) -> Living:
    """Give what is held now; a quote that was used holds nothing, its line has what it held."""
    places: dict[str, Held] = {}
    hours: dict[str, float] = {}
    for quote in rows(tx, _LIVING, now=to_text(now)):
        before = places.get(quote["family"], Held())
        places[quote["family"]] = _with(before, quote)
        if quote["machine_h"] is not None and quote["approved"]:
            hours[quote["machine"]] = hours.get(quote["machine"], 0.0) + quote["machine_h"]
    return Living(places=places, hours=hours)


def keep(tx: Tx, given: Given, *, epoch: int, now: datetime) -> str:
    """Keep a quote, with the proposal that its run of one's own needs; give its id."""
    quote_id = f"Q{epoch}-{next_number(tx, 'quote')}"
    proposal_id = None
    if given.express is not None:
        body = {"quote_id": quote_id, **given.express}
        proposal_id = proposals.propose(tx, kind=EXPRESS, subject=_subject(quote_id), body=body, after=None, now=now)
    released = row(tx, f"SELECT {_LAST_RELEASED.format(family=':family')} AS last", family=given.family)
    assert released is not None
    insert(
        tx,
        "quotes",
        quote_id=quote_id,
        shop=given.shop,
        sku=given.sku,
        family=given.family,
        quantity=given.quantity,
        asked_by=given.asked_by,
        request_key=given.request_key,
        request_hash=given.request_hash,
        body=orjson.dumps(given.body).decode(),
        created_at=to_text(now),
        valid_until=to_text(given.valid_until),
        held_until=to_text(given.held_until),
        units=given.units,
        open_promise=_text(given.promises.get(Kind.WITH_RUN)),
        next_promise=_text(given.promises.get(Kind.NEXT_RUN)),
        after_run=released["last"],
        machine=given.machine,
        machine_h=given.machine_h,
        proposal_id=proposal_id,
    )
    events.record(
        tx,
        what="quote.given",
        who=given.asked_by,
        subject=_subject(quote_id),
        at=now,
        after={"shop": given.shop, "sku": given.sku, "quantity": given.quantity},
    )
    ring(tx, "price")
    return quote_id


def asked_before(tx: Tx, asked_by: str, key: str) -> tuple[str, str] | None:
    """Give the quote that a request with this key got, and the fingerprint of that request."""
    found = row(
        tx,
        "SELECT quote_id, request_hash FROM quotes WHERE asked_by = :who AND request_key = :key",
        who=asked_by,
        key=key,
    )
    return None if found is None else (found["quote_id"], found["request_hash"])


def close_expired(tx: Tx, *, now: datetime) -> None:
    """Let proposals go whose quote nobody can use any more: to approve them would do nothing."""
    for quote in rows(
        tx,
        "SELECT p.proposal_id FROM proposals p JOIN quotes q USING (proposal_id) "
        "WHERE p.state = 'open' AND (q.valid_until <= :now OR q.line_id IS NOT NULL)",
        now=to_text(now),
    ):
        proposals.expire(tx, quote["proposal_id"], now=now)


def find(tx: Tx, quote_id: str) -> Row | None:
    """Give a quote as it is kept, with `approved` and its `order_id`."""
    return row(tx, f"{_QUOTE} WHERE q.quote_id = :id", id=quote_id)


def secret(tx: Tx) -> str:
    """Give what quotes of this ledger are signed with; it must not leave the process."""
    found = row(tx, "SELECT quote_secret FROM meta")
    assert found is not None
    return str(found["quote_secret"])


def signed_content(quote: Row, offer: Mapping[str, object]) -> dict[str, object]:
    """Give what a signature stands for: who may order what, how much of it, at which price, by when."""
    told = ("kind", "unit_price_minor", "currency", "tax_rate", "promise_at", "ship_by")
    return {
        **{name: quote[name] for name in ("quote_id", "shop", "sku", "quantity", "valid_until")},
        **{name: offer[name] for name in told},
    }


def list_quotes(tx: Tx, *, now: datetime, before: str | None = None, limit: int = PAGE) -> list[dict[str, Any]]:
    """List quotes, the newest first, without their reasons."""
    found = rows(
        tx,
        f"{_QUOTE} WHERE (:before IS NULL OR q.rowid < (SELECT rowid FROM quotes WHERE quote_id = :before)) "  # noqa: S608
        "ORDER BY q.rowid DESC LIMIT :limit",
        before=before,
        limit=limit,
    )
    kept = ("quote_id", "shop", "sku", "quantity", "valid_until", "used", "order_id")
    return [
        {
            **{name: quote[name] for name in kept},
            "state": _state(quote, now),
            "offers": [one["kind"] for one in orjson.loads(quote["body"])["offers"]],
        }
        for quote in found
    ]


def show_quote(tx: Tx, quote_id: str, *, now: datetime) -> dict[str, Any] | None:
    """Give a quote as its asker sees it: offers that can be ordered carry the token that an order has to name."""
    quote = find(tx, quote_id)
    if quote is None:
        return None
    body, key, state = orjson.loads(quote["body"]), secret(tx), _state(quote, now)
    for offer in body["offers"]:
        waits = offer["needs_approval"] and not quote["approved"]
        offer["state"] = "waits_for_approval" if waits and state == "open" else state
        kind = Kind(offer["kind"])
        signature = sign(key, signed_content(quote, offer))
        offer["token"] = None if waits else str(Token(quote_id=quote_id, kind=kind, signature=signature))
    kept = ("quote_id", "shop", "sku", "quantity", "created_at", "valid_until", "used", "order_id", "proposal_id")
    return {**{name: quote[name] for name in kept}, "state": state, **body}


def _with(before: Held, quote: Row) -> Held:
    """Count a living quote: what it holds of the next run is of the open one once that has come."""
    promise = quote["open_promise"] or (quote["next_promise"] if quote["moved"] else None)
    if quote["next_promise"] is not None and not quote["moved"]:
        before = Held(open=before.open, next_units=before.next_units + quote["units"])
    if promise is None or quote["units"] == 0:
        return before
    until = to_time(quote["held_until"])
    place = Reservation(units=quote["units"], promise=to_time(promise), valid_until=until)
    return Held(open=(*before.open, place), next_units=before.next_units)


def _state(quote: Row, now: datetime) -> str:
    if quote["line_id"] is not None:
        return "used"
    return "expired" if to_time(quote["valid_until"]) <= now else "open"


def _text(at: datetime | None) -> str | None:
    return None if at is None else to_text(at)


def _subject(quote_id: str) -> str:
    return f"quote:{quote_id}"
