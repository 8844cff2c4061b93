"""The shop on the web: access, faults, the write log and JSON around the resources."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from simulators.shop.artwork import artwork_route
from simulators.shop.control import control_routes
from simulators.shop.coupons import Coupons
from simulators.shop.faults import FaultKind, Faults
from simulators.shop.oauth import Call, Gate, RefusedError
from simulators.shop.query import RestError
from simulators.shop.resources import Answer, Ask, Resources
from simulators.shop.settings import BusinessClock, ShopSimulation
from simulators.shop.store import Store
from simulators.shop.values import Json, Write

JSON = "application/json; charset=UTF-8"
CHANGING = ("PUT", "POST", "PATCH")
WRITING = (*CHANGING, "DELETE")
PAGE = "<!DOCTYPE html><html lang='sv'><title>Underhåll</title><body>Vi är strax tillbaka.</body></html>"
Endpoint = Callable[[Ask], Answer]


@dataclass(frozen=True, kw_only=True, slots=True)
class Web:
    """Everything between a socket and the resources."""

    settings: ShopSimulation
    clock: BusinessClock
    store: Store
    faults: Faults
    gate: Gate
    resources: Resources
    coupons: Coupons

    def app(self) -> Starlette:
        """Give the application with all its addresses."""
        wc, shop = "/wp-json/wc/v3", self.resources
        variations = f"{wc}/products/{{product:int}}/variations"
        routes = [
            self._route("/wp-json", shop.index, open_to_all=True),
            self._route("/wp-json/", shop.index, open_to_all=True),
            self._route(f"{wc}/system_status", shop.system_status),
            self._route(f"{wc}/orders", shop.orders),
            self._route(f"{wc}/orders/{{id:int}}", shop.order, shop.write_order),
            self._route(f"{wc}/orders/{{id:int}}/refunds", shop.refunds),
            self._route(f"{wc}/products", shop.products),
            self._route(f"{wc}/products/{{id:int}}", shop.product, shop.write_product),
            self._route(variations, shop.variations),
            self._route(f"{variations}/{{id:int}}", shop.product, shop.write_product),
            self._route(f"{wc}/coupons", self.coupons.list_them, self.coupons.create),
            self._route(f"{wc}/coupons/{{id:int}}", self.coupons.read, self.coupons.write, self.coupons.remove),
            artwork_route(self.faults),
            *control_routes(store=self.store, faults=self.faults, clock=self.clock),
        ]

        async def no_route(_request: Request, _error: Exception) -> Response:
            return self._error(_no_route())

        return Starlette(routes=routes, exception_handlers={404: no_route, 405: no_route})

    def _route(
        self,
        path: str,
        read: Endpoint,
        write: Endpoint | None = None,
        remove: Endpoint | None = None,
        *,
        open_to_all: bool = False,
    ) -> Route:
        chosen = {"GET": read, "HEAD": read, **dict.fromkeys(CHANGING, write), "DELETE": remove}

        async def endpoint(request: Request) -> Response:
            self.store.step(self.clock.now())
            writes = request.method in WRITING
            spoilt = self._instead(request)
            if spoilt is not None:
                if writes:
                    self._note(await self._unmade_write(request, spoilt.status_code))
                return spoilt
            response = await self._answered(request, chosen[request.method] or read, open_to_all=open_to_all)
            return await self._spoilt_after(request.method, response)

        methods = [method for method, endpoint in chosen.items() if endpoint is not None and method != "HEAD"]
        return Route(path, endpoint, methods=methods)

    # One request

    async def _answered(self, request: Request, endpoint: Endpoint, *, open_to_all: bool) -> Response:
        writes = request.method in WRITING
        try:
            if not open_to_all:
                self._let_in(request)
            body = await _json_body(request) if writes else {}
            answer = endpoint(self._ask(request, body))
        except RestError as error:
            if writes:
                self._note(await self._unmade_write(request, error.status))
            return self._error(error)
        if answer.write is not None:
            self._note(replace(answer.write, status=answer.status))
        return self._json(_only_fields(answer.body, request), answer.status, answer.headers)

    def _let_in(self, request: Request) -> None:
        call = Call(
            method=request.method,
            url=self._url(request),
            authorization=request.headers.get("authorization", ""),
            secure=self._secure(request),
        )
        try:
            # A client of a scaled shop may sign with its own wall clock or with the shop's.
            self.gate.check(call, (datetime.now(UTC), self.clock.now()))
        except RefusedError as error:
            code = error.code.replace("_view", "_edit") if request.method in WRITING else error.code
            raise RestError(401, code, str(error)) from None

    def _secure(self, request: Request) -> bool:
        forwarded = request.headers.get("x-forwarded-proto", "").lower() == "https"
        return request.url.scheme == "https" or (self.settings.behind_proxy and forwarded)

    def _url(self, request: Request) -> str:
        """Give the address as the caller wrote it, the path still encoded."""
        scheme = "https" if self._secure(request) else "http"
        path = request.scope.get("raw_path", request.url.path.encode()).decode("ascii")
        return f"{scheme}://{request.headers.get('host', '')}{path}?{request.url.query}"

    def _ask(self, request: Request, body: Mapping[str, Json]) -> Ask:
        query: dict[str, str] = {}
        for name, value in request.query_params.multi_items():
            # PHP collects `include[]=1&include[]=2`; of other doubles the last one counts.
            listed, plain = name.endswith("[]"), name.removesuffix("[]")
            query[plain] = f"{query[plain]},{value}" if listed and plain in query else value
        url = self.settings.site_url or f"{request.url.scheme}://{request.headers.get('host', '')}"
        ids = {name: int(value) for name, value in request.path_params.items()}
        return Ask(method=request.method, url=f"{url}{request.url.path}", ids=ids, query=query, body=body)

    # Faults

    def _instead(self, request: Request) -> Response | None:
        """Give what is answered while nothing is done at all."""
        method = request.method
        if self.faults.take(FaultKind.DOWN, method):
            return HTMLResponse("<h1>Service Unavailable</h1>", 503, self._headers())
        limited = self.faults.take(FaultKind.LIMITED, method)
        if limited is not None:
            headers = {"Retry-After": f"{limited.seconds:.0f}"}
            return self._json({"code": "too_many_requests", "message": "Too many requests."}, 429, headers)
        if self.faults.take(FaultKind.HTML, method):
            return HTMLResponse(PAGE, 200, self._headers())
        return None

    async def _spoilt_after(self, method: str, response: Response) -> Response:
        """Spoil an answer after everything it says was done."""
        slow = self.faults.take(FaultKind.SLOW, method)
        if slow is not None:
            await asyncio.sleep(slow.seconds)
        if self.faults.take(FaultKind.LOST, method):
            return HTMLResponse("<h1>Bad Gateway</h1>", 502, self._headers())
        if self.faults.take(FaultKind.TRUNCATED, method):
            half = bytes(response.body)[: len(response.body) // 2]
            return Response(half, response.status_code, self._headers(), media_type=JSON)
        return response

    # Answers

    def _headers(self) -> dict[str, str]:
        return {"Date": format_datetime(self.store.now, usegmt=True), "Server": "Apache/2.4 (simulated)"}

    def _json(self, body: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        # As PHP writes it: letters beyond ASCII and every slash escaped.
        text = json.dumps(body, ensure_ascii=True, separators=(",", ":")).replace("/", "\\/")
        return Response(text, status, self._headers() | dict(headers or {}), media_type=JSON)

    def _error(self, error: RestError) -> Response:
        body = {"code": error.code, "message": str(error), "data": {"status": error.status, **error.more}}
        return self._json(body, error.status)

    # The write log

    async def _unmade_write(self, request: Request, status: int) -> Write:
        kinds = ("order", "coupon", "product")
        subject = next(kind for kind in kinds if f"/{kind}s" in request.url.path)
        try:
            body = await _json_body(request)
        except RestError:
            body = {}
        return Write(subject=subject, id=int(request.path_params.get("id", 0)), values=dict(body), status=status)

    def _note(self, write: Write) -> None:
        noted = replace(write, at_s=time.time())
        self.store.writes.append(noted)
        if self.settings.log is not None:
            _append(self.settings.log, noted, self.store.now)


def _append(log: Path, write: Write, now: datetime) -> None:
    """Add one line to the shop's log."""
    line = {
        "t": round(write.at_s, 3),
        "business": now.isoformat(),
        "subject": write.subject,
        write.subject: write.id,
        **({"sku": write.sku} if write.sku else {}),
        "keys": list(write.keys),
        "values": write.values,
        "changed": write.changed,
        "status": write.status,
    }
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


async def _json_body(request: Request) -> dict[str, Json]:
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError:
        raise RestError(400, "rest_invalid_json", "Invalid JSON body passed.") from None
    return body if isinstance(body, dict) else {}


def _only_fields(body: Json, request: Request) -> Json:
    """Leave only the top-level fields that `_fields` names, if it is given."""
    names = {name.strip() for name in request.query_params.get("_fields", "").split(",") if name.strip()}
    if not names:
        return body
    if isinstance(body, list):
        return [{name: value for name, value in row.items() if name in names} for row in body]
    return {name: value for name, value in body.items() if name in names}


def _no_route() -> RestError:
    return RestError(404, "rest_no_route", "No route was found matching the URL and request method.")
