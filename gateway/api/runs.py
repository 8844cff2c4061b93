"""Runs over the control API: what each waits for, and what a named person does about it."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import Field

from gateway.api.desk import Desk
from gateway.api.person import Asked, Person, Reason, ReasonAsked, found
from gateway.errors import RefusedError
from gateway.ledger import first_pieces, run_views, setups
from gateway.ledger.database import Tx
from gateway.ledger.runs import hold_run
from gateway.ledger.views import PAGE
from gateway.stages.plan import Floor
from gateway.stages.releases import Act, release_run, split_run

View = dict[str, Any]
Limit = Annotated[int, Query(ge=1, le=PAGE)]


class SplitAsked(Asked):
    """How many pieces start now."""

    keep: Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


class RejectAsked(Asked):
    """Why the first piece is scrap."""

    reason: Reason


def run_routes(desk: Desk) -> APIRouter:
    """Build the routes below `/runs`; every act answers with the run as it is then, and what was done in words."""
    router = APIRouter()
    _questions(router, desk)
    _releases(router, desk)
    _confirmations(router, desk)
    return router


def _questions(router: APIRouter, desk: Desk) -> None:
    @router.get("")
    async def runs(
        state: Annotated[str, Query(max_length=20)] | None = None,
        cursor: Annotated[int, Query(ge=0)] = 0,
        limit: Limit = PAGE,
    ) -> View:
        items = await desk.ledger.read(lambda tx: run_views.list_runs(tx, state=state, after=cursor, limit=limit))
        return {"items": items, "next": items[-1]["run_id"] if len(items) == limit else None}

    @router.get("/{run_id}")
    async def run(run_id: int) -> View:
        return found(await desk.ledger.read(lambda tx: run_views.show_run(tx, run_id)), f"no run {run_id}")

    @router.get("/families/{family}/explain")
    async def explain(family: str) -> View:
        """Give a family's open run as it is published, with the reasons of each field and the site's time zone."""
        run = desk.board.get(("run", family))
        planned = sorted(name for kind, name in desk.board.since(0) if kind == "run")
        if not run:
            raise HTTPException(
                404, f"no plan of a family {family!r}; there is one of {', '.join(planned) or 'none yet'}"
            )
        rules = None if desk.floor is None else desk.floor.rules.get(family)
        return {"run": dict(run), "timezone": "UTC" if rules is None else str(rules.calendar.zone)}


def _releases(router: APIRouter, desk: Desk) -> None:
    @router.post("/{run_id}/hold")
    async def hold(run_id: int, asked: ReasonAsked, who: Person) -> View:
        def act(tx: Tx) -> str:
            hold_run(tx, run_id, reason=asked.reason, who=who, now=desk.clock.now())
            return f"run {run_id} is held: {asked.reason}"

        return await _did(desk, run_id, act)

    @router.post("/{run_id}/release")
    async def release(run_id: int, who: Person) -> View:
        return await _did(desk, run_id, lambda tx: release_run(tx, _floor(desk), run_id, _act(desk, who)))

    @router.post("/{run_id}/split")
    async def split(run_id: int, asked: SplitAsked, who: Person) -> View:
        return await _did(
            desk, run_id, lambda tx: split_run(tx, _floor(desk), run_id, keep=asked.keep, act=_act(desk, who))
        )


def _confirmations(router: APIRouter, desk: Desk) -> None:
    @router.post("/{run_id}/setup-done")
    async def setup_done(run_id: int, who: Person) -> View:
        def act(tx: Tx) -> str:
            machine = setups.machine_of(tx, run_id)
            named = desk.board.get(("state", machine)).get("setup_code")
            code = None if named is None else str(named)
            setups.confirm(tx, run_id, _floor(desk).families, code=code, who=who, now=desk.clock.now())
            return f"{machine} is set up for run {run_id}"

        return await _did(desk, run_id, act)

    @router.post("/{run_id}/approve")
    async def approve(run_id: int, who: Person) -> View:
        def act(tx: Tx) -> str:
            first_pieces.approve(tx, run_id, who=who, now=desk.clock.now())
            return f"the first piece of run {run_id} is approved"

        return await _did(desk, run_id, act)

    @router.post("/{run_id}/reject")
    async def reject(run_id: int, asked: RejectAsked, who: Person) -> View:
        def act(tx: Tx) -> str:
            doing = _act(desk, who)
            job_id = first_pieces.reject(
                tx, run_id, reason=asked.reason, who=who, site=doing.site, epoch=doing.epoch, now=doing.now
            )
            next_ = f"another is made: {job_id}" if job_id is not None else "nothing is left of it to make"
            return f"the first piece of run {run_id} is scrap; {next_}"

        return await _did(desk, run_id, act)


async def _did(desk: Desk, run_id: int, act: Callable[[Tx], str]) -> View:
    """Do it in one transaction; give the run as it is then."""

    def both(tx: Tx) -> View:
        text = act(tx)
        return {**found(run_views.show_run(tx, run_id), f"no run {run_id}"), "done": text}

    return await desk.ledger.write(both)


def _floor(desk: Desk) -> Floor:
    if desk.floor is None:
        raise RefusedError("this gateway plans no runs")
    return desk.floor


def _act(desk: Desk, who: str) -> Act:
    return Act(who=who, now=desk.clock.now(), site=desk.ledger.site, epoch=desk.ledger.epoch)
