"""Changes to orders and jobs over the control API, and what could not be told: each act in a person's name."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from gateway.api.desk import Desk, View
from gateway.api.person import Asked, Person, ReasonAsked
from gateway.errors import RefusedError
from gateway.ledger import ending, letters, order_acts, rerouting

Name = Annotated[str, Field(min_length=1, max_length=64)]
Subject = Annotated[str, Field(min_length=1, max_length=200)]


class RerouteAsked(Asked):
    """The machine that is to have the job."""

    machine: Name


class ReplayAsked(Asked):
    """What is told again: a subject, as the list of dead letters names it, to one destination."""

    destination: Subject
    subject: Subject


def change_routes(desk: Desk) -> APIRouter:
    """Build the acts below `/orders`, `/jobs` and `/outbox`; each answers with what was done, in words."""
    router = APIRouter()

    @router.post("/orders/{order_id}/cancel")
    async def cancel(order_id: int, who: Person) -> View:
        now = desk.clock.now()
        return _done(await desk.ledger.write(lambda tx: order_acts.cancel_order(tx, order_id, who=who, now=now)))

    @router.post("/orders/{order_id}/retry")
    async def retry(order_id: int, who: Person) -> View:
        now = desk.clock.now()
        return _done(await desk.ledger.write(lambda tx: order_acts.read_order_again(tx, order_id, who=who, now=now)))

    @router.post("/orders/{order_id}/hold")
    async def hold(order_id: int, asked: ReasonAsked, who: Person) -> View:
        now, why = desk.clock.now(), asked.reason
        text = await desk.ledger.write(lambda tx: order_acts.hold_order(tx, order_id, reason=why, who=who, now=now))
        return _done(text)

    @router.post("/orders/{order_id}/release")
    async def release(order_id: int, asked: ReasonAsked, who: Person) -> View:
        now, why = desk.clock.now(), asked.reason
        text = await desk.ledger.write(lambda tx: order_acts.release_order(tx, order_id, reason=why, who=who, now=now))
        return _done(text)

    @router.post("/jobs/{job_id}/abort")
    async def abort(job_id: Name, who: Person) -> View:
        await desk.ledger.write(lambda tx: ending.abort_job(tx, job_id, who=who, now=desk.clock.now()))
        return _done(f"the machine is asked to abort {job_id}")

    @router.post("/jobs/{job_id}/reroute")
    async def reroute(job_id: Name, asked: RerouteAsked, who: Person) -> View:
        if desk.floor is None:
            raise RefusedError("this gateway plans no runs")
        families = desk.floor.families
        text = await desk.ledger.write(
            lambda tx: rerouting.reroute(tx, job_id, asked.machine, families, who=who, now=desk.clock.now())
        )
        return _done(text)

    @router.post("/outbox/replay")
    async def replay(asked: ReplayAsked, who: Person) -> View:
        text = await desk.ledger.write(
            lambda tx: letters.replay(tx, asked.subject, destination=asked.destination, who=who, now=desk.clock.now())
        )
        return _done(text)

    return router


def _done(text: str) -> View:
    return {"done": text}
