"""The routes of quotes (`/api/v1/quotes`): what a customer may choose from, kept for a quarter of an hour."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from pydantic import AfterValidator, Field

from gateway.api.desk import Desk, View
from gateway.api.person import Asked, Person, found
from gateway.domain.calendars import aware
from gateway.errors import RefusedError
from gateway.ledger import quotes
from gateway.ledger.database import Tx
from gateway.stages.quotes import Quoting, Request, give_quote

Name = Annotated[str, Field(min_length=1, max_length=64)]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Value = bool | int | float | Annotated[str, Field(max_length=2000)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]
Limit = Annotated[int, Query(ge=1, le=quotes.PAGE)]


class QuoteAsked(Asked):
    """An article, how many pieces of it, with which options, and by when the customer would like to have it."""

    shop: Name | None = None
    sku: Text
    quantity: Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
    options: Annotated[dict[Text, Value], Field(max_length=64)] = Field(default_factory=dict)
    wanted: Annotated[datetime, AfterValidator(aware)] | None = None


def quote_routes(desk: Desk) -> APIRouter:
    """Build the routes below `/quotes`; who may ask is the business of whoever mounts them."""
    router = APIRouter()

    @router.post("", status_code=201)
    async def create(asked: QuoteAsked, who: Person, response: Response, key: Key = None) -> View:
        quoting, now = _quoting(desk), desk.clock.now()
        request = Request(**asked.model_dump(), key=key)

        def event(tx: Tx) -> tuple[dict[str, Any] | None, bool]:
            quote_id, new = give_quote(
                tx, quoting, request, board=desk.board, who=who, epoch=desk.ledger.epoch, now=now
            )
            return quotes.show_quote(tx, quote_id, now=now), new

        view, new = await desk.ledger.write(event)
        quote = found(view, "no quote")
        response.status_code = 201 if new else 200
        response.headers["Location"] = f"/api/v1/quotes/{quote['quote_id']}"
        return quote

    @router.get("")
    async def listed(cursor: Name | None = None, limit: Limit = quotes.PAGE) -> View:
        now = desk.clock.now()
        items = await desk.ledger.read(lambda tx: quotes.list_quotes(tx, now=now, before=cursor, limit=limit))
        return {"items": items, "next": items[-1]["quote_id"] if len(items) == limit else None}

    @router.get("/{quote_id}")
    async def shown(quote_id: Name) -> View:
        now = desk.clock.now()
        return found(
            await desk.ledger.read(lambda tx: quotes.show_quote(tx, quote_id, now=now)), f"no quote {quote_id}"
        )

    return router


def _quoting(desk: Desk) -> Quoting:
    if desk.quoting is None:
        raise RefusedError("this gateway plans no runs")
    return desk.quoting
