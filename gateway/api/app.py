"""The routes of the control API (`/api/v1`): the desk's questions and acts over HTTP, errors as problem+json."""

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from pydantic import Field

from gateway import __version__
from gateway.api.backups import backup_routes
from gateway.api.changes import change_routes
from gateway.api.commissioning import commissioning_routes
from gateway.api.desk import Desk, View
from gateway.api.person import Asked, Person, ReasonAsked, found
from gateway.api.pricing import pricing_routes, proposal_routes
from gateway.api.probing import probe_routes
from gateway.api.quotes import quote_routes
from gateway.api.runs import run_routes
from gateway.api.stock import stock_routes
from gateway.domain.machines import Level
from gateway.errors import LedgerError, NotUnderstoodError, RefusedError, StaleError
from gateway.ledger import traces, views

Name = Annotated[str, Field(min_length=1, max_length=64)]
Pieces = Annotated[int, Field(ge=0, le=1_000_000, strict=True)]
Limit = Annotated[int, Query(ge=1, le=views.PAGE)]


class Json(Response):
    """JSON in UTF-8; times and enums as the ledger writes them."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode the answer."""
        return orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)


class ArmAsked(Asked):
    """The level to put in force."""

    level: Literal["read", "load", "start"]


class ResolveAsked(Asked):
    """One of the proposed actions, and why."""

    action: Name
    note: Annotated[str, Field(max_length=1000)] = ""
    good: Pieces | None = None


class ReportAsked(Asked):
    """Pieces made since the last report; scrap needs a reason."""

    good: Pieces = 0
    scrap: Pieces = 0
    reason: Annotated[str, Field(min_length=1, max_length=200)] | None = None


def create_app(desk: Desk) -> FastAPI:
    """Build the application over one desk."""
    app = FastAPI(title="Kvot", version=__version__, default_response_class=Json, docs_url=None, redoc_url=None)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(NotUnderstoodError, _wrong)
    app.add_exception_handler(StaleError, _stale)
    app.add_exception_handler(LedgerError, _unavailable)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _http_problem)
    app.include_router(_health(desk))
    app.include_router(_questions(desk), prefix="/api/v1")
    app.include_router(_traces(desk), prefix="/api/v1/trace")
    app.include_router(_acts(desk), prefix="/api/v1")
    app.include_router(change_routes(desk), prefix="/api/v1")
    app.include_router(run_routes(desk), prefix="/api/v1/runs")
    app.include_router(pricing_routes(desk), prefix="/api/v1/pricing")
    app.include_router(proposal_routes(desk), prefix="/api/v1/proposals")
    app.include_router(probe_routes(desk), prefix="/api/v1/machines")
    app.include_router(commissioning_routes(desk), prefix="/api/v1/machines")
    app.include_router(_stations(desk), prefix="/api/v1/stations")
    app.include_router(quote_routes(desk), prefix="/api/v1/quotes")
    app.include_router(stock_routes(desk), prefix="/api/v1/stock")
    app.include_router(backup_routes(desk), prefix="/api/v1")
    return app


def _health(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        return "ok\n"

    @router.get("/readyz")
    async def readyz() -> Response:
        view = await desk.ready()
        return Json(view, status_code=200 if view["ready"] else 503)

    return router


def _questions(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.get("/status")
    async def status() -> View:
        return await desk.status()

    @router.get("/orders")
    async def orders(
        state: Name | None = None, cursor: Annotated[int, Query(ge=0)] = 0, limit: Limit = views.PAGE
    ) -> View:
        items = await desk.ledger.read(lambda tx: views.list_orders(tx, state=state, after=cursor, limit=limit))
        return {"items": items, "next": items[-1]["order_id"] if len(items) == limit else None}

    @router.get("/orders/{order_id}")
    async def order(order_id: int) -> View:
        return found(await desk.ledger.read(lambda tx: views.show_order(tx, order_id)), f"no order {order_id}")

    @router.get("/jobs")
    async def jobs(
        state: Name | None = None, machine: Name | None = None, cursor: str = "", limit: Limit = views.PAGE
    ) -> View:
        items = await desk.ledger.read(
            lambda tx: views.list_jobs(tx, state=state, machine=machine, after=cursor, limit=limit)
        )
        return {"items": items, "next": items[-1]["job_id"] if len(items) == limit else None}

    @router.get("/jobs/{job_id}")
    async def job(job_id: Name) -> View:
        return found(await desk.ledger.read(lambda tx: views.show_job(tx, job_id)), f"no job {job_id}")

    @router.get("/machines")
    async def machines() -> View:
        return {"items": await desk.list_machines()}

    @router.get("/exceptions")
    async def exceptions(state: Literal["open", "acked", "resolved"] | None = None) -> View:
        return {"items": await desk.list_exceptions(state=state)}

    @router.get("/outbox/dead")
    async def dead() -> View:
        return {"items": await desk.dead_letters()}

    return router


def _traces(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.get("/order/{order_id}")
    async def order(order_id: int) -> View:
        return found(await desk.ledger.read(lambda tx: traces.trace_order(tx, order_id)), f"no order {order_id}")

    @router.get("/lot/{lot}")
    async def lot(lot: Name) -> View:
        return found(await desk.ledger.read(lambda tx: traces.trace_lot(tx, lot)), f"no lot {lot}")

    return router


def _acts(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.post("/machines/{machine}/arm", status_code=204)
    async def arm(machine: Name, asked: ArmAsked, who: Person) -> None:
        await desk.arm(machine, Level(asked.level), who=who)

    @router.post("/machines/{machine}/baseline", status_code=204)
    async def baseline(machine: Name, who: Person) -> None:
        await desk.baseline(machine, who=who)

    @router.post("/machines/{machine}/disarm", status_code=204)
    async def disarm(machine: Name, who: Person) -> None:
        await desk.disarm(machine, who=who)

    @router.post("/machines/{machine}/hold", status_code=204)
    async def hold(machine: Name, asked: ReasonAsked, who: Person) -> None:
        await desk.hold(machine, asked.reason, who=who)

    @router.post("/machines/{machine}/release", status_code=204)
    async def release(machine: Name, who: Person) -> None:
        await desk.release(machine, who=who)

    @router.post("/exceptions/{exception_id}/ack", status_code=204)
    async def acknowledge(exception_id: int, who: Person) -> None:
        await desk.acknowledge(exception_id, who=who)

    @router.post("/exceptions/{exception_id}/resolve", status_code=204)
    async def resolve(exception_id: int, asked: ResolveAsked, who: Person) -> None:
        await desk.resolve(exception_id, asked.action, asked.note, good=asked.good, who=who)

    return router


def _stations(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.get("")
    async def stations() -> View:
        return {"items": desk.list_stations()}

    @router.get("/{station}/tickets")
    async def tickets(station: Name) -> View:
        board = desk.board_of(station)
        return found(None if board is None else {"items": board}, f"no station {station}")

    @router.post("/{station}/tickets/{job_id}/start")
    async def start(station: Name, job_id: Name, who: Person) -> View:
        return await desk.start_ticket(station, job_id, who=who)

    @router.post("/{station}/tickets/{job_id}/report")
    async def report(station: Name, job_id: Name, asked: ReportAsked, who: Person) -> View:
        return await desk.report_ticket(
            station, job_id, good=asked.good, scrap=asked.scrap, reason=asked.reason, who=who
        )

    @router.post("/{station}/tickets/{job_id}/done")
    async def done(station: Name, job_id: Name, who: Person) -> View:
        return await desk.end_ticket(station, job_id, who=who)

    return router


def _problem(status: int, title: str, detail: str, errors: list[View] | None = None) -> Response:
    body: View = {"title": title, "status": status, "detail": detail}
    if errors:
        body["errors"] = errors
    return Response(orjson.dumps(body), status_code=status, media_type="application/problem+json")


async def _refused(_request: Request, fault: Exception) -> Response:
    return _problem(409, "not possible now", str(fault))


async def _wrong(_request: Request, fault: Exception) -> Response:
    assert isinstance(fault, NotUnderstoodError)
    return _problem(422, "not understood", str(fault), [{"path": f"body.{fault.field}", "text": str(fault)}])


async def _stale(_request: Request, fault: Exception) -> Response:
    return _problem(503, "not enough is known now", str(fault))


async def _unavailable(_request: Request, fault: Exception) -> Response:
    return _problem(503, "the ledger cannot be used", str(fault))


async def _http_problem(_request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    return _problem(fault.status_code, "not found" if fault.status_code == 404 else "refused", str(fault.detail))  # noqa: PLR2004


async def _not_understood(_request: Request, fault: Exception) -> Response:
    assert isinstance(fault, RequestValidationError)
    errors = [{"path": ".".join(str(part) for part in one["loc"]), "text": one["msg"]} for one in fault.errors()]
    return _problem(422, "not understood", "; ".join(f"{one['path']}: {one['text']}" for one in errors), errors)
