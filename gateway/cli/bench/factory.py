"""A factory of simulated machines for a bench: its settings, its orders, and the gateway's own stages on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from gateway.clock import Clock
from gateway.domain.intake import Catalogue, DueRule
from gateway.domain.orders import LineKind, ShopLine, ShopOrder
from gateway.settings import Settings, load
from gateway.stages.intake import Intake

SHOP, SITE = "bench", "BENCH"


class Kind(StrEnum):
    """A type of machine that a bench drives: its shipped profile."""

    PRESS = "isa95-press"
    OVEN = "modbus-mailbox"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stand:
    """One machine at its address; the articles named after it are made there and nowhere else."""

    name: str
    kind: Kind
    url: str


def settings_for(directory: Path, stands: Sequence[Stand]) -> Settings:
    """Write the configuration of a factory without a shop or a broker, and read it as the daemon does."""
    directory.mkdir(exist_ok=True)
    path = directory / "kvot.yaml"
    path.write_text(_text(stands))
    return load(path)


def intake_for(settings: Settings) -> Intake:
    """Give the way orders of the bench's own shop take into the ledger."""
    profiles = {name: settings.profile(name) for name in settings.machines}
    return Intake(
        shop=SHOP,
        poll_s=1.0,
        rule=DueRule(states=frozenset({"processing"})),
        catalogue=Catalogue(range=settings.range(), recipe=lambda machine, recipe: profiles[machine].recipes[recipe]),
        erase_after=timedelta(days=90),
    )


def an_order(number: int, machine: str, *, clock: Clock, quantity: int = 1) -> ShopOrder:
    """Give an order of one line that one machine makes."""
    line = ShopLine(
        shop_line_id="1",
        kind=LineKind.ARTICLE,
        skus=(machine,),
        name=f"made by {machine}",
        quantity=quantity,
        unit_price_minor=14900,
        options={"width_mm": "80", "engraving": "Fika"},
    )
    return ShopOrder(
        shop_order_id=str(number),
        number=str(number),
        channel="woocommerce",
        currency="SEK",
        placed_at=clock.now(),
        status="processing",
        payment="card",
        cancelled=False,
        lines=(line,),
        personal={"first_name": "A", "city": "Lund"},
    )


def _text(stands: Sequence[Stand]) -> str:
    parts = [f"site: {{id: {SITE}, enterprise: bench, timezone: UTC}}", "products:"]
    parts += [f"  {stand.name}: {{family: of-{stand.name}, {_MADE_BY[stand.kind]}}}" for stand in stands]
    parts.append("families:")
    parts += [f"  of-{stand.name}: {{machines: [{stand.name}], promise: {{static_days: 5}}}}" for stand in stands]
    parts.append("machines:")
    parts += [f"  {stand.name}: {{profile: {stand.kind}, url: '{stand.url}', {_SAFE[stand.kind]}}}" for stand in stands]
    return "\n".join((*parts, ""))


_MADE_BY: Mapping[Kind, str] = {
    Kind.PRESS: "recipe: tray, parameters: {width_mm: num(line.options.width_mm), text: line.options.engraving}",
    Kind.OVEN: "recipe: cure, parameters: {temperature_c: 180, minutes: 20}",
}
_AS_EVER = (
    "area: bench, line: line-1, control: start, "
    "risk_assessment: {ref: BENCH, by: nobody is near a simulated machine, date: 2026-05-04}, "
    "effect_accepted: {by: its simulator remembers, date: 2026-05-04, ref: BENCH}"
)
_SAFE = {Kind.PRESS: f"security: none, {_AS_EVER}", Kind.OVEN: _AS_EVER}
