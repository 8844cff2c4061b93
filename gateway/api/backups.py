"""The ledger and its backups over the control API: what there is, and one more on request."""

from typing import Any

from fastapi import APIRouter

from gateway.api.desk import Desk
from gateway.errors import RefusedError
from gateway.ledger import views
from gateway.ledger.times import to_text
from gateway.stages.backup import Backups

View = dict[str, Any]


def backup_routes(desk: Desk) -> APIRouter:
    """Build the routes `/backups` and `/ledger`."""
    router = APIRouter()

    @router.get("/backups")
    async def backups() -> View:
        made = _backups(desk)
        items = [
            {"file": str(one.path), "made_at": to_text(one.made_at), "epoch": one.epoch, "bytes": one.size}
            for one in made.list()
        ]
        return {"items": items, "latest": None if made.latest is None else made.latest.show()}

    @router.post("/backups", status_code=202)
    async def make() -> View:
        return {"number": _backups(desk).ask()}

    @router.get("/ledger")
    async def ledger() -> View:
        return {
            **await desk.ledger.read(views.ledger_facts),
            "writable": not desk.ledger.full,
            "ballast": desk.ledger.ballast.lies,
        }

    return router


def _backups(desk: Desk) -> Backups:
    if desk.backups is None:
        raise RefusedError("this gateway makes no backups")
    return desk.backups
