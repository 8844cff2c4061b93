"""A tray with a picture: it is fetched, checked and delivered before its job is sent, and a bad one holds its line alone."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from drivers.base import Command, CommandKind
from gateway.domain.exceptions import Kind
from gateway.domain.products import Range
from gateway.errors import IllegalTransitionError, ShopError, ShopRefusedError
from gateway.ledger import files, jobs
from gateway.ledger.jobs import Wire
from gateway.stages.deliver import TRIES_IN_SILENCE
from gateway.stages.fetch import TRIES_IN_SILENCE as TRIES
from gateway.stages.fetch import Asked
from tests.files.samples import png
from tests.stages.files import PRODUCT, URL, WITH_FILES, FileLife, FilePlace, look_here, with_artwork
from tests.stages.lives import CrashError

LOADS = {CommandKind.LOAD, CommandKind.LOAD_START}


@pytest.fixture(autouse=True)
def _no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.stages.fetch.inspect", look_here)


@pytest.fixture
def place(tmp_path: Path) -> FilePlace:
    place = FilePlace(state_dir=tmp_path)
    place.press.quick = True
    return place


def _work(place: FilePlace) -> None:
    for name, job in list(place.press.jobs.items()):
        if job.phase is not None and job.phase.name == "RUNNING":
            place.press.finish(name, good=job.command.quantity)


async def test_the_picture_lies_in_the_folder_byte_by_byte_before_the_job_is_sent(place: FilePlace) -> None:
    place.put()
    seen: list[tuple[str, dict[str, bytes]]] = []

    async def look(command: Command) -> None:
        if command.kind in LOADS:
            seen.append((command.job_id, place.delivered()))
            assert command.labels["files"] == (f"{command.job_id}-artwork.png",)

    async with place.file_life() as life:
        life.life.before_send = look
        place.shop.place(with_artwork())
        await life.turn()
        ((job_id, delivered),) = seen
        assert delivered == {f"{job_id}-artwork.png": png(grey=1001 % 256)}
        (file,) = await life.files()
        assert (file["state"], file["type"], file["name"]) == ("checked", "png", "artwork")
        _work(place)
        await life.turn()
        assert await life.line_state() == "made"
    assert place.fetcher.asked == [URL.format("1001")]


async def test_nothing_of_a_line_is_released_before_its_picture_is_checked(place: FilePlace) -> None:
    place.put(content=[ShopError("busy"), png()])
    async with place.file_life() as life:
        place.shop.place(with_artwork())
        await life.turn()
        assert await life.life.factory.jobs() == []
        assert await life.line_state() == "received"
        assert place.press.received == []
        place.clock.advance(60)
        await life.turn()
        assert len(place.press.starts) == 1


async def test_a_released_job_is_not_sent_before_its_files_are_delivered(place: FilePlace) -> None:
    place.put()
    async with place.file_life() as life:
        place.shop.place(with_artwork())
        await life.life.pull()
        await life.fetch()
        await life.life.plan()
        await life.life.tend()
        (job,) = await life.life.factory.jobs()
        assert (job["state"], place.press.received) == ("released", [])
        wire = Wire(machine="press-1", endpoint="x", session="s", boot="b")
        with pytest.raises(IllegalTransitionError, match="lacks 1 files"):
            await life.life.ledger.write(
                lambda tx: jobs.intend(tx, job["job_id"], CommandKind.LOAD_START, wire, now=place.clock.now())
            )
        assert await life.porter.step() is None
        await life.life.tend()
        assert len(place.press.starts) == 1


async def test_a_line_without_a_picture_waits_for_none(place: FilePlace) -> None:
    async with place.file_life() as life:
        place.shop.place(with_artwork(artwork=""))
        await life.turn()
        assert len(place.press.starts) == 1
        assert (await life.files(), place.fetcher.asked, place.delivered()) == ([], [], {})


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (ShopRefusedError("webshop: shop.example/.../1001.png was answered 404: it is not there"), "it is not there"),
        (b"<html>sign in</html>", "shop.example/.../1001.png: it is a web page by its content; wanted: png"),
        (png(100, 100), "it has 42 dpi, 150 are wanted"),
        (png(709, 300), "another shape; 60 x 60 mm are wanted"),
        (png(end=False), "ends early"),
    ],
)
async def test_a_bad_picture_holds_its_line_alone_and_a_person_is_asked(
    place: FilePlace, answer: bytes | Exception, why: str
) -> None:
    place.put("1001", answer)
    place.put("1002")
    async with place.file_life() as life:
        place.shop.place(with_artwork("1001"))
        place.shop.place(with_artwork("1002"))
        await life.turn()
        _work(place)
        await life.turn()
        assert (await life.line_state(1), await life.line_state(2)) == ("received", "made")
        (asked,) = await life.life.factory.exceptions()
        assert (asked["cause"], asked["actions"]) == (Kind.FILE_REFUSED.cause, ["retry", "close"])
        assert why in asked["evidence"]["text"]
        assert (asked["evidence"]["number"], asked["evidence"]["file"]) == ("1001", "artwork")
        assert "canary" not in str(asked)
        assert [path.suffix for path in (place.state_dir / "files").iterdir()] == [""]  # no half file is left
        (told,) = await life.files(1)
        assert why in told["reason"]


async def test_a_person_lets_it_be_fetched_again(place: FilePlace) -> None:
    place.put(content=b"<html>")
    async with place.file_life() as life:
        place.shop.place(with_artwork())
        await life.turn()
        place.put()
        await life.turn()
        assert len(place.fetcher.asked) == 1  # nothing by itself
        (asked,) = await life.life.factory.exceptions()
        await life.life.factory.decide(asked["exception_id"], "retry")
        await life.turn()
        assert len(place.press.starts) == 1
        assert await life.life.factory.exceptions() == []


async def test_a_new_picture_in_the_order_answers_the_question(place: FilePlace) -> None:
    place.put(content=b"<html>")
    place.put("7")
    async with place.file_life() as life:
        place.shop.place(with_artwork())
        await life.turn()
        place.shop.place(with_artwork(artwork=URL.format("7")))
        await life.turn()
        assert len(place.press.starts) == 1
        assert await life.life.factory.exceptions() == []
        assert list(place.delivered().values()) == [png(grey=7)]


async def test_an_order_read_again_unchanged_fetches_nothing_again(place: FilePlace) -> None:
    place.put()
    async with place.file_life() as life:
        place.shop.place(with_artwork())
        await life.life.pull()
        await life.fetch()
        (before,) = await life.files()
        place.shop.place(with_artwork(number="1001", payment="invoice"))
        await life.life.pull()
        await life.fetch()
        assert await life.files() == [before]
    assert len(place.fetcher.asked) == 1


@pytest.mark.parametrize("planned", [False, True])
async def test_a_person_closes_the_line_for_which_no_picture_will_come(place: FilePlace, planned: bool) -> None:
    place.put(content=b"<html>")
    async with place.file_life() as life:
        place.shop.place(with_artwork())
        if planned:
            await life.life.pull()
            await life.life.plan()
        await life.turn()
        (asked,) = await life.life.factory.exceptions()
        await life.life.factory.decide(asked["exception_id"], "close")
        await life.turn()
        assert await life.line_state() == "cancelled"
        assert place.press.received == []
        assert await life.life.factory.exceptions() == []


async def test_an_order_that_is_cancelled_takes_its_question_with_it(place: FilePlace) -> None:
    place.put(content=b"<html>")
    async with place.file_life() as life:
        place.shop.place(with_artwork())
        await life.turn()
        place.shop.cancel("1001")
        await life.turn()
        assert await life.life.factory.exceptions() == []
        assert await life.line_state() == "cancelled"


async def test_nothing_is_fetched_for_an_order_that_is_not_due(place: FilePlace) -> None:
    place.put()
    async with place.file_life() as life:
        place.shop.place(with_artwork(status="pending"))
        await life.turn()
        assert place.fetcher.asked == []
        place.shop.edit("1001", status="processing")
        await life.turn()
        assert len(place.press.starts) == 1


async def test_an_address_that_is_missing_sets_the_line_aside_without_quoting_another(place: FilePlace) -> None:
    async with place.file_life() as life:
        order = with_artwork()
        line = replace(order.lines[0], options={"width_mm": "60"})
        place.shop.place(replace(order, lines=(line,)))
        await life.turn()
        (asked,) = await life.life.factory.exceptions()
        assert asked["evidence"]["text"] == "file artwork: line.options.artwork_url is missing"


async def test_a_picture_that_does_not_come_is_tried_on_and_told_after_a_while(place: FilePlace) -> None:
    place.put("1001", ShopError("webshop: shop.example/.../1001.png was answered 503", retry_after_s=10))
    place.put("1002")
    async with place.file_life() as life:
        place.shop.place(with_artwork("1001"))
        place.shop.place(with_artwork("1002"))
        await life.life.pull()
        pause_s = await life.fetch()
        assert 5 < pause_s <= 30
        assert [file["state"] for number in (1, 2) for file in await life.files(number)] == ["wanted", "checked"]
        for _ in range(TRIES - 1):
            assert await life.life.factory.exceptions() == []
            place.clock.advance(400)
            await life.fetch()
        (asked,) = await life.life.factory.exceptions()
        assert (asked["cause"], asked["count"]) == (Kind.FILE_AWAY.cause, 1)
        place.put("1001")
        place.clock.advance(400)
        await life.turn()
        assert await life.life.factory.exceptions() == []


async def test_an_article_that_asks_for_no_such_file_any_more_asks_a_person(place: FilePlace) -> None:
    place.put()
    async with place.file_life() as life:
        without = Range(products=(replace(PRODUCT, route=()),), families=WITH_FILES.families)
        life.stage._asked = Asked.of(without.products)
        place.shop.place(with_artwork())
        await life.turn()
        (asked,) = await life.life.factory.exceptions()
        assert "TRAY-12 asks for no file artwork any more" in asked["evidence"]["text"]


async def test_a_folder_that_is_away_holds_its_job_after_a_while_and_others_go_on(place: FilePlace) -> None:
    place.put()
    async with place.file_life() as life:
        place.shop.place(with_artwork("1001"))
        place.shop.place(with_artwork("1002", artwork=""))
        hot, away = place.hot, place.state_dir / "away"
        assert hot is not None
        hot.rename(away)
        await life.life.pull()
        await life.fetch()
        await life.life.plan()
        for _ in range(TRIES_IN_SILENCE):
            assert "No such file" in (await life.porter.step(patient=True) or "")
        await life.life.tend()
        assert place.press.received == []  # it waits in its order
        assert await life.porter.step() is not None
        (asked,) = await life.life.factory.exceptions()
        assert (asked["cause"], asked["actions"]) == (Kind.NOT_DELIVERED.cause, ["retry"])
        await life.life.tend()
        assert len(place.press.starts) == 1  # the other one
        away.rename(hot)
        assert await life.porter.step() is None
        assert await life.life.factory.exceptions() == []
        _work(place)
        await life.turn()
        await life.turn()
        assert len(place.press.starts) == 2


async def test_a_machine_without_a_folder_says_so(place: FilePlace) -> None:
    place.put()
    async with place.file_life() as life:
        life.porter = replace(life.porter, folder=None)
        place.shop.place(with_artwork())
        await life.turn()
        (asked,) = await life.life.factory.exceptions()
        assert asked["evidence"]["text"] == "machines.press-1 has no hot_folder"
        await life.life.factory.decide(asked["exception_id"], "retry")


async def test_a_copy_of_ours_that_is_damaged_is_fetched_again(place: FilePlace) -> None:
    place.put()
    async with place.file_life() as life:
        place.shop.place(with_artwork())
        await life.life.pull()
        await life.fetch()
        await life.life.plan()
        (copy,) = (place.state_dir / "files").iterdir()
        copy.write_bytes(b"rotten")
        assert "fetched again" in (await life.porter.step() or "")
        assert place.delivered() == {}
        await life.turn()
        assert list(place.delivered().values()) == [png(grey=1001 % 256)]
        assert len(place.press.starts) == 1
        assert await life.life.factory.exceptions() == []


async def test_a_released_job_whose_picture_is_lost_for_good_is_closed_with_its_line(place: FilePlace) -> None:
    place.put()
    async with place.file_life() as life:
        place.shop.place(with_artwork())
        await life.life.pull()
        await life.fetch()
        await life.life.plan()
        (copy,) = (place.state_dir / "files").iterdir()
        copy.unlink()
        await life.porter.step()
        place.put(content=ShopRefusedError("gone"))
        await life.turn()
        refused = next(one for one in await life.life.factory.exceptions() if one["cause"] == Kind.FILE_REFUSED.cause)
        await life.life.factory.decide(refused["exception_id"], "close")
        assert await life.life.factory.job_state() == "cancelled"
        assert await life.line_state() == "cancelled"
        assert await life.life.factory.exceptions() == []


async def test_files_of_ended_lines_are_erased_when_their_time_has_come(place: FilePlace) -> None:
    place.put("1001")
    place.put("1002", b"<html>")
    async with place.file_life() as life:
        place.shop.place(with_artwork("1001"))
        place.shop.place(with_artwork("1002"))
        await life.turn()
        _work(place)
        await life.turn()
        for days, state in ((80, "checked"), (20, "erased")):
            place.clock.business += timedelta(days=days)
            await life.life.ledger.write(lambda tx: files.erase(tx, now=place.clock.now()))
            assert [file["state"] for file in await life.files(1)] == [state]
        assert [file["state"] for file in await life.files(2)] == ["refused"]  # its line has not ended
        await life.store.sweep(await life.life.ledger.read(files.known))
        assert list((place.state_dir / "files").iterdir()) == []
        urls = await life.life.ledger.read(lambda tx: tx.execute(text("SELECT url FROM files")).scalars().all())
        assert list(urls) == [None, URL.format("1002")]


async def test_no_address_of_a_file_leaves_the_ledger(place: FilePlace) -> None:
    place.put(content=b"<html>")
    async with place.file_life() as life:
        place.shop.place(with_artwork())
        await life.turn()
        for table in ("events", "outbox", "exceptions"):
            found = await life.life.ledger.read(
                lambda tx, table=table: tx.execute(text(f"SELECT * FROM {table}")).all()  # type: ignore[misc]
            )
            assert "canary" not in str(found)


@contextmanager
def _a_place() -> Iterator[FilePlace]:
    directory = Path(tempfile.mkdtemp(prefix="kvot-"))
    try:
        place = FilePlace(state_dir=directory)
        place.press.quick = True
        yield place
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _until_made(place: FilePlace) -> int:
    for lives in range(1, 5):
        try:
            async with place.file_life() as life:
                if await _live(place, life):
                    return lives
        except CrashError:
            continue
    raise AssertionError(f"not made in four lives: {place.fuse.touched[-10:]}")


async def _live(place: FilePlace, life: FileLife) -> bool:
    if not place.shop.orders:
        place.shop.place(with_artwork())
    for _ in range(12):
        await life.turn()
        _work(place)
        place.clock.advance(1.5)
        if place.shop.statuses.get("1001", {}).get("_kvot_state") == "made" and not place.press.jobs:
            return True
    return False


@pytest.mark.timeout(240)
async def test_wherever_the_gateway_ends_the_picture_is_there_before_the_one_start() -> None:
    point = 0
    while True:
        point += 1
        with _a_place() as place:
            place.put()
            place.fuse.left, place.fuse.only = (
                point,
                frozenset(
                    {
                        "after a fetch",
                        "after it is kept",
                        "after it is delivered",
                        "after a write",
                        "before a command",
                        "after a command",
                    }
                ),
            )
            lives = await _until_made(place)
            assert len(place.press.starts) == 1
            (laid,) = place.delivered().items()
            assert laid == (f"{place.press.received[0].job_id}-artwork.png", png(grey=1001 % 256))
            touched = place.fuse.touched
            assert touched.index("after it is delivered") < touched.index("after a command")
            if lives == 1:
                assert point > 15, "these points cannot be all"
                return
