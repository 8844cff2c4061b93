"""How prices and proposals look to people: what holds, who said so, and what each article costs and did cost."""

from collections.abc import Mapping
from datetime import datetime

from gateway.domain.offers import Logged
from gateway.domain.pricing import Control, Said
from gateway.ledger import offers, proposals
from gateway.ledger.database import Tx
from gateway.ledger.list_prices import listed, lowest
from gateway.ledger.pricing_control import acts
from gateway.ledger.proposals import Proposal
from gateway.ledger.times import to_text
from gateway.stages.pricing import Pricing

View = dict[str, object]


def show_pricing(tx: Tx, pricing: Pricing, *, now: datetime) -> dict[str, object]:
    """Give each family's mode and freeze with who said so, its articles, and its open proposals."""
    said = acts(tx)
    asked = [one for one in proposals.known(tx, now=now).values() if one.state == "open" and one.expires_at > now]
    articles: dict[str, list[View]] = {}
    for shop, sku, logged in offers.in_force(tx):
        articles.setdefault(logged.family, []).append(_article(tx, shop, sku, logged, now=now))
    families = []
    for family in pricing.families():
        control = pricing.control(family, said, now=now)
        families.append(
            {
                "family": family,
                "policy": pricing.range.families[family].policy.value,
                "mode": control.mode.value,
                "frozen": _frozen(control),
                "why": [_voice(one) for one in control.said],
                "proposals": [one.proposal_id for one in asked if one.body.get("family") == family],
                "articles": articles.get(family, []),
            }
        )
    return {"families": families}


def proposal_view(one: Proposal, *, now: datetime) -> dict[str, object]:
    """Give a proposal; one that nobody answered in time shows as expired, also before it was let go."""
    body: Mapping[str, object] = one.body
    return {
        "proposal_id": one.proposal_id,
        "kind": one.kind,
        "family": body.get("family"),
        "subject": one.subject,
        "state": "expired" if one.state == "open" and one.expires_at <= now else one.state,
        "created_at": to_text(one.created_at),
        "expires_at": to_text(one.expires_at),
        "decided_by": one.decided_by,
        "decided_at": None if one.decided_at is None else to_text(one.decided_at),
        "reason": one.reason,
        **{name: value for name, value in body.items() if name != "family"},
    }


def _article(tx: Tx, shop: str, sku: str, logged: Logged, *, now: datetime) -> View:
    offer = logged.offer
    base, least = listed(tx, shop, sku, offer.currency), lowest(tx, shop, sku, offer.currency, now=now)
    return {
        "shop": shop,
        "sku": sku,
        "price_minor": offer.price_minor,
        "list_minor": None if base is None else base.price_minor,
        "in_force_minor": None if base is None else base.in_force_minor,
        "currency": offer.currency,
        "lowest_30d_minor": None if least is None else least.price_minor,
        "log_is_whole": least is not None and least.whole,
        "promise_at": to_text(offer.promise_at),
        "campaign": offer.campaign,
        "since": to_text(logged.valid_from),
    }


def _frozen(control: Control) -> str | None:
    if not control.frozen:
        return None
    return "at the list price" if control.at_list else "where it stands"


def _voice(said: Said) -> str:
    """Give one voice in words."""
    what = said.mode.value if said.mode is not None else "frozen at the list price" if said.at_list else "frozen"
    about = "" if said.family is None else f" of {said.family}"
    since = "" if said.since is None else f" since {to_text(said.since)}"
    until = "" if said.until is None else f" until {to_text(said.until)}"
    return f"{what}: {said.who}{about}{since}{until}{f' ({said.why})' if said.why else ''}"
