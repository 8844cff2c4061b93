"""The shop's whole state: articles, orders, refunds, and what its customers do as business time goes on."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from simulators.shop.appeal import Look, Window
from simulators.shop.articles import Ids, articles
from simulators.shop.crowd import Crowd
from simulators.shop.customers import Visit, Why
from simulators.shop.values import (
    PAID_STATUSES,
    Amount,
    Article,
    Json,
    Line,
    Meta,
    Order,
    Refund,
    UnknownIdError,
    Wanted,
    Write,
    amount_of,
    minor,
    stored,
)

_NUMBERED = ("_posts", "_rows", "_metas", "_row_metas")


@dataclass(frozen=True, kw_only=True, slots=True)
class Backup:
    """The orders of a shop as they were, and the next numbers it would have given out."""

    orders: Mapping[int, Order]
    why: Mapping[int, Why]
    next_ids: Mapping[str, int]


class Store:
    """All the shop knows. Nothing here waits or does I/O; time only comes as an argument or by `step`.

    `opens_at` None means that the customers wait until `open` is called.
    """

    def __init__(
        self, *, crowd: Crowd, now: datetime, opens_at: datetime | None, hpos: bool = True, seed: int = 1
    ) -> None:
        self.now = now.replace(microsecond=0)
        self.hpos = hpos
        self._crowd = crowd
        self.writes: list[Write] = []
        self.orders: dict[int, Order] = {}
        self.why: dict[int, Why] = {}
        self._posts, self._rows = Ids(first=11), Ids(first=1)
        self._metas, self._row_metas = Ids(first=1001), Ids(first=1)
        self._dice = random.Random(seed)  # noqa: S311  order keys are no secret here
        self._opens_at = opens_at
        self._spent = timedelta()
        self.articles: dict[int, Article] = {a.id: a for a in articles(self._posts.take, self.now)}
        self._window = Window(self.articles.values())

    # Customers

    def step(self, now: datetime) -> None:
        """Let the customers do what they had to do until `now`; earlier times than before change nothing."""
        while self._opens_at is not None and (after := self._crowd.next_after) is not None:
            due = self._opens_at + after
            if due > now:
                break
            self.now = max(self.now, due.replace(microsecond=0))
            for visit in self._crowd.pass_by(self._look):
                self._arrive(visit)
        self.now = max(self.now, now.replace(microsecond=0))

    def open(self, now: datetime) -> None:
        """Let the customers begin, or go on where they were stopped."""
        if self._opens_at is None:
            self._opens_at = now - self._spent

    def stop(self, now: datetime) -> None:
        """Let no customer place anything more until `open` is called."""
        if self._opens_at is not None:
            self._spent, self._opens_at = now - self._opens_at, None

    @property
    def done(self) -> bool:
        """Say whether every planned order has been placed."""
        return self._crowd.done

    @property
    def clicks(self) -> int:
        """Count the visitors whom a campaign sent."""
        return self._crowd.clicks

    def count(self, why: Why) -> int:
        """Count the orders placed for that reason."""
        return sum(1 for reason in self.why.values() if reason is why)

    def target(self, why: Why) -> int:
        """Count the orders that will have been placed for that reason when the customers are done."""
        return self._crowd.target(why)

    def _look(self, sku: str) -> Look:
        return self._window.look(self.article_of(sku), self.now)

    def _arrive(self, visit: Visit) -> None:
        self.place_order(
            visit.lines,
            status=visit.status,
            payment_method=visit.payment_method,
            customer=visit.customer,
            freight=visit.freight,
            why=visit.why,
        )

    # What happens to orders

    def place_order(
        self,
        lines: Sequence[Wanted],
        *,
        status: str = "processing",
        payment_method: str = "card",
        customer: int = 1,
        freight: str | None = None,
        note: str = "",
        why: Why = Why.BY_HAND,
    ) -> Order:
        """Place one order now and give it. Raise `UnknownIdError` for an article the shop does not sell."""
        paid = self.now if status in PAID_STATUSES else None
        rows = tuple(self._line(wanted, status) for wanted in lines)
        order = Order(
            id=self._posts.take(),
            key="wc_order_" + "".join(self._dice.choices("abcdefghijkmnpqrstuvwxyz23456789", k=13)),
            status=status,
            payment_method=payment_method,
            customer=customer,
            created=self.now,
            modified=self.now,
            paid=paid,
            completed=self.now if status == "completed" else None,
            lines=rows,
            freight_id=self._rows.take() if freight else 0,
            freight=amount_of(gross_minor=minor(freight), tax_class="") if freight else None,
            note=note,
            transaction="" if paid is None else f"sim_{customer:05d}",
            meta=(self._meta("is_vat_exempt", "no"), self._meta("_wc_order_attribution_source_type", "typein")),
        )
        self.orders[order.id], self.why[order.id] = order, why
        return order

    def edit_line(
        self, order_id: int, line_id: int, *, quantity: int | None = None, options: Mapping[str, Json] | None = None
    ) -> Order:
        """Change a row of a placed order as its owner can; quantity 0 takes the row away."""
        order, line = self._row(order_id, line_id)
        if quantity == 0:
            return self._touch(replace(order, lines=tuple(row for row in order.lines if row is not line)))
        gross_minor = minor(line.article.price) * (line.quantity if quantity is None else quantity)
        meta = line.meta
        for key, value in (options or {}).items():
            meta = _with_key(meta, key, stored(value), self._row_metas)
        edited = replace(
            line,
            quantity=line.quantity if quantity is None else quantity,
            amount=amount_of(gross_minor=gross_minor, tax_class=line.article.tax_class),
            meta=meta,
        )
        return self._touch(replace(order, lines=tuple(edited if row is line else row for row in order.lines)))

    def add_line(self, order_id: int, wanted: Wanted) -> Order:
        """Add a row to a placed order as its owner can."""
        order = self.order(order_id)
        return self._touch(replace(order, lines=(*order.lines, self._line(wanted, order.status))))

    def refund_line(self, order_id: int, line_id: int, *, quantity: int = 1, reason: str = "") -> Refund:
        """Give money back for pieces of a row: a refund with negative rows; the order's row keeps its quantity.

        An order of which all money went back goes to `refunded`. Raise `ValueError` for more pieces than are left.
        """
        order, line = self._row(order_id, line_id)
        left = line.quantity + sum(one.line.quantity for one in order.refunds if one.line_id == line_id)
        if not 0 < quantity <= left:
            raise ValueError(f"{left} pieces of row {line_id} can be given back, not {quantity}")
        gross_minor = minor(line.article.price) * quantity
        back = amount_of(gross_minor=gross_minor, tax_class=line.article.tax_class)
        row = replace(
            line,
            id=self._rows.take(),
            quantity=-quantity,
            amount=Amount(net_minor=-back.net_minor, tax_minor=-back.tax_minor),
            meta=(Meta(id=self._row_metas.take(), key="_refunded_item_id", value=str(line_id)),),
        )
        refund = Refund(id=self._posts.take(), created=self.now, reason=reason, line_id=line_id, line=row)
        refunds = (*order.refunds, refund)
        given_back_minor = -sum(one.line.amount.gross_minor for one in refunds)
        status = "refunded" if given_back_minor >= order.total_minor else order.status
        self._touch(replace(order, refunds=refunds, status=status))
        return refund

    def mark_paid(self, order_id: int) -> Order:
        """Let the money of an order arrive: it goes to processing."""
        return self._touch(self._in_status(self.order(order_id), "processing"))

    def set_status(self, order_id: int, status: str) -> Order:
        """Change an order's status as its owner can."""
        return self._touch(self._in_status(self.order(order_id), status))

    # Changes over REST

    def write_order(self, order_id: int, values: Mapping[str, Json]) -> Write:
        """Apply what a PUT may change: `status`, `set_paid`, `meta_data`, `customer_note`, `transaction_id`.

        `values` has passed the checks of the REST layer. With HPOS a change of metadata alone moves `modified`,
        without it does not.
        """
        before = self.order(order_id)
        status = "processing" if values.get("set_paid") and before.paid is None else values.get("status", before.status)
        after = replace(
            self._in_status(before, status),
            note=values.get("customer_note", before.note),
            transaction=values.get("transaction_id", before.transaction),
        )
        fields = [name for name in ("status", "note", "transaction") if getattr(after, name) != getattr(before, name)]
        meta, keys = self._merged(before.meta, values.get("meta_data", ()))
        after = replace(after, meta=meta)
        self.orders[order_id] = after
        if fields or (keys and self.hpos):
            self._touch(after)
        return Write(subject="order", id=order_id, keys=(*fields, *keys), values=_flat(values))

    def write_article(self, article_id: int, values: Mapping[str, Json]) -> Write:
        """Apply what a PUT may change on a product or variation: `regular_price`, `name`, `meta_data`."""
        before = self.article(article_id)
        price = str(values.get("regular_price", before.price))
        meta, keys = self._merged(before.meta, values.get("meta_data", ()))
        after = replace(before, price=price, name=values.get("name", before.name), meta=meta)
        names = {"price": "regular_price", "name": "name"}
        fields = [word for name, word in names.items() if getattr(after, name) != getattr(before, name)]
        if fields or keys:
            after = replace(after, modified=self.now)
        self.articles[article_id] = after
        self._window.notice(after, self.now)
        return Write(subject="product", id=article_id, sku=before.sku, keys=(*fields, *keys), values=_flat(values))

    # Backups

    def backup(self) -> Backup:
        """Give what a backup of the shop's database holds of its orders."""
        next_ids = {name: vars(self)[name].next for name in _NUMBERED}
        return Backup(orders=dict(self.orders), why=dict(self.why), next_ids=next_ids)

    def restore(self, backup: Backup) -> None:
        """Bring a backup back: what was placed since is forgotten, and its numbers are given out again."""
        self.orders, self.why = dict(backup.orders), dict(backup.why)
        for name, number in backup.next_ids.items():
            vars(self)[name] = Ids(first=number)

    # Looking things up

    def order(self, order_id: int) -> Order:
        """Give an order or raise `UnknownIdError`."""
        if order_id not in self.orders:
            raise UnknownIdError(f"no order {order_id}")
        return self.orders[order_id]

    def article(self, article_id: int) -> Article:
        """Give a product or variation or raise `UnknownIdError`."""
        if article_id not in self.articles:
            raise UnknownIdError(f"no article {article_id}")
        return self.articles[article_id]

    def article_of(self, sku: str) -> Article:
        """Give the product or variation with that article number or raise `UnknownIdError`."""
        for article in self.articles.values():
            if article.sku == sku:
                return article
        raise UnknownIdError(f"no article {sku}")

    # Helpers

    def _row(self, order_id: int, line_id: int) -> tuple[Order, Line]:
        order = self.order(order_id)
        for line in order.lines:
            if line.id == line_id:
                return order, line
        raise UnknownIdError(f"no row {line_id} in order {order_id}")

    def _line(self, wanted: Wanted, status: str) -> Line:
        article = self.article_of(wanted.sku)
        parent = self.articles.get(article.parent_id)
        options = dict(wanted.options)
        if parent is not None:
            options = {"pa_farg": article.colour.lower(), **options}
        if article.stock is not None and status in (*PAID_STATUSES, "on-hold"):
            options["_reduced_stock"] = str(wanted.quantity)
            self.articles[article.id] = replace(article, stock=article.stock - wanted.quantity)
        return Line(
            id=self._rows.take(),
            article=article,
            parent_name=parent.name if parent else None,
            quantity=wanted.quantity,
            amount=amount_of(gross_minor=minor(article.price) * wanted.quantity, tax_class=article.tax_class),
            meta=tuple(Meta(id=self._row_metas.take(), key=k, value=stored(v)) for k, v in options.items()),
        )

    def _in_status(self, order: Order, status: str) -> Order:
        paid = self.now if order.paid is None and status in PAID_STATUSES else order.paid
        completed = self.now if status == "completed" and order.completed is None else order.completed
        return replace(order, status=status, paid=paid, completed=completed)

    def _touch(self, order: Order) -> Order:
        touched = replace(order, modified=self.now)
        self.orders[order.id] = touched
        return touched

    def _meta(self, key: str, value: Json) -> Meta:
        return Meta(id=self._metas.take(), key=key, value=stored(value))

    def _merged(self, meta: tuple[Meta, ...], rows: Sequence[Mapping[str, Json]]) -> tuple[tuple[Meta, ...], list[str]]:
        """Merge metadata as the real shop does: by id, else by key; null takes an entry away; what is new is added."""
        merged, changed = meta, []
        for row in rows:
            before = merged
            key, value, meta_id = row.get("key"), stored(row.get("value")), row.get("id")
            if any(entry.id == meta_id for entry in merged):
                merged = tuple(
                    replace(entry, key=key or entry.key, value=value) if entry.id == meta_id else entry
                    for entry in merged
                )
            elif key:
                merged = _with_key(merged, key, value, self._metas)
            merged = tuple(entry for entry in merged if entry.value is not None)
            if merged != before:
                changed.append(str(key))
        return merged, changed


def _with_key(meta: tuple[Meta, ...], key: str, value: Json, ids: Ids) -> tuple[Meta, ...]:
    """Replace the first entry of that key in place and drop its doubles, or add one at the end."""
    first = next((entry for entry in meta if entry.key == key), None)
    if first is None:
        return (*meta, Meta(id=ids.take(), key=key, value=value))
    kept = (entry for entry in meta if entry is first or entry.key != key)
    return tuple(replace(entry, value=value) if entry is first else entry for entry in kept)


def _flat(values: Mapping[str, Json]) -> dict[str, Json]:
    """Give the written values by key, metadata among them under its own keys."""
    flat = {key: value for key, value in values.items() if key != "meta_data"}
    flat.update({str(row.get("key", row.get("id"))): row.get("value") for row in values.get("meta_data", ())})
    return flat
