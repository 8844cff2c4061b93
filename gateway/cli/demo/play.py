"""The demo from curtain to verdict: let customers order, kill the gateway where asked, wait, and judge."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.cli.demo.scene import KEY, SECRET, Scene, Wishes, scene
from simulators.witness import (
    FINISHED,
    Entry,
    Evidence,
    Listener,
    Told,
    Verdict,
    judge,
    listen,
    read_journal,
    read_orders,
    read_writes,
)

BUSINESS_MIN = 90  # customers take 60 minutes, what is open then 30 more
STEP_S = 0.25
NEVER_MADE = ("GIFT-*", "MUG-*")
ON_ACCOUNT = ("invoice",)
TROUBLE = 2  # exceptions that `--with-trouble` is good for: an unknown article, a bad width
_PASSED = FINISHED | {"not_due", "quarantined"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """What there is to see right now."""

    status: dict[str, Any] | None
    placed: int
    target: int
    starts: int
    facts: int
    elapsed_s: float
    note: str


Show = Callable[[Moment], None]


class Play:
    """One performance in a running scene."""

    def __init__(self, wishes: Wishes, stage: Scene, listener: Listener, show: Show) -> None:
        self._wishes, self._stage, self._listener, self._show = wishes, stage, listener, show
        self._began_s = time.monotonic()
        self._killed = False
        self._note = ""

    async def until_made(self) -> None:
        """Go on until every order has come to its end and everybody has heard of it, or the time is over."""
        deadline_s = self._began_s + BUSINESS_MIN * 60 / self._wishes.speed + self._wishes.grace_s
        while time.monotonic() < deadline_s:
            if await self.step():
                return
            await asyncio.sleep(STEP_S)

    async def step(self) -> bool:
        """Look once, show it, kill the gateway when its moment has come; say whether all is done."""
        self._stage.check()
        shop, status = await self._stage.shop_status(), await self._stage.status()
        await self._kill_in_time(shop["placed"])
        self._show(
            Moment(
                status=status,
                placed=shop["placed"],
                target=shop["target"],
                starts=self._starts(),
                facts=len(self._listener.facts()),
                elapsed_s=time.monotonic() - self._began_s,
                note=self._note,
            )
        )
        return bool(shop["done"]) and status is not None and self._over(status, shop["placed"] + shop["trouble"])

    async def evidence(self) -> Evidence:
        """Gather the shop's, the machines' and the broker's own records."""
        wishes = self._wishes
        told = await self._told()
        await asyncio.to_thread(
            self._listener.wait_for, lambda: len(self._listener.facts()) >= (told.facts or 0), timeout_s=5.0
        )
        orders = await asyncio.to_thread(
            read_orders, self._stage.shop, key=KEY, secret=SECRET, never_made=NEVER_MADE, on_account=ON_ACCOUNT
        )
        return Evidence(
            orders_wanted=wishes.orders,
            exceptions_wanted=TROUBLE if wishes.trouble else 0,
            told=told,
            orders=tuple(order for order in orders if not (wishes.trouble and order.state == "quarantined")),
            journal=self._journal(),
            facts=self._listener.facts(),
            writes=read_writes(wishes.shop_log),
            tags=self._listener.tags(),
            prices=self._listener.prices(),
            clicks=(await self._stage.shop_status())["clicks"],
            unnamed=wishes.unnamed,
        )

    async def _kill_in_time(self, placed: int) -> None:
        after = self._wishes.kill_after
        if after is None or self._killed or placed < after or not self._under_way():
            return
        self._killed = True
        await self._stage.kill_gateway()
        self._note = f"gateway killed after {placed} orders, in the middle of a job"

    def _journal(self) -> tuple[Entry, ...]:
        """Read what really moved, from every machine's own record."""
        return tuple(entry for path in self._wishes.journals for entry in read_journal(path))

    def _starts(self) -> int:
        return sum(entry.event == "start" for entry in self._journal())

    def _under_way(self) -> bool:
        """Say whether some machine has a started, unfinished job by its own journal."""
        last = {(entry.machine, entry.job): entry.event for entry in self._journal()}
        return any(event in {"start", "resume"} for event in last.values())

    def _over(self, status: dict[str, Any], placed: int) -> bool:
        """Say whether every order that is due has come in, come to its end, and been told of."""
        if self._wishes.kill_at is not None and not self._killed:
            return False
        orders = status["orders"]
        taken = sum(count for state, count in orders.items() if state != "not_due") >= placed
        open_orders = any(state not in _PASSED for state in orders)
        to_tell = any(one["pending"] for one in status["outbox"])
        return taken and not open_orders and not to_tell

    async def _told(self) -> Told:
        """Ask the gateway what it says of itself."""
        orders = await self._all("/api/v1/orders", 0)
        jobs = await self._all("/api/v1/jobs", "")
        status = await self._stage.ask("GET", "/api/v1/status")
        due = [order for order in orders if order["due"] and order["state"] != "quarantined"]
        return Told(
            orders_in=len(due),
            lines=sum(len(order["lines"]) for order in due),
            jobs=len(jobs),
            jobs_completed=sum(job["state"] == "completed" for job in jobs),
            exceptions=status["exceptions_open"],
            job_ids=frozenset((job["machine"], job["job_id"]) for job in jobs),
            facts=status["posted"].get("mqtt", 0),
            runs=sum(
                status["runs"].get(state, 0) for state in ("finished", "running", "first_piece", "setup", "releasing")
            ),
            promises=(status["promises"]["made"], status["promises"]["kept"]),
        )

    async def _all(self, path: str, cursor: int | str | None) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        while cursor is not None:
            page = await self._stage.ask("GET", path, params={"cursor": cursor})
            items += page["items"]
            cursor = page["next"]
        return items


async def perform(wishes: Wishes, *, once: bool, show: Show) -> Verdict | None:
    """Play the demo and let the witness judge; with `once` False go on until cancelled. Errors as in `gather`."""
    evidence = await gather(wishes, once=once, show=show)
    return None if evidence is None else judge(evidence)


async def gather(wishes: Wishes, *, once: bool, show: Show) -> Evidence | None:
    """Play the demo; give what the witness saw, or with `once` False go on until cancelled.

    Raise `ChildError` when a part of the factory does not start or ends by itself, `TimeoutError`
    when it does not come up.
    """
    async with scene(wishes) as stage:
        with listen(stage.broker) as listener:
            await stage.start_gateway()
            await stage.open()
            play = Play(wishes, stage, listener, show)
            if once:
                await play.until_made()
                return await play.evidence()
            while True:
                await play.step()
                await asyncio.sleep(STEP_S)
