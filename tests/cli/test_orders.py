"""`kvot orders hold` and `release`: a person stops an order, or lets in what its shop does not say to make yet."""

from typing import Any

from drivers.base import CommandKind
from gateway.cli import exits
from gateway.domain.recovery import QUESTION
from gateway.domain.states import LineState
from gateway.ledger import events
from gateway.ledger.lines import move_line
from gateway.ledger.sql import change
from gateway.stages.intake import read_again
from gateway.stages.plan import plan_once
from tests.api.test_control import Caller, caller
from tests.cli.test_verbs import Kvot
from tests.eventually import eventually
from tests.shops.fake_shop import an_order
from tests.stages.factory import Factory

__all__ = ["caller"]  # the fixture
WHY = ("--reason", "paid at the counter")


async def pulled(factory: Factory, **order: Any) -> dict[str, Any]:
    """Place an order, or change it, and take it; give it as it is shown."""
    factory.shop.place(an_order("1001", **order))
    await factory.pull()
    return await factory.order()


async def read(factory: Factory) -> dict[str, Any]:
    """Let intake read again what it was rung for; give the order."""
    await read_again(factory.source, ledger=factory.ledger, clock=factory.clock)
    return await factory.order()


async def planned(factory: Factory) -> dict[str, Any]:
    """Plan once, and give the order."""
    site, epoch, now = factory.ledger.site, factory.ledger.epoch, factory.clock.now()
    await factory.ledger.write(lambda tx: plan_once(tx, factory.floor, site=site, epoch=epoch, now=now))
    return await factory.order()


async def story(factory: Factory, what: str) -> dict[str, Any]:
    found = await factory.ledger.read(lambda tx: events.history(tx, "order:1", 50))
    return next(event for event in reversed(found) if event["what"] == what)


async def test_an_unpaid_order_is_let_in_by_name_for_that_reason_alone(caller: Caller) -> None:
    factory, kvot = caller.factory, Kvot(caller.path)
    order = await pulled(factory, status="pending")
    assert order["state"] == "not_due"
    unpaid = order["lines"][0]["reason"]
    factory.clock.advance(86_400)

    await kvot("orders", "release", "1", *WHY)

    told = await story(factory, "order.released")
    assert told["who"].startswith("person:")
    assert (told["before"], told["after"]) == ({"held": [unpaid]}, {"reason": "paid at the counter"})
    refusal = await kvot("orders", "release", "1", *WHY, exits_with=exits.REFUSED)
    assert "is let in already" in refusal
    order = await read(factory)
    assert (order["state"], order["lines"][0]["reason"]) == ("received", None)
    assert order["lines"][0]["promise_at"][:10] == "2026-05-10"  # a late payment gets a new promise: 5 days from now
    assert (await pulled(factory, status="pending", quantity=3))["state"] == "received"  # the same reason holds no more
    assert (await planned(factory))["state"] in {"planned", "in_production"}

    order = await pulled(factory, status="failed", quantity=3)
    assert order["state"] == "not_due"  # another reason is another decision


async def test_a_flag_of_the_shop_is_overruled_and_a_retry_does_not_forget_it(caller: Caller) -> None:
    factory, kvot = caller.factory, Kvot(caller.path)
    await pulled(factory, sku="NEW-1", hold="check for fraud")
    assert (await factory.order())["state"] == "not_due"
    await factory.ledger.write(
        lambda tx: change(tx, "UPDATE order_lines SET state = 'received', prev_state = 'not_due'")
    )
    await factory.ledger.write(
        lambda tx: move_line(tx, 1, seen=LineState.RECEIVED, state=LineState.QUARANTINED, reason="bad parameter: x")
    )
    assert (await read(factory))["state"] == "not_due"  # read again, it is still flagged
    await kvot("orders", "release", "1", *WHY)
    order = await read(factory)
    assert order["state"] == "quarantined"
    (asked,) = await factory.exceptions()
    assert asked["cause"] == "unknown article"
    refusal = await kvot("orders", "release", "1", *WHY, exits_with=exits.REFUSED)
    assert "kvot orders retry 1" in refusal


async def test_a_held_order_leaves_its_run_and_comes_back_when_it_is_released(caller: Caller) -> None:
    factory, kvot = caller.factory, Kvot(caller.path)
    await pulled(factory)
    assert (await planned(factory))["jobs"] != []
    await kvot("orders", "hold", "1", "--reason", "the drawing changes")
    order = await planned(factory)
    assert (order["state"], order["hold_reason"]) == ("received", "the drawing changes")
    assert {job["state"] for job in order["jobs"]} <= {"cancelled"}
    refusal = await kvot("orders", "hold", "1", "--reason", "again", exits_with=exits.REFUSED)
    assert "held already: the drawing changes" in refusal

    await kvot("orders", "release", "1", *WHY)

    order = await planned(factory)
    assert order["hold_reason"] is None
    assert {job["state"] for job in order["jobs"]} & {"waiting", "released"}
    assert (await story(factory, "order.held"))["after"] == {"reason": "the drawing changes"}
    assert (await story(factory, "order.released"))["before"] == {"held": ["the drawing changes"]}


async def test_what_a_machine_has_of_a_held_order_goes_on(caller: Caller) -> None:
    factory, kvot = caller.factory, Kvot(caller.path)
    await factory.arm()
    async with factory.running("plan", "tend"):
        await pulled(factory)

        async def accepted() -> bool:
            return await factory.job_state() == "accepted"

        await eventually(accepted)
        await kvot("orders", "hold", "1", "--reason", "look first")
    assert (await factory.order())["state"] == "in_production"
    assert {command.kind for command in factory.press.received} <= {CommandKind.LOAD_START, CommandKind.LOAD}
    assert len(factory.press.jobs) == 1


async def test_what_cannot_be_released_or_held_says_why(caller: Caller) -> None:
    factory, kvot = caller.factory, Kvot(caller.path)

    async def refused(*words: str) -> str:
        return await kvot("orders", *words, exits_with=exits.REFUSED)

    assert "there is no order 1" in await refused("release", "1", *WHY)
    await pulled(factory)
    assert "nobody holds it: it waits for the next planning" in await refused("release", "1", *WHY)
    await planned(factory)
    assert "nobody holds it: job LUND-1-1 in run 1 is" in await refused("release", "1", *WHY)
    await factory.ledger.write(lambda tx: change(tx, "UPDATE runs SET hold_reason = 'the oven is cold'"))
    assert "is held (the oven is cold): `kvot runs release`" in await refused("release", "1", *WHY)
    await factory.ledger.write(lambda tx: change(tx, "UPDATE requirements SET hold_reason = 'remade too often'"))
    assert "it waits for an answer (remade too often): `kvot exceptions list`" in await refused("release", "1", *WHY)
    await factory.ledger.write(lambda tx: change(tx, "UPDATE order_lines SET hold_reason = :why", why=QUESTION))
    assert "answered by `kvot exceptions resolve`" in await refused("release", "1", *WHY)
    await kvot("orders", "cancel", "1")
    assert "order 1 has ended" in await refused("release", "1", *WHY)
    assert "order 1 has ended" in await refused("hold", "1", *WHY)
    assert "Missing option" in await kvot("orders", "release", "1", exits_with=exits.USAGE)
