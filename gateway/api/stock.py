"""The routes of stock (`/api/v1/stock`): what is there, what a person or program has counted, what has come."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from gateway.api.desk import Desk, View
from gateway.api.person import Asked, Person
from gateway.ledger import shelf, stock

Item = Annotated[str, Field(min_length=1, max_length=200)]  # as under needs: in kvot.yaml
Lot = Annotated[str, Field(min_length=1, max_length=64)]


class CountAsked(Asked):
    """An item, how much of it, and the lot it is of, where that is known."""

    item: Item
    quantity: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
    lot: Lot | None = None


class DiscardAsked(Asked):
    """Pieces of a lot that are not on the shelf any more."""

    lot: Lot
    pieces: Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


def stock_routes(desk: Desk) -> APIRouter:
    """Give the routes over one desk."""
    router = APIRouter()

    @router.get("")
    async def everything() -> View:
        return await desk.ledger.read(lambda tx: {**stock.list_stock(tx), "shelf": shelf.list_shelf(tx)})

    @router.post("/set")
    async def count(asked: CountAsked, who: Person) -> View:
        return await desk.ledger.write(
            lambda tx: stock.set_stock(tx, asked.item, asked.quantity, lot=asked.lot, who=who, now=desk.clock.now())
        )

    @router.post("/add")
    async def add(asked: CountAsked, who: Person) -> View:
        return await desk.ledger.write(
            lambda tx: stock.add_stock(tx, asked.item, asked.quantity, lot=asked.lot, who=who, now=desk.clock.now())
        )

    @router.post("/discard")
    async def discard(asked: DiscardAsked, who: Person) -> View:
        return await desk.ledger.write(
            lambda tx: shelf.discard(tx, asked.lot, asked.pieces, who=who, now=desk.clock.now())
        )

    return router
