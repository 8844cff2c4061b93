"""The wires behind the shop: `/_simulator/` for demos and tests, hidden from whoever has no `X-Simulator: 1`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.shop.customers import Why
from simulators.shop.faults import Faults
from simulators.shop.settings import BusinessClock
from simulators.shop.store import Store
from simulators.shop.values import Json, UnknownIdError, Wanted

Endpoint = Callable[[Request], Awaitable[Response]]
NOT_THERE = {"code": "rest_no_route", "message": "No route was found matching the URL and request method."}


def control_routes(*, store: Store, faults: Faults, clock: BusinessClock) -> list[Route]:
    """Give the control addresses of one shop."""
    wires = _Wires(store=store, faults=faults, clock=clock)

    def route(path: str, method: str, endpoint: Endpoint) -> Route:
        async def guarded(request: Request) -> Response:
            if request.headers.get("x-simulator") != "1":
                return JSONResponse(NOT_THERE, 404)
            store.step(clock.now())
            try:
                return await endpoint(request)
            except UnknownIdError as error:
                return JSONResponse({"error": str(error)}, 404)
            except (ValueError, TypeError, KeyError) as error:
                return JSONResponse({"error": repr(error)}, 400)

        return Route(f"/_simulator{path}", guarded, methods=[method])

    return [
        route("/status", "GET", wires.status),
        route("/customers", "POST", wires.customers),
        route("/faults", "GET", wires.faults_in_force),
        route("/faults", "POST", wires.put_fault),
        route("/faults", "DELETE", wires.clear_faults),
        route("/orders", "POST", wires.place_order),
        route("/orders/{id:int}", "PUT", wires.edit_order),
        route("/orders/{id:int}/refunds", "POST", wires.refund),
        route("/orders/{id:int}/paid", "POST", wires.mark_paid),
    ]


def status_of(store: Store) -> dict[str, Json]:
    """Say how far the customers are; `placed` counts only planned orders that are to be made."""
    return {
        "placed": store.count(Why.PAID),
        "target": store.target(Why.PAID),
        "unpaid": store.count(Why.UNPAID),
        "trouble": store.count(Why.TROUBLE),
        "by_hand": store.count(Why.BY_HAND),
        "clicks": store.clicks,
        "done": store.done,
        "now": store.now.isoformat(),
    }


class _Wires:
    def __init__(self, *, store: Store, faults: Faults, clock: BusinessClock) -> None:
        self._store = store
        self._faults = faults
        self._clock = clock

    async def status(self, _: Request) -> Response:
        return JSONResponse(status_of(self._store))

    async def customers(self, request: Request) -> Response:
        """Let the customers go on or stop: `{"running": true}`."""
        now = self._clock.now()
        if (await request.json())["running"]:
            self._store.open(now)
        else:
            self._store.stop(now)
        self._store.step(now)
        return JSONResponse(status_of(self._store))

    async def faults_in_force(self, _: Request) -> Response:
        return JSONResponse([asdict(fault) for fault in self._faults.active()])

    async def put_fault(self, request: Request) -> Response:
        """Switch a fault on: `{"kind": "down", "times": 3}` and the other fields of `Fault`."""
        self._faults.put(**await request.json())
        return await self.faults_in_force(request)

    async def clear_faults(self, request: Request) -> Response:
        """Switch off the fault of `?kind=`, or all of them."""
        self._faults.clear(request.query_params.get("kind"))
        return await self.faults_in_force(request)

    async def place_order(self, request: Request) -> Response:
        """Place an order: `{"lines": [{"sku", "quantity", "options"}], "status", "payment_method", "freight"}`."""
        asked = await request.json()
        lines = [_wanted(line) for line in asked.pop("lines")]
        return self._order(self._store.place_order(lines, **asked).id, 201)

    async def edit_order(self, request: Request) -> Response:
        """Edit an order: `{"lines": [{"id", "quantity", "options"}], "add": [{"sku", ...}], "status": "..."}`."""
        order_id, asked = int(request.path_params["id"]), await request.json()
        for line in asked.get("lines", ()):
            self._store.edit_line(order_id, line["id"], quantity=line.get("quantity"), options=line.get("options"))
        for line in asked.get("add", ()):
            self._store.add_line(order_id, _wanted(line))
        if "status" in asked:
            self._store.set_status(order_id, asked["status"])
        return self._order(order_id)

    async def refund(self, request: Request) -> Response:
        """Give money back: `{"line": 7, "quantity": 1, "reason": "..."}`."""
        order_id, asked = int(request.path_params["id"]), await request.json()
        quantity, reason = asked.get("quantity", 1), asked.get("reason", "")
        self._store.refund_line(order_id, asked["line"], quantity=quantity, reason=reason)
        return self._order(order_id, 201)

    async def mark_paid(self, request: Request) -> Response:
        order_id = int(request.path_params["id"])
        self._store.mark_paid(order_id)
        return self._order(order_id)

    def _order(self, order_id: int, status: int = 200) -> Response:
        order = self._store.order(order_id)
        lines = [{"id": line.id, "sku": line.article.sku, "quantity": line.quantity} for line in order.lines]
        return JSONResponse({"id": order.id, "status": order.status, "lines": lines}, status)


def _wanted(line: Mapping[str, Json]) -> Wanted:
    return Wanted(sku=line["sku"], quantity=line.get("quantity", 1), options=line.get("options", {}))
