"""A customer's wish -> quote: what may be ordered of an article for the next minutes, kept with the places it holds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import orjson

from drivers.base import Scalar
from gateway.domain.intake import Catalogue, DueRule, LinePlan, read_order
from gateway.domain.orders import LineKind, ShopLine, ShopOrder
from gateway.domain.pricing import Control, FamilyRules, Mode, Policy, Published, RunInputs, Seen
from gateway.domain.pricing.quotes import Bench, Express, Kind, Option, Quoted, Wish, Withheld, quote
from gateway.domain.products import Family
from gateway.domain.runs import Situation, choose_machine, foresight
from gateway.domain.states import LineState
from gateway.errors import NotUnderstoodError, RefusedError, StaleError
from gateway.ledger import quotes, recovery
from gateway.ledger.database import Tx
from gateway.ledger.offers import least_list_price
from gateway.ledger.pricing_control import acts
from gateway.ledger.times import to_text
from gateway.shops.base import ShopProduct
from gateway.stages.board import Board
from gateway.stages.offer_mirrors import RunView, reasons_view
from gateway.stages.plan import situation
from gateway.stages.pricing import Article, Driving, Pricing, article_of, find_driving, view_of

_RULE: Final = DueRule(states=frozenset({"quote"}))
_OPTION: Final = re.compile(r"line\.options\.(\w+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Quoting:
    """What quotes are decided from besides the ledger: prices, articles, families that make express runs, shops."""

    pricing: Pricing
    catalogue: Catalogue
    shops: tuple[str, ...]
    express: Mapping[str, Express] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What is asked for. `key`: the same request under the same key is answered with the same quote."""

    sku: str
    quantity: int
    shop: str | None = None
    options: Mapping[str, Scalar] = field(default_factory=dict)
    wanted: datetime | None = None
    key: str | None = None

    @property
    def fingerprint(self) -> str:
        """Give a hash of everything that is asked, but the key."""
        wanted = None if self.wanted is None else to_text(self.wanted)
        asked = [self.shop, self.sku, self.quantity, dict(self.options), wanted]
        return sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    """A request with all that its quote is decided from."""

    request: Request
    shop: str
    driving: Driving
    rules: FamilyRules
    article: Article | None
    view: RunView
    scene: Situation
    control: Control
    mode: Mode

    @property
    def seen(self) -> Seen:
        """Give what is seen of the family, priced as it stands."""
        base = self.article
        return Seen(
            published=None if base is None else Published(price_minor=base.price_minor, moves=base.moves),
            reserved=self.view.reserved,
            mode=self.mode,
            frozen=self.control.frozen,
            at_list=self.control.at_list,
        )


def give_quote(
    tx: Tx, quoting: Quoting, request: Request, *, board: Board, who: str, epoch: int, now: datetime
) -> tuple[str, bool]:
    """Decide a quote and keep it, in one event; give its id, and whether it is new.

    Raise `NotUnderstoodError` for what cannot be made, `StaleError` while too little is known, `RefusedError` where
    no run can take it, or another request had the same key.
    """
    if request.key is not None and (known := quotes.asked_before(tx, who, request.key)) is not None:
        if known[1] != request.fingerprint:
            raise RefusedError(f"this Idempotency-Key was used for another request, quote {known[0]}: give a new one")
        return known[0], False
    if recovery.pending(tx):
        raise StaleError("a backup was restored: nothing is promised before every machine and shop was asked")
    shop = _shop(quoting, request)
    driving = _driving(quoting, request, shop, now)
    _require_fresh(board, driving.family)
    case = _case(tx, quoting, request, shop=shop, driving=driving, now=now)
    wish = Wish(pieces=request.quantity, units=driving.units, rest=driving.rest, wanted=request.wanted)
    try:
        decided = quote(
            foresight(case.view.run, case.rules, free_h=case.view.queue_h, seen=case.seen),
            wish,
            now,
            next_taken=quotes.living(tx, now=now).of(driving.family.name).next_units,
            bench=_bench(tx, quoting, case, now=now),
            express=quoting.express.get(driving.family.name),
        )
    except ValueError as fault:  # the calendar has no working time, or not enough of it
        raise RefusedError(f"nothing can be promised: {fault}") from fault
    if not decided.options:
        raise RefusedError(f"no run can take it: {_why(quoting, case, decided)}")
    return _keep(tx, quoting, case, decided, who=who, epoch=epoch, now=now), True


def _shop(quoting: Quoting, request: Request) -> str:
    if request.shop is None and len(quoting.shops) == 1:
        return quoting.shops[0]
    if request.shop is None:
        raise NotUnderstoodError("shop", f"several shops: name one of {', '.join(quoting.shops)}")
    if request.shop not in quoting.shops:
        raise NotUnderstoodError("shop", f"no shop is called {request.shop!r} here")
    return request.shop


def _driving(quoting: Quoting, request: Request, shop: str, now: datetime) -> Driving:
    """Read the request as a row of an order: the article it names, with the parameters of each step."""
    plan = _read(quoting, request, shop, now)
    driving = find_driving(quoting.pricing, plan)
    if driving is None:
        raise NotUnderstoodError("sku", f"{request.sku!r} is not made here")
    return driving


def _read(quoting: Quoting, request: Request, shop: str, now: datetime) -> LinePlan:
    row = ShopLine(
        shop_line_id="1",
        kind=LineKind.ARTICLE,
        skus=(request.sku,),
        name=request.sku,
        quantity=request.quantity,
        unit_price_minor=0,
        options=request.options,
    )
    order = ShopOrder(
        shop_order_id="quote",
        number="quote",
        channel=shop,
        currency="",
        placed_at=now,
        status="quote",
        payment="",
        cancelled=False,
        lines=(row,),
    )
    (plan,) = read_order(order, shop=shop, rule=_RULE, catalogue=quoting.catalogue)
    if plan.state is LineState.NOT_MADE:
        raise NotUnderstoodError("sku", f"{request.sku!r} is not made here")
    if plan.trouble is None:
        return plan
    if plan.trouble.subject.startswith("sku:"):
        raise NotUnderstoodError("sku", plan.trouble.evidence)
    named = _OPTION.search(plan.trouble.evidence)
    raise NotUnderstoodError("options" if named is None else f"options.{named[1]}", plan.trouble.evidence)


def _require_fresh(board: Board, family: Family) -> None:
    """Refuse to quote what prices and promises would not rest on either; a fixed lead rests on nothing."""
    if family.policy is Policy.STATIC:
        return
    shown: Mapping[str, Any] = board.get(("run", family.name))
    if not shown:
        raise StaleError("prices are not decided yet: no shop has told its list prices since the start")
    stale = [f"{name} was last heard {one['age_s']} s ago" for name, one in shown["inputs"].items() if one["stale"]]
    if stale:
        raise StaleError(f"{'; '.join(stale)}: nothing is promised on figures that old")


def _case(tx: Tx, quoting: Quoting, request: Request, *, shop: str, driving: Driving, now: datetime) -> _Case:
    pricing, family = quoting.pricing, driving.family
    try:
        currency = pricing.rules(family.name, shop, 1).price.currency
        product = ShopProduct(sku=request.sku, product_id="", price_minor=1, currency=currency)
        sold = pricing.sold(product)
        article = None if sold is None else article_of(tx, shop, sold, now=now)
        rules = pricing.rules(family.name, shop, None if article is None else article.base.price_minor)
    except ValueError as fault:
        raise StaleError(str(fault)) from fault
    scene, control = situation(tx, pricing.floor, now=now), pricing.control(family.name, acts(tx), now=now)
    return _Case(
        request=request,
        shop=shop,
        driving=driving,
        rules=rules,
        article=article,
        view=view_of(tx, family, scene, now=now),
        scene=scene,
        control=control,
        mode=pricing.mode_for(shop, control),
    )


def _bench(tx: Tx, quoting: Quoting, case: _Case, *, now: datetime) -> Bench:
    """Give the open runs of other families that the machine is to make."""
    machine, families = case.view.machine, quoting.pricing.range.families
    beside: list[tuple[str, RunInputs]] = []
    if case.driving.family.name in quoting.express:
        for name in sorted(quoting.pricing.floor.rules):
            if name == case.driving.family.name or choose_machine(families[name], case.scene.candidates) != machine:
                continue
            list_minor, rules = least_list_price(tx, name) or 1, quoting.pricing.floor.rules[name]
            rules = replace(rules, price=replace(rules.price, list_minor=list_minor))  # what has no price loses none
            view = view_of(tx, families[name], case.scene, now=now)
            seen = Seen(reserved=view.reserved)
            beside.append((name, foresight(view.run, rules, free_h=view.queue_h, seen=seen)))
    usable = case.scene.candidates[machine].usable
    return Bench(machine=machine, usable=usable, beside=tuple(beside))


def _why(quoting: Quoting, case: _Case, decided: Quoted) -> str:
    told = reasons_view(
        [reason for one in decided.withheld for reason in one.reasons],
        zone=quoting.pricing.zone,
        currency=case.rules.price.currency,
    )
    return " ".join(dict.fromkeys(str(one["text"]["en"]) for one in told))  # type: ignore[index]


def _keep(tx: Tx, quoting: Quoting, case: _Case, decided: Quoted, *, who: str, epoch: int, now: datetime) -> str:
    request = case.request
    offers = [_offer(quoting, case, one) for one in decided.options]
    body = {
        "family": case.driving.family.name,
        "options": dict(request.options),
        "wanted": None if request.wanted is None else to_text(request.wanted),
        "reserved": {"units": max(one.held for one in decided.options), "until": to_text(decided.held_until)},
        "lowest_30_days_minor": None if case.article is None else case.article.lowest_minor,
        "offers": offers,
        "withheld": [_withheld(quoting, case, one) for one in decided.withheld],
    }
    own = next((one for one in decided.options if one.kind is Kind.OWN_RUN), None)
    express = None
    if own is not None and own.approval:
        told = next(one for one in offers if one["kind"] == Kind.OWN_RUN)
        named = {"shop": case.shop, "sku": request.sku, "quantity": request.quantity, "machine": case.view.machine}
        express = {**named, **told, "machine_h": round(own.machine_h, 2), "valid_until": to_text(decided.valid_until)}
    given = quotes.Given(
        shop=case.shop,
        sku=request.sku,
        family=case.driving.family.name,
        quantity=request.quantity,
        asked_by=who,
        request_key=request.key,
        request_hash=request.fingerprint,
        body=body,
        valid_until=decided.valid_until,
        held_until=decided.held_until,
        units=max(one.held for one in decided.options),
        promises={one.kind: one.promise_at for one in decided.options if one.held},
        machine=None if own is None else case.view.machine,
        machine_h=None if own is None else own.machine_h,
        express=express,
    )
    return quotes.keep(tx, given, epoch=epoch, now=now)


def _offer(quoting: Quoting, case: _Case, option: Option) -> dict[str, object]:
    price = case.rules.price
    return {
        "kind": option.kind.value,
        "unit_price_minor": option.price_minor,
        "net_minor": option.net_minor,
        "currency": price.currency,
        "tax_rate": price.tax_rate,
        "promise_at": to_text(option.promise_at),
        "ship_by": to_text(option.ship_by),
        "in_time": option.in_time,
        "confidence": round(option.confidence, 2),
        "reserved_units": option.held,
        "needs_approval": option.approval,
        "why": reasons_view(option.reasons, zone=quoting.pricing.zone, currency=price.currency),
    }


def _withheld(quoting: Quoting, case: _Case, one: Withheld) -> dict[str, object]:
    why = reasons_view(one.reasons, zone=quoting.pricing.zone, currency=case.rules.price.currency)
    return {"kind": one.kind.value, "why": why}
