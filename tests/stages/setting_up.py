"""The small factory with two families that need a set-up of the press, and what its people do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from drivers.base import JobPhase
from gateway.domain.intake import Catalogue
from gateway.domain.products import Family, Product, Range, Setup
from gateway.ledger import first_pieces, run_views, setups
from gateway.stages.plan import Floor
from tests.eventually import eventually
from tests.stages.factory import PRESS, RECIPE, STEP, Factory, a_factory

WHO = "person:karin"
WHITE = Family(name="pla-white", machines=(PRESS,), static_days=5, setup=Setup(first_piece=True))
BLACK = Family(name="pla-black", machines=(PRESS,), static_days=6, setup=Setup())


@asynccontextmanager
async def two_setups(
    state_dir: Path, *, white: Family = WHITE, black: Family = BLACK, **more: Any
) -> AsyncIterator[Factory]:
    """Open a factory that makes TRAY-12 in the white set-up and TRAY-13 in the black one."""
    sold = (
        Product(name="TRAY-12", make=True, route=(STEP,)),
        Product(name="TRAY-13", make=True, route=(replace(STEP, family="pla-black"),)),
    )
    families = {"pla-white": white, "pla-black": black}
    async with a_factory(state_dir, **more) as factory:
        await factory.arm()
        yield replace(
            factory,
            floor=Floor(families=families, machines=(PRESS,)),
            catalogue=Catalogue(range=Range(products=sold, families=families), recipe=lambda _m, _r: RECIPE),
        )


async def run_of(factory: Factory, run_id: int = 1) -> dict[str, Any]:
    view = await factory.ledger.read(lambda tx: run_views.show_run(tx, run_id))
    assert view is not None
    return view


async def is_in(factory: Factory, state: str, run_id: int = 1) -> None:
    async def there() -> bool:
        view = await factory.ledger.read(lambda tx: run_views.show_run(tx, run_id))
        return view is not None and view["state"] == state

    await eventually(there)


async def waits_for(factory: Factory, what: str, run_id: int = 1) -> None:
    async def there() -> bool:
        found = await factory.ledger.read(run_views.to_do)
        return (run_id, what) in [(one["run_id"], one["waits_for"]) for one in found]

    await eventually(there)


async def set_up(factory: Factory, run_id: int = 1, *, code: str | None = None) -> None:
    await factory.ledger.write(
        lambda tx: setups.confirm(tx, run_id, factory.floor.families, code=code, who=WHO, now=factory.clock.now())
    )


async def approve(factory: Factory, run_id: int = 1) -> None:
    await factory.ledger.write(lambda tx: first_pieces.approve(tx, run_id, who=WHO, now=factory.clock.now()))


async def reject(factory: Factory, run_id: int = 1, *, reason: str = "short shot") -> str | None:
    return await factory.ledger.write(
        lambda tx: first_pieces.reject(
            tx, run_id, reason=reason, who=WHO, site="LUND", epoch=1, now=factory.clock.now()
        )
    )


async def make(factory: Factory, *, quantity: int, good: int | None = None) -> str:
    """Let the press make the one job it was sent, of so many pieces."""
    press = factory.press
    await eventually(lambda: [job.phase for job in press.jobs.values()] == [JobPhase.ALLOWED_TO_START])
    job_id, job = next(iter(press.jobs.items()))
    assert job.command.quantity == quantity
    press.run(job_id)
    press.finish(job_id, good=quantity if good is None else good)
    await eventually(lambda: job_id not in press.jobs)
    return job_id


async def has_looked(factory: Factory) -> None:
    """Wait until the press was looked at twice more, and so could have been sent something."""
    for step in ("a", "b"):
        code = f"look-{step}-{factory.clock.machine_s}"
        factory.press.setup_code, before = code, factory.press.setup_code
        await eventually(lambda: factory.board.get(("state", PRESS)).get("setup_code") == code)  # noqa: B023
        factory.press.setup_code = before
