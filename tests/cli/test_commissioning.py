"""A machine out of production in one person's hands, and what he writes there: sent once, and read back."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from drivers.profile import Limit, Tag
from gateway.cli import exits
from gateway.domain.machines import Level
from gateway.errors import RefusedError
from gateway.ledger import commissioning, events, machines
from tests.api.test_control import Caller, serving
from tests.cli.test_verbs import Kvot
from tests.drivers.fake_machine import Fault
from tests.drivers.tagged_machine import STANDBY, TaggedMachine
from tests.eventually import eventually
from tests.shops.fake_shop import an_order
from tests.stages.factory import PRESS, Factory, a_factory

ELSE = "person:somebody-else"
WRITABLE = {STANDBY: Limit(min=22, max=90)}
TAGS = {STANDBY: Tag(address="nsu=urn:press;s=Standby", unit="°C"), "pressure_bar": Tag(address="nsu=urn:press;s=P")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """A factory whose press has a tag that may be written, its verbs and its API."""

    factory: Factory
    press: TaggedMachine
    kvot: Kvot
    caller: Caller

    async def write(self, value: object, *, exits_with: int = exits.OK) -> str:
        """Write the press's standby temperature by the verb; give what is said on stderr."""
        words = ("write", PRESS, "--yes", STANDBY, str(value))
        writing = asyncio.create_task(self.kvot(*words, exits_with=exits_with))

        def over() -> bool:
            self.factory.clock.advance(0.5)  # what is to be waited for passes
            return writing.done()

        await eventually(over)
        return await writing

    async def newest(self) -> dict[str, Any]:
        """Give the newest write."""
        found: dict[str, Any] = await self.caller.get(f"/api/v1/machines/{PRESS}/write")
        return found

    async def story(self) -> list[dict[str, Any]]:
        """Give what the audit trail says of the press."""
        return await self.factory.ledger.read(lambda tx: events.history(tx, f"machine:{PRESS}", 50))

    async def shown(self) -> dict[str, Any]:
        """Give the press as the API shows it."""
        (found,) = (await self.caller.get("/api/v1/machines"))["items"]
        return dict(found)

    async def by_another(self) -> None:
        """Have somebody else put the press into commissioning."""
        now = self.factory.clock.now()
        await self.factory.ledger.write(lambda tx: commissioning.begin(tx, PRESS, who=ELSE, now=now))


@pytest_asyncio.fixture
async def desk(state_dir: Path) -> AsyncIterator[Desk]:
    path = state_dir / "kvot.sock"
    press = TaggedMachine()
    async with a_factory(state_dir, press=press) as plain:
        press._monotonic, press._now = plain.clock.monotonic, plain.clock.now
        factory = plain.with_profile(tags=TAGS, writable=WRITABLE)
        async with serving(factory, path), factory.running("plan", "tend"):
            made = Desk(factory=factory, press=press, kvot=Kvot(path), caller=Caller(path, factory))
            await eventually(lambda: factory.board.get(("state", PRESS)).get("identity"))
            yield made


# Commissioning -------------------------------------------------------------------------------------------


async def test_a_machine_in_commissioning_is_sent_nothing_and_is_armed_anew_afterwards(desk: Desk) -> None:
    await desk.factory.arm()
    await desk.kvot("machines", "commission", PRESS)
    shown = await desk.shown()
    assert (shown["level"], shown["commissioning"]["by"][:7]) == ("read", "person:")
    assert "in commissioning by person:" in await desk.kvot("status")
    await eventually(lambda: "in commissioning until" in str(desk.factory.board.get(("state", PRESS)).get("why")))
    assert "person:" not in str(desk.factory.board.get(("state", PRESS)))  # what is published names nobody

    refusal = await desk.kvot("machines", "arm", PRESS, exits_with=exits.REFUSED)
    assert "is in commissioning" in refusal
    refusal = await desk.kvot("probe", "machine", PRESS, "--yes", exits_with=exits.REFUSED)
    assert "is in commissioning" in refusal
    desk.factory.shop.place(an_order("1001"))
    await desk.factory.pull()

    async def released() -> bool:
        return await desk.factory.job_state() == "released"

    await eventually(released)
    await asyncio.sleep(0)
    assert desk.press.received == []

    await desk.kvot("machines", "commission", PRESS, "--end")
    refusal = await desk.kvot("machines", "commission", PRESS, "--end", exits_with=exits.REFUSED)
    assert "is not in commissioning" in refusal
    await eventually(lambda: "control level is read" in str(desk.factory.board.get(("state", PRESS)).get("why")))
    assert desk.press.received == []
    await desk.kvot("machines", "arm", PRESS)
    await eventually(lambda: desk.press.received)
    assert [event["what"] for event in await desk.story()] == [
        "machine.armed",
        "machine.commissioned",
        "machine.commissioning_ended",
        "machine.armed",
    ]


async def test_even_an_armed_level_sends_nothing_while_somebody_has_the_machine(desk: Desk) -> None:
    await desk.kvot("machines", "commission", PRESS)
    await desk.factory.arm()  # by the ledger alone, past the desk that would refuse it
    desk.factory.shop.place(an_order("1001"))
    await desk.factory.pull()

    async def released() -> bool:
        return await desk.factory.job_state() == "released"

    await eventually(released)
    desk.press._touch()
    await eventually(lambda: "in commissioning until" in str(desk.factory.board.get(("state", PRESS)).get("why")))
    assert desk.press.received == []


async def test_it_lapses_by_itself_after_an_hour(desk: Desk) -> None:
    await desk.factory.arm()
    await desk.kvot("machines", "commission", PRESS)
    desk.factory.clock.business += timedelta(minutes=59)
    await desk.write(40)
    desk.factory.clock.business += timedelta(minutes=2)
    desk.press._touch()

    async def lapsed() -> bool:
        return any(event["what"] == "machine.commissioning_lapsed" for event in await desk.story())

    await eventually(lapsed)
    shown = await desk.shown()
    assert (shown["commissioning"], shown["level"]) == (None, "read")
    assert "is not in commissioning" in await desk.write(50, exits_with=exits.REFUSED)
    assert desk.press.written == [(STANDBY, 40)]


async def test_what_is_at_work_or_in_doubt_is_not_commissioned(desk: Desk) -> None:
    await desk.factory.arm()
    desk.factory.shop.place(an_order("1001"))
    await desk.factory.pull()
    await eventually(lambda: desk.press.jobs)
    job_id = next(iter(desk.press.jobs))

    async def accepted() -> bool:
        return await desk.factory.job_state() == "accepted"

    await eventually(accepted)
    refusal = await desk.kvot("machines", "commission", PRESS, exits_with=exits.REFUSED)
    assert f"cannot be commissioned now: job {job_id} is there (accepted)" in refusal
    assert (await desk.shown())["level"] == "start"


async def test_an_unsettled_command_refuses_it_with_its_reason(desk: Desk) -> None:
    await desk.factory.arm()
    desk.press.fail_next(Fault.LATE)
    desk.factory.shop.place(an_order("1001"))
    await desk.factory.pull()

    async def doubtful() -> bool:
        return await desk.factory.job_state() == "in_doubt"

    await eventually(doubtful)
    now = desk.factory.clock.now()
    with pytest.raises(RefusedError, match=r"what became of job \S+ is not known yet"):
        await desk.factory.ledger.write(lambda tx: commissioning.begin(tx, PRESS, who=ELSE, now=now))


async def test_anybody_may_take_it_back_and_only_one_has_it(desk: Desk) -> None:
    await desk.by_another()
    refusal = await desk.kvot("machines", "commission", PRESS, exits_with=exits.REFUSED)
    assert f"in commissioning by {ELSE} until" in refusal
    await desk.kvot("machines", "disarm", PRESS)
    assert (await desk.shown())["commissioning"] is None
    await desk.kvot("machines", "commission", PRESS)
    await desk.kvot("machines", "commission", PRESS)  # the same person, for another hour


# Hand writes ---------------------------------------------------------------------------------------------


async def test_a_value_is_sent_once_read_back_and_written_down_with_before_and_after(desk: Desk) -> None:
    await desk.kvot("machines", "commission", PRESS)
    await desk.write(60)
    shown = await desk.newest()
    assert (shown["value"], shown["before"], shown["shown"], shown["outcome"]) == (60, 22.0, 60, "taken")
    assert desk.press.written == [(STANDBY, 60)]
    sent, written = (await desk.story())[-2:]
    assert (sent["what"], sent["before"], sent["after"]) == ("machine.write_sent", {STANDBY: 22.0}, {STANDBY: 60})
    assert (written["what"], written["before"]) == ("machine.written", {STANDBY: 22.0})
    assert written["after"] == {STANDBY: 60, "wanted": 60, "outcome": "taken"}
    assert sent["who"] == written["who"] == shown["who"]


async def test_before_anything_is_written_people_are_told_what_where_and_asked(desk: Desk) -> None:
    await desk.kvot("machines", "commission", PRESS)
    said = await desk.kvot("write", PRESS, STANDBY, "60", exits_with=exits.USAGE)
    assert "standby_c at nsu=urn:press;s=Standby := 60 °C, sent once" in said
    assert "opc.tcp://127.0.0.1:1" in said
    assert desk.press.written == []


async def test_only_listed_tags_within_their_limits(desk: Desk) -> None:
    await desk.kvot("machines", "commission", PRESS)
    for tag, value, says in (
        (STANDBY, "91", "above 90"),
        (STANDBY, "21.9", "below 22"),
        (STANDBY, "nan", "not a finite number"),
        (STANDBY, "warm", "a text where a number is expected"),
        (STANDBY, "true", "a text where a number is expected"),
        ("pressure_bar", "5", "not in the write list of profile test-press; writable there: standby_c"),
        ("nonsense", "5", "not in the write list"),
    ):
        assert says in await desk.kvot("write", PRESS, tag, value, "--yes", exits_with=exits.REFUSED)
    assert desk.press.written == []


async def test_only_who_commissions_it_writes_and_only_then(desk: Desk) -> None:
    assert "is not in commissioning" in await desk.write(60, exits_with=exits.REFUSED)
    await desk.by_another()
    assert "only who commissions it writes to it" in await desk.write(60, exits_with=exits.REFUSED)
    assert desk.press.written == []


async def test_a_lost_answer_is_unknown_and_nothing_is_sent_again(desk: Desk) -> None:
    await desk.kvot("machines", "commission", PRESS)
    desk.press.tag_faults = [Fault.LOSE_ANSWER]
    said = await desk.write(60, exits_with=exits.FAILURE)
    assert "60 was sent once for standby_c and the answer was lost; it is not sent again: the machine shows 60" in said
    assert desk.press.written == [(STANDBY, 60)]
    (asked,) = await desk.factory.exceptions()
    assert asked["cause"] == "unclear whether a value written by hand was taken"
    assert (asked["evidence"]["wanted"], asked["evidence"]["shown"]) == (60, 60)


async def test_a_lost_command_is_unknown_too_and_the_machine_says_the_old_value(desk: Desk) -> None:
    await desk.kvot("machines", "commission", PRESS)
    desk.press.tag_faults = [Fault.LOSE_COMMAND]
    said = await desk.write(60, exits_with=exits.FAILURE)
    assert "the machine shows 22.0" in said
    assert desk.press.written == []
    await desk.write(70)
    assert desk.press.written == [(STANDBY, 70)]


async def test_a_refusal_is_told_in_the_machines_words(desk: Desk) -> None:
    await desk.kvot("machines", "commission", PRESS)
    desk.press.tag_faults = [Fault.REFUSE]
    said = await desk.write(60, exits_with=exits.REFUSED)
    assert "the machine did not take 60 for standby_c: the machine shows 22.0 (BadOutOfRange)" in said
    assert await desk.factory.exceptions() == []


async def test_a_machine_that_keeps_another_value_is_not_believed(desk: Desk) -> None:
    await desk.kvot("machines", "commission", PRESS)
    desk.press.clamps = 50.0
    said = await desk.write(60.5, exits_with=exits.FAILURE)
    assert "the machine took 60.5 for standby_c, but the machine shows 50.0" in said


async def test_a_write_that_comes_too_late_is_not_sent(desk: Desk) -> None:
    await desk.kvot("machines", "commission", PRESS)
    now, ledger = desk.factory.clock.now(), desk.factory.ledger
    who, until_s = (await desk.shown())["commissioning"]["by"], desk.factory.clock.monotonic() - 1

    def asked_long_ago(tx: Any) -> Any:
        commissioning.ask(tx, PRESS, STANDBY, 60, who=who, gateway_boot=ledger.boot, until_s=until_s, now=now)
        return commissioning.newest(tx, PRESS, gateway_boot=ledger.boot, monotonic_s=until_s)

    assert (await ledger.write(asked_long_ago))["outcome"] == "not_sent"  # also while the machine is away

    async def ended() -> bool:
        return (await desk.newest())["ended_at"] is not None

    await eventually(ended)
    assert (await desk.newest())["outcome"] == "not_sent"
    assert desk.press.written == []


async def test_an_end_between_look_and_wire_keeps_the_value_back(desk: Desk) -> None:
    """The intent is committed only while the same person has the machine."""
    await desk.by_another()
    clock, ledger = desk.factory.clock, desk.factory.ledger
    now = clock.now()

    def ended_then_intended(tx: Any) -> bool:
        commissioning.ask(
            tx, PRESS, STANDBY, 60, who=ELSE, gateway_boot=ledger.boot, until_s=clock.monotonic() + 9, now=now
        )
        write = commissioning.open_write(tx, PRESS)
        assert write is not None
        commissioning.end(tx, PRESS, who="person:boss", now=now)
        return commissioning.intend(tx, write, before=22.0, now=now)

    assert await ledger.write(ended_then_intended) is False

    async def over() -> bool:
        return bool((await desk.newest())["outcome"] == "not_sent")

    await eventually(over)
    assert desk.press.written == []


async def test_the_intent_is_on_disk_before_the_wire(desk: Desk) -> None:
    seen: list[Any] = []
    ledger = desk.factory.ledger

    def look() -> None:
        seen.append(len(desk.press.written))
        seen.append(asyncio.ensure_future(ledger.read(lambda tx: commissioning.open_write(tx, PRESS))))

    await desk.kvot("machines", "commission", PRESS)
    desk.press.before_write = look
    await desk.write(60)
    assert seen[0] == 0
    write = await seen[1]
    assert write is None or write.sent
    assert (await desk.newest())["sent_at"] is not None


async def test_a_machine_is_not_armed_while_a_write_is_unclear(desk: Desk) -> None:
    await desk.kvot("machines", "commission", PRESS)
    who = (await desk.shown())["commissioning"]["by"]
    clock, ledger = desk.factory.clock, desk.factory.ledger

    def sent(tx: Any) -> None:
        commissioning.ask(
            tx, PRESS, STANDBY, 60, who=who, gateway_boot=ledger.boot, until_s=clock.monotonic() + 9, now=clock.now()
        )
        write = commissioning.open_write(tx, PRESS)
        assert write is not None
        assert commissioning.intend(tx, write, before=22.0, now=clock.now())
        commissioning.end(tx, PRESS, who=who, now=clock.now())
        with pytest.raises(RefusedError, match="read what became of the value written to standby_c"):
            commissioning.refuse_while_open(tx, PRESS, now=clock.now())

    await ledger.write(sent)

    async def unknown() -> bool:
        clock.advance(0.5)
        return bool((await desk.newest())["outcome"] == "unknown")

    await eventually(unknown)
    assert desk.press.written == []
    await desk.kvot("machines", "arm", PRESS)
    assert await desk.factory.exceptions() == []  # who arms it has looked at it
    level = await ledger.read(lambda tx: machines.arming(tx, PRESS).level)
    assert level is Level.START
