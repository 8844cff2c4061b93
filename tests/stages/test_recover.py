"""Yesterday's backup is restored: nothing is made twice, and a person is asked about what may have been made."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from drivers.base import JobPhase
from gateway.domain.exceptions import Kind
from gateway.domain.recovery import QUESTION
from gateway.ledger import recovery
from gateway.ledger.restore import restore
from gateway.stages.board import Board
from gateway.stages.recover import STANDING, recover
from tests.drivers.fake_machine import Fault
from tests.shops.fake_shop import an_order
from tests.stages.factory import LOG, PRESS, SHOP
from tests.stages.lives import Life, Place, _until_rest

WHO = "person:anna"


class Site(Place):
    """A place whose ledger is backed up in one life, and restored before the next."""

    @property
    def backup(self) -> Path:
        return self.state_dir / "yesterday.db"

    @asynccontextmanager
    async def first_life(self) -> AsyncIterator[Life]:
        async with self.life() as life:
            await life.begin()
            yield life

    async def keep(self, life: Life) -> None:
        await life.ledger.copy(self.backup, progress=lambda *_: None)

    @asynccontextmanager
    async def restored(self) -> AsyncIterator[Life]:
        """Restore the backup, start the gateway, and have a person arm the press at once."""
        self.clock.advance(3600)
        restore(self.state_dir, self.backup, who=WHO, now=self.clock.now())
        async with self.life() as life:
            await life.begin()
            yield life


def _work(place: Place) -> None:
    """Let the press do what it has been given."""
    for name, job in list(place.press.jobs.items()):
        if job.phase is JobPhase.RUNNING:
            place.press.finish(name, good=job.command.quantity)


async def _live(place: Place, life: Life, *, rounds: int = 6, report: bool = True) -> None:
    for _ in range(rounds):
        await life.pull()
        await life.plan()
        await life.tend()
        if report:
            await life.report()
        _work(place)
        place.clock.advance(1.5)


async def _recover(place: Place, life: Life, *, telling: bool = True) -> Board:
    board = Board()
    await _until_rest(
        recover(
            life.factory.ledger,
            machines=(PRESS,),
            shops=(SHOP,),
            telling={SHOP} if telling else set(),
            board=board,
            clock=place.clock,
            log=LOG,
        )
    )
    return board


async def _asked_and_over(place: Place, life: Life, *, telling: bool = True) -> list[dict[str, Any]]:
    """Ask the press and the shop, end the recovery, and give the questions but that of the lapsed arming."""
    await life.pull()
    await life.tend()
    await _recover(place, life, telling=telling)
    assert not await life.ledger.read(recovery.pending)
    return [one for one in await life.factory.exceptions() if one["cause"] != "arming lapsed"]


def _state(place: Place, number: str) -> str | None:
    return place.shop.statuses.get(number, {}).get("_kvot_state")


async def test_what_was_made_since_the_backup_is_not_made_again_and_what_was_not_is_made(state_dir: Path) -> None:
    place = Site(state_dir=state_dir)
    async with place.first_life() as life:
        await place.keep(life)
        place.shop.place(an_order("1001", quantity=2))
        await _live(place, life)
        assert _state(place, "1001") == "made"
    place.shop.place(an_order("1002"))

    async with place.restored() as life:
        (asked,) = await _asked_and_over(place, life)
        assert (asked["subject"], asked["cause"]) == ("restore", QUESTION)
        assert [(line["number"], line["shop_says"]) for line in asked["evidence"]["lines"]] == [("1001", "made")]
        await _live(place, life)
        assert _state(place, "1002") == "made"
        assert len(place.press.starts) == 2

        await life.factory.decide(asked["exception_id"], "by_shop")
        await _live(place, life)
        assert [order["state"] for order in await life.factory.orders()] == ["made", "made"]
        assert len(place.press.starts) == len(set(place.press.starts)) == 2
        assert [job["job_id"] for job in await life.factory.jobs()] == ["LUND-2-1"]


async def test_nothing_is_planned_sent_or_told_before_machine_and_shop_were_asked(state_dir: Path) -> None:
    place = Site(state_dir=state_dir)
    async with place.first_life() as life:
        place.shop.place(an_order("1001"))
        await life.pull()
        await place.keep(life)

    async with place.restored() as life:
        before = len(place.press.starts)
        await life.plan()
        board = await _recover(place, life)
        assert board.get(STANDING)["waits_for"] == [f"machine:{PRESS}", f"shop:{SHOP}"]
        await life.tend()
        board = await _recover(place, life)
        assert board.get(STANDING)["waits_for"] == [f"shop:{SHOP}"]
        for _ in range(3):
            await life.plan()
            await life.tend()
        assert await life.factory.jobs() == []
        assert len(place.press.starts) == before
        await life.pull()
        assert (await _recover(place, life)).get(STANDING) == {}


async def test_a_job_the_backup_was_about_to_send_is_never_sent_by_itself(state_dir: Path) -> None:
    """It was sent, made, cleared and not yet told when the first life ended: only the release speaks for it."""
    place = Site(state_dir=state_dir)
    async with place.first_life() as life:
        place.shop.place(an_order("1001"))
        await life.pull()
        await life.plan()
        await place.keep(life)
        await _live(place, life, report=False)
        assert place.press.starts == ["LUND-1-1"]
        assert place.press.jobs == {}

    async with place.restored() as life:
        (asked,) = await _asked_and_over(place, life)
        await _live(place, life)
        assert place.press.starts == ["LUND-1-1"]
        assert [job["state"] for job in await life.factory.jobs()] == ["cancelled"]
        assert asked["actions"] == ["by_shop", "one_by_one", "not_made", "made"]

        await life.factory.decide(asked["exception_id"], "made")
        await _live(place, life)
        assert _state(place, "1001") == "made"
        assert place.press.starts == ["LUND-1-1"]


async def test_a_line_that_was_not_made_is_made_when_a_person_says_so(state_dir: Path) -> None:
    place = Site(state_dir=state_dir)
    async with place.first_life() as life:
        place.shop.place(an_order("1001"))
        await life.pull()
        await life.report()
        await place.keep(life)

    async with place.restored() as life:
        (asked,) = await _asked_and_over(place, life)
        await _live(place, life)
        assert place.press.starts == []
        assert (await life.factory.order())["lines"][0]["hold_reason"] == QUESTION

        await life.factory.decide(asked["exception_id"], "not_made")
        await _live(place, life)
        assert place.press.starts == ["LUND-2-1"]
        assert _state(place, "1001") == "made"


async def test_a_command_in_doubt_at_the_backup_is_a_persons_to_settle(state_dir: Path) -> None:
    """The press has made and cleared it since, so its silence is no proof of absence."""
    place = Site(state_dir=state_dir)
    async with place.first_life() as life:
        place.shop.place(an_order("1001"))
        await life.pull()
        await life.plan()
        place.press.fail_next(Fault.LOSE_ANSWER)
        await life.tend()
        await place.keep(life)
        await _live(place, life)
        assert place.press.starts == ["LUND-1-1"]
        assert place.press.jobs == {}

    async with place.restored() as life:
        assert await _asked_and_over(place, life) == []
        place.clock.advance(60)
        await _live(place, life)
        assert place.press.starts == ["LUND-1-1"]
        doubts = [one["cause"] for one in await life.factory.exceptions() if one["subject"] == "job:LUND-1-1"]
        assert doubts == [
            "unclear whether the job was made: a backup was restored since, and the job may have been made and cleared"
        ]


async def test_a_job_that_nobody_knows_is_one_question_and_frees_no_line(state_dir: Path) -> None:
    place = Site(state_dir=state_dir)
    async with place.first_life() as life:
        await place.keep(life)
        place.shop.place(an_order("1001", quantity=2))
        await life.pull()
        await life.plan()
        await life.tend()
        assert place.press.starts == ["LUND-1-1"]
    # It still runs, and the shop was never told.

    async with place.restored() as life:
        asked = await _asked_and_over(place, life)
        assert [(one["subject"], one["cause"]) for one in asked] == [
            ("job:LUND-1-1", Kind.UNKNOWN_JOB.cause),
            ("restore", QUESTION),
        ]
        await _live(place, life)
        assert place.press.starts == ["LUND-1-1"]

        await life.factory.decide(asked[0]["exception_id"], "close")
        await life.factory.decide(asked[1]["exception_id"], "one_by_one")
        (each,) = [one for one in await life.factory.exceptions() if one["cause"] == QUESTION]
        assert each["subject"] == "line:1"
        await life.factory.decide(each["exception_id"], "made")
        await _live(place, life)
        assert _state(place, "1001") == "made"
        assert place.press.starts == ["LUND-1-1"]


async def test_a_released_job_that_the_machine_names_is_followed_to_its_result(state_dir: Path) -> None:
    place = Site(state_dir=state_dir)
    async with place.first_life() as life:
        place.shop.place(an_order("1001", quantity=2))
        await life.pull()
        await life.plan()
        await place.keep(life)
        await life.tend()
        assert place.press.starts == ["LUND-1-1"]

    async with place.restored() as life:
        assert await _asked_and_over(place, life) == []
        await _live(place, life)
        assert _state(place, "1001") == "made"
        assert place.press.starts == ["LUND-1-1"]


async def test_numbers_of_jobs_go_on_above_the_machines_mark(state_dir: Path) -> None:
    place = Site(state_dir=state_dir)
    async with place.first_life() as life:
        await place.keep(life)
    place.press.mark = 41
    place.shop.place(an_order("1001"))

    async with place.restored() as life:
        await _asked_and_over(place, life)
        await life.plan()
        place.press.mark = 41
        await life.tend()
        (job,) = await life.factory.jobs()
        shown = (await life.factory.order())["jobs"][0]
        assert job["job_id"] == "LUND-2-1"
        assert [command["job_no"] for command in shown["commands"]] == [42]


async def test_a_shop_that_is_never_told_says_nothing_by_its_silence(state_dir: Path) -> None:
    place = Site(state_dir=state_dir)
    async with place.first_life() as life:
        await place.keep(life)
    place.shop.place(an_order("1001"))

    async with place.restored() as life:
        (asked,) = await _asked_and_over(place, life, telling=False)
        assert [line["shop_says"] for line in asked["evidence"]["lines"]] == [None]


async def test_without_a_restore_nobody_is_asked_anything(state_dir: Path) -> None:
    place = Site(state_dir=state_dir)
    async with place.first_life() as life:
        place.shop.place(an_order("1001"))
        await _live(place, life)
        assert (await _recover(place, life)).get(STANDING) == {}
        assert await life.factory.exceptions() == []


async def test_a_job_that_nobody_knows_holds_only_its_own_order_where_the_machine_names_that(state_dir: Path) -> None:
    place = Site(state_dir=state_dir)
    async with place.first_life() as life:
        await place.keep(life)
        place.shop.place(an_order("1001"))
        await life.pull()
        await life.plan()
        await life.tend()
    place.press.names_orders = True
    place.shop.place(an_order("1002"))

    async with place.restored() as life:
        stranger, asked = await _asked_and_over(place, life)
        assert (stranger["subject"], stranger["evidence"]["orders"]) == ("job:LUND-1-1", ["1001"])
        assert [(line["number"], line["named"]) for line in asked["evidence"]["lines"]] == [("1001", ["LUND-1-1"])]
        _work(place)
        place.press.forget("LUND-1-1")
        await _live(place, life)
        assert place.press.starts == ["LUND-1-1", "LUND-2-1"]
        assert _state(place, "1002") == "made"
