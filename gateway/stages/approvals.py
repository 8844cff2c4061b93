"""A person answers a proposal: the answer and what follows from it are one event, so that it happens once."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from gateway.domain.offers import Logged
from gateway.domain.pricing import Published, RunInputs, Seen, approved, refusal, render
from gateway.errors import RefusedError
from gateway.ledger import collecting, offers, proposals, quotes
from gateway.ledger.campaigns import campaign_seen
from gateway.ledger.database import Tx
from gateway.ledger.exceptions import is_asked
from gateway.ledger.list_prices import ListPrice, listed
from gateway.ledger.offers import Publication
from gateway.ledger.pricing_control import acts
from gateway.ledger.proposals import Proposal
from gateway.ledger.times import to_time
from gateway.stages.pricing import Pricing
from gateway.stages.releases import Act, release_run, split_run

_DAY: Final = timedelta(days=1)


def approve(tx: Tx, pricing: Pricing, proposal_id: int, act: Act, *, option: str | None = None) -> str:
    """Agree to a proposal; give what follows, in words.

    A price is put in force exactly as proposed, if floor, hard band and moves allow it now; a campaign may open for
    the run it was proposed for; an express run may be ordered by its quote; a release is a release and nothing more:
    permits and levels stay.
    Raise `RefusedError` where the proposal is out of date, or what it asks for is not possible now.
    """
    proposal = proposals.decide(tx, proposal_id, approve=True, who=act.who, now=act.now, option=option)
    options = proposal.body.get("options", {})
    if option not in (options or {None}):
        which = f"choose one of {', '.join(options)} with --option" if options else "it has no options"
        raise RefusedError(f"proposal {proposal_id}: {which}")
    match proposal.kind:
        case "price":
            return _put_price(tx, pricing, proposal, act)
        case "campaign" | "reduction":
            return _allow_campaign(tx, pricing, proposal, act)
        case "express":
            return _allow_express(tx, proposal, act)
        case "release" | "promise":
            return _release(tx, pricing, proposal, act, keep=proposal.body["keep"] if option == "split" else None)
        case _:
            raise RefusedError(f"this version does not know what a proposal of kind {proposal.kind!r} asks for")


def reject(tx: Tx, proposal_id: int, act: Act, *, reason: str) -> str:
    """Say no: nothing is done, and the same is not proposed again. Raise `RefusedError` where it is out of date."""
    proposals.decide(tx, proposal_id, approve=False, who=act.who, now=act.now, reason=reason)
    return f"proposal {proposal_id} is rejected: nothing is done"


def _put_price(tx: Tx, pricing: Pricing, proposal: Proposal, act: Act) -> str:
    body = proposal.body
    shop, sku, minor = body["shop"], body["sku"], body["to_minor"]
    base, logged = listed(tx, shop, sku, body["currency"]), offers.standing(tx, shop, sku)
    if base is None or logged is None or base.price_minor != body["list_minor"]:
        raise RefusedError(f"{sku} has another list price than when this was proposed, or no offer any more")
    if is_asked(tx, f"family:{logged.family}"):
        raise RefusedError(f"what prices of {logged.family} rest on is stale: `kvot exceptions list` says what")
    rules, seen = (
        pricing.rules(logged.family, shop, base.price_minor),
        _seen(tx, pricing, (shop, sku), act, logged=logged, base=base),
    )
    why_not = refusal(RunInputs(rules=rules, seen=seen), minor, act.now)
    if why_not is not None:
        raise RefusedError(render(why_not, "en", zone=pricing.zone, currency=body["currency"]))
    text = render(approved(minor), "en", zone=pricing.zone, currency=body["currency"])
    publication = Publication(
        shop=shop,
        sku=sku,
        product_id=logged.product_id,
        family=logged.family,
        offer=replace(logged.offer, price_minor=minor),
        list_minor=base.price_minor,
        before=logged.offer_id,
        changed=("price_minor",),
        texts=(text,),
        write=shop in pricing.write_back,
    )
    if logged.offer.price_minor == minor or not offers.publish(tx, publication, now=act.now):
        raise RefusedError(f"{sku} costs that already")
    return f"{sku}: {text}"


def _seen(tx: Tx, pricing: Pricing, article: tuple[str, str], act: Act, *, logged: Logged, base: ListPrice) -> Seen:
    shop, sku = article
    control = pricing.control(logged.family, acts(tx), now=act.now)
    return Seen(
        published=Published(
            price_minor=base.price_minor if logged.valid_from < base.since else logged.offer.price_minor,
            moves=offers.price_moves(tx, shop, sku, base=base, since=act.now - _DAY),
        ),
        campaign=campaign_seen(tx, logged.family, now=act.now),
        mode=control.mode,
        frozen=control.frozen,
        at_list=control.at_list,
    )


def _release(tx: Tx, pricing: Pricing, proposal: Proposal, act: Act, *, keep: int | None) -> str:
    """Release a run, or a part of it; one that a person holds meanwhile stays held."""
    run_id = proposal.body["run"]
    held = next((run.held for run in collecting.open_runs(tx) if run.run_id == run_id), None)
    if held is not None:
        raise RefusedError(f"run {run_id} is held: {held}")
    if keep is not None:
        return split_run(tx, pricing.floor, run_id, keep=keep, act=act)
    return release_run(tx, pricing.floor, run_id, act)


def _allow_campaign(tx: Tx, pricing: Pricing, proposal: Proposal, act: Act) -> str:
    """Let the campaign of a run open; the plan opens it as long as it pays, at the latest until the run starts."""
    family, run_id = proposal.body["family"], proposal.body["run"]
    control = pricing.control(family, acts(tx), now=act.now)
    if control.frozen:
        raise RefusedError(f"prices of {family} are frozen: `kvot pricing show` says by whom")
    if all(run.run_id != run_id for run in collecting.open_runs(tx, family)):
        raise RefusedError(f"run {run_id} does not collect any more: there is nothing left to fill")
    return f"the campaign of {family} may be open until run {run_id} starts"


def _allow_express(tx: Tx, proposal: Proposal, act: Act) -> str:
    """Let a customer order a run of his own, as long as his quote is valid; nothing starts before he does."""
    quote = quotes.find(tx, proposal.body["quote_id"])
    if quote is None or quote["line_id"] is not None or to_time(quote["valid_until"]) <= act.now:
        raise RefusedError(f"quote {proposal.body['quote_id']} was used or has expired: nobody can order by it")
    return f"quote {quote['quote_id']} may be ordered as a run of its own until {quote['valid_until']}"
