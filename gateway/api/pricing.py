"""Prices over the control API: what they are and why, how far they go, and what a named person decides."""

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from gateway.api.desk import Desk, View
from gateway.api.person import Asked, Person, Reason, found
from gateway.domain.pricing import Mode
from gateway.errors import RefusedError
from gateway.ledger import pricing_control, proposals
from gateway.ledger.database import Tx
from gateway.ledger.views import PAGE
from gateway.stages import approvals, price_views
from gateway.stages.pricing import Pricing
from gateway.stages.releases import Act

Family = Annotated[str, Field(min_length=1, max_length=64)]
Limit = Annotated[int, Query(ge=1, le=PAGE)]


class FamilyAsked(Asked):
    """Which family; without one, all of them."""

    family: Family | None = None


class ModeAsked(FamilyAsked):
    """How far prices go."""

    mode: Literal["off", "advise", "auto"]


class FreezeAsked(FamilyAsked):
    """Why prices stand."""

    reason: Annotated[str, Field(max_length=200)] = ""


class UndoAsked(Asked):
    """The family whose list price is put back."""

    family: Family
    reason: Annotated[str, Field(max_length=200)] = ""


class ApproveAsked(Asked):
    """Which of a proposal's options, where it has some."""

    option: Annotated[str, Field(min_length=1, max_length=20)] | None = None


class RejectAsked(Asked):
    """Why not."""

    reason: Reason


def pricing_routes(desk: Desk) -> APIRouter:
    """Build the routes below `/pricing`; an act answers with how prices stand then, and what was done in words."""
    router = APIRouter()

    @router.get("")
    async def show() -> View:
        pricing = _pricing(desk)
        return await desk.ledger.read(lambda tx: price_views.show_pricing(tx, pricing, now=desk.clock.now()))

    @router.post("/mode")
    async def mode(asked: ModeAsked, who: Person) -> View:
        def act(tx: Tx) -> str:
            pricing_control.set_mode(tx, asked.family, Mode(asked.mode), who=who, now=desk.clock.now())
            return f"prices of {asked.family or 'all families'}: {asked.mode}"

        return await _did(desk, asked.family, act)

    @router.post("/freeze")
    async def freeze(asked: FreezeAsked, who: Person) -> View:
        def act(tx: Tx) -> str:
            pricing_control.freeze(tx, asked.family, who=who, now=desk.clock.now(), reason=asked.reason)
            return f"prices of {asked.family or 'all families'} stand where they are"

        return await _did(desk, asked.family, act)

    @router.post("/unfreeze")
    async def unfreeze(asked: FamilyAsked, who: Person) -> View:
        def act(tx: Tx) -> str:
            pricing_control.unfreeze(tx, asked.family, who=who, now=desk.clock.now())
            return f"the freeze of {asked.family or 'all families'} is taken back"

        return await _did(desk, asked.family, act)

    @router.post("/undo")
    async def undo(asked: UndoAsked, who: Person) -> View:
        def act(tx: Tx) -> str:
            now = desk.clock.now()
            if _pricing(desk).control(asked.family, pricing_control.acts(tx), now=now).mode is Mode.OFF:
                raise RefusedError(f"prices of {asked.family} are off, so none is written: take that back first")
            pricing_control.freeze(tx, asked.family, who=who, now=now, reason=asked.reason, at_list=True)
            return f"the list price of {asked.family} is put back, and stands until somebody unfreezes it"

        return await _did(desk, asked.family, act)

    return router


def proposal_routes(desk: Desk) -> APIRouter:
    """Build the routes below `/proposals`; an answer says what was done in words."""
    router = APIRouter()

    @router.get("")
    async def list_them(
        state: Literal["open", "approved", "rejected", "expired"] = "open",
        cursor: Annotated[int, Query(ge=0)] = 0,
        limit: Limit = PAGE,
    ) -> View:
        listed = await desk.ledger.read(lambda tx: proposals.list_proposals(tx, state=state, after=cursor, limit=limit))
        items = [price_views.proposal_view(one, now=desk.clock.now()) for one in listed]
        return {"items": items, "next": listed[-1].proposal_id if len(listed) == limit else None}

    @router.get("/{proposal_id}")
    async def show(proposal_id: int) -> View:
        one = await desk.ledger.read(lambda tx: proposals.find(tx, proposal_id))
        view = None if one is None else price_views.proposal_view(one, now=desk.clock.now())
        return found(view, f"no proposal {proposal_id}")

    @router.post("/{proposal_id}/approve")
    async def approve(proposal_id: int, asked: ApproveAsked, who: Person) -> View:
        pricing = _pricing(desk)
        return await _decided(
            desk,
            proposal_id,
            lambda tx: approvals.approve(tx, pricing, proposal_id, _act(desk, who), option=asked.option),
        )

    @router.post("/{proposal_id}/reject")
    async def reject(proposal_id: int, asked: RejectAsked, who: Person) -> View:
        return await _decided(
            desk, proposal_id, lambda tx: approvals.reject(tx, proposal_id, _act(desk, who), reason=asked.reason)
        )

    return router


async def _did(desk: Desk, family: str | None, act: Callable[[Tx], str]) -> View:
    """Do it in one transaction; give how prices stand then."""
    pricing = _pricing(desk)
    if family is not None and family not in pricing.families():
        raise RefusedError(f"no family called {family!r} is priced; there is {', '.join(pricing.families()) or 'none'}")

    def both(tx: Tx) -> View:
        text = act(tx)
        return {**price_views.show_pricing(tx, pricing, now=desk.clock.now()), "done": text}

    return await desk.ledger.write(both)


async def _decided(desk: Desk, proposal_id: int, act: Callable[[Tx], str]) -> View:
    def both(tx: Tx) -> View:
        text = act(tx)
        one = proposals.find(tx, proposal_id)
        assert one is not None
        return {**price_views.proposal_view(one, now=desk.clock.now()), "done": text}

    return await desk.ledger.write(both)


def _pricing(desk: Desk) -> Pricing:
    if desk.pricing is None:
        raise RefusedError("this gateway prices nothing")
    return desk.pricing


def _act(desk: Desk, who: str) -> Act:
    return Act(who=who, now=desk.clock.now(), site=desk.ledger.site, epoch=desk.ledger.epoch)
