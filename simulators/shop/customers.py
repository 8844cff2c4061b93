"""The customers: which orders they place, by when, and what would do as well; all fixed by a seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from simulators.shop.values import Json, Wanted

WIDTHS_MM = ("60.5", "80", "95.25", "120")
TEXTS = (
    "Åre 2026",
    "Välkommen åter",
    "Kök & bad",
    'Hyllan "Öst"',
    "Smörgåsbord",
    "Sjöbris",
    "Räksmörgås",
    "Hej på dig!",
    "100 % lärk",
    "Nyckelskål",
    "Grattis på 40-årsdan",
    "'Fika'",
)
TRAYS = ("TRAY-12", "TRAY-12-W", "TRAY-12-B")
PLATES = ("PLATE-W-1", "PLATE-B-1")
OTHER_COLOUR = {"PLATE-W-1": "PLATE-B-1", "PLATE-B-1": "PLATE-W-1"}
EITHER = 0.5  # of those who want a plate would take the other colour as well
LENGTHS_MM = ("400", "600", "812.5")
PLATE, SET, EDGE = 0.5, 0.1, 0.15  # shares of the lines, where the whole range is for sale
MUGS = ("MUG-BLUE", "MUG-RED")
INVOICE, FREIGHT, GIFT, MUG, NESTED, ONLY_STOCK = 0.12, 0.4, 0.12, 0.2, 0.3, 0.05
LAST_MOMENT = 0.97  # of the time they have: the last order is seen before the hour is over
AT_LATEST = 0.8  # of that time is over before an order is placed by a customer who found no good moment


class Wares(StrEnum):
    """What customers buy of what the factory makes: trays alone, or its whole range."""

    TRAYS = "trays"
    ALL = "all"


class Why(StrEnum):
    """What part an order plays in a demo."""

    PAID = "paid"
    UNPAID = "unpaid"
    TROUBLE = "trouble"
    BY_HAND = "by_hand"


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """One order that a customer is going to place: `after` so long since the shop opened, a paid one at the latest.

    likes: which of two articles he takes where both would do, as a share between 0 and 1.
    """

    after: timedelta
    why: Why
    customer: int
    status: str
    payment_method: str
    lines: tuple[Wanted, ...]
    freight: str | None
    likes: float = 0.5


def plan(
    *, seed: int, orders: int, unpaid: int, trouble: bool, within: timedelta, wares: Wares = Wares.TRAYS
) -> tuple[Visit, ...]:
    """Decide all visits, in the order of their time; the same arguments always give the same visits.

    `orders` of them are paid (or put on an invoice); unpaid and troubled ones come on top. When within their time the
    paid ones really come, is up to `crowd`.
    """
    dice = random.Random(seed)  # noqa: S311  customers are no secret
    whys = [Why.PAID] * orders + [Why.UNPAID] * unpaid
    dice.shuffle(whys)
    visits = [_visit(dice, why, customer, wares) for customer, why in enumerate(whys, start=1)]
    if trouble:
        unknown = Wanted(sku="LAMP-9")
        too_wide = Wanted(sku="TRAY-12", options={"width_mm": "9999", "engraving": "För bred"})
        visits.insert(len(visits) // 3, _paid_by_card(Why.TROUBLE, len(visits) + 1, (unknown,)))
        visits.insert(2 * len(visits) // 3, _paid_by_card(Why.TROUBLE, len(visits) + 1, (too_wide,)))
    moments = _moments(dice, [visit.why for visit in visits], within)
    planned = [replace(visit, after=after, likes=dice.random()) for visit, after in zip(visits, moments, strict=True)]
    return tuple(sorted(planned, key=lambda visit: visit.after))


def _moments(dice: random.Random, whys: Sequence[Why], within: timedelta) -> list[timedelta]:
    seconds = int(within.total_seconds() * LAST_MOMENT)
    since = {Why.PAID: int(seconds * AT_LATEST)}
    return [timedelta(seconds=dice.randint(since.get(why, 0), seconds)) for why in whys]


def _visit(dice: random.Random, why: Why, customer: int, wares: Wares) -> Visit:
    lines = _basket(dice, wares)
    freight = "49.00" if any(not line.sku.startswith("GIFT-") for line in lines) and dice.random() < FREIGHT else None
    visit = replace(_paid_by_card(why, customer, lines), freight=freight)
    invoice = dice.random() < INVOICE
    if why is Why.UNPAID:
        return replace(visit, status="pending", payment_method="bacs")
    if invoice:
        return replace(visit, status="on-hold", payment_method="invoice")
    return visit


def _basket(dice: random.Random, wares: Wares) -> tuple[Wanted, ...]:
    if dice.random() < ONLY_STOCK:
        return (Wanted(sku=dice.choice(("GIFT-500", *MUGS))),)
    lines = [_made(dice, wares) for _ in range(dice.choice((1, 1, 1, 2)))]
    if dice.random() < GIFT:
        lines.append(Wanted(sku="GIFT-500"))
    if dice.random() < MUG:
        lines.append(Wanted(sku=dice.choice(MUGS), quantity=dice.randint(1, 4)))
    return tuple(lines)


def _made(dice: random.Random, wares: Wares) -> Wanted:
    """Give a line of something that is made to order or in runs."""
    if wares is Wares.ALL:
        share = dice.random()
        if share < PLATE:
            sku, quantity = dice.choice(PLATES), dice.choice((1, 1, 2))
            return Wanted(sku=sku, quantity=quantity, instead=OTHER_COLOUR[sku] if dice.random() < EITHER else "")
        if share < PLATE + SET:
            return Wanted(sku="SET-12", quantity=dice.choice((1, 2)))
        if share < PLATE + SET + EDGE:
            options: dict[str, Json] = {"length_mm": dice.choice(LENGTHS_MM)}
            return Wanted(sku="EDGE-S", quantity=dice.choice((1, 2, 4)), options=options)
    return _tray(dice)


def _tray(dice: random.Random) -> Wanted:
    width_mm, text = dice.choice(WIDTHS_MM), dice.choice(TEXTS)
    options: dict[str, Json] = {"width_mm": width_mm, "engraving": text}
    if dice.random() < NESTED:
        # Add-on plugins leave the same answers a second time, as a structure behind a hidden key.
        options["_addons"] = [{"name": "Gravyr", "value": text, "price": 0}, {"name": "Bredd", "value": width_mm}]
    return Wanted(sku=dice.choice(TRAYS), quantity=dice.choice((1, 1, 1, 2, 2, 3)), options=options)


def _paid_by_card(why: Why, customer: int, lines: tuple[Wanted, ...]) -> Visit:
    return Visit(
        after=timedelta(),
        why=why,
        customer=customer,
        status="processing",
        payment_method="card",
        lines=lines,
        freight=None,
    )
