"""A link serves its users first come, first served, and a dead unit costs the others little."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from drivers.base import DriverError
from drivers.link import REST_MAX_S, Link, Links, UnitError


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class FakeWire:
    def __init__(self) -> None:
        self.closed = False
        self.order: list[str] = []

    async def say(self, text: str) -> str:
        self.order.append(text)
        await asyncio.sleep(0)
        return text

    async def keep_silent(self) -> str:
        await asyncio.Event().wait()
        return ""

    async def close(self) -> None:
        self.closed = True


class Bench:
    def __init__(self) -> None:
        self.wires: list[FakeWire] = []
        self.clock = Clock()
        self.fault: DriverError | None = None
        self.link: Link[FakeWire] = Link("bus", open_wire=self._open, open_s=1, monotonic=self.clock)

    async def _open(self) -> FakeWire:
        if self.fault is not None:
            raise self.fault
        self.wires.append(FakeWire())
        return self.wires[-1]


def saying(text: str) -> Callable[[FakeWire], Awaitable[str]]:
    return lambda wire: wire.say(text)


async def test_requests_are_served_in_the_order_they_came() -> None:
    bench = Bench()
    async with bench.link.use(1) as one, bench.link.use(2) as two, asyncio.TaskGroup() as group:
        for number in range(6):
            line = one if number % 2 else two
            group.create_task(line.exchange(saying(str(number)), timeout_s=1))
            await asyncio.sleep(0)
    (wire,) = bench.wires
    assert wire.order == list("012345")
    assert wire.closed


async def test_the_last_user_closes_the_wire_and_not_the_first() -> None:
    bench = Bench()
    async with bench.link.use(1) as one:
        async with bench.link.use(2) as two:
            await one.exchange(saying("a"), timeout_s=1)
            await two.exchange(saying("b"), timeout_s=1)
        assert not bench.wires[0].closed
        await one.exchange(saying("c"), timeout_s=1)
    assert [wire.closed for wire in bench.wires] == [True]


async def test_silence_ends_the_wire_and_the_next_request_gets_a_fresh_one() -> None:
    bench = Bench()
    async with bench.link.use(1) as one:
        with pytest.raises(DriverError, match="no answer within"):
            await one.exchange(lambda wire: wire.keep_silent(), timeout_s=0.01)
        assert bench.wires[0].closed
        assert await one.exchange(saying("x"), timeout_s=1) == "x"
    assert len(bench.wires) == 2


async def test_a_cancelled_request_ends_the_wire() -> None:
    bench = Bench()
    async with bench.link.use(1) as one:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await one.exchange(lambda wire: wire.keep_silent(), timeout_s=5)
        assert bench.wires[0].closed
        assert await one.exchange(saying("x"), timeout_s=1) == "x"


async def test_an_answer_that_is_a_no_keeps_the_wire() -> None:
    bench = Bench()

    async def refuse(_wire: FakeWire) -> None:
        raise UnitError("exception 2")

    async with bench.link.use(1) as one:
        with pytest.raises(UnitError):
            await one.exchange(refuse, timeout_s=1)
        await one.exchange(saying("x"), timeout_s=1)
    assert len(bench.wires) == 1


async def test_what_comes_to_its_turn_too_late_is_not_sent() -> None:
    bench = Bench()
    async with bench.link.use(1) as one:
        await one.exchange(saying("x"), timeout_s=1, deadline_s=100.1)
        bench.clock.now_s = 101.0
        with pytest.raises(DriverError, match="deadline"):
            await one.exchange(saying("late"), timeout_s=1, deadline_s=101.0)
    assert bench.wires[0].order == ["x"]


async def test_a_dead_unit_rests_longer_each_time_and_the_others_are_served_meanwhile() -> None:
    bench = Bench()
    tries: list[float] = []

    async def cost(_wire: FakeWire) -> None:
        tries.append(bench.clock.now_s)
        bench.clock.now_s += 1.0
        raise UnitError("no answer", silent=True)

    served = 0
    async with bench.link.use(1) as dead, bench.link.use(2) as other:
        while len(tries) < 7:
            with pytest.raises(DriverError, match=r"no answer|the next try is in"):
                await dead.exchange(cost, timeout_s=1)
            served += await other.exchange(saying("x"), timeout_s=1) == "x"
            bench.clock.now_s += 0.5
    gaps = [after - before - 1.0 for before, after in pairwise(tries)]
    assert gaps == [4, 8, 16, REST_MAX_S, REST_MAX_S, REST_MAX_S]
    assert served > 100


async def test_a_unit_that_answers_no_does_not_rest() -> None:
    bench = Bench()

    async def refuse(_wire: FakeWire) -> None:
        bench.clock.now_s += 1.0
        raise UnitError("exception 2")

    async with bench.link.use(1) as one, bench.link.use(2):
        with pytest.raises(UnitError):
            await one.exchange(refuse, timeout_s=1)
        assert await one.exchange(saying("x"), timeout_s=1) == "x"


async def test_who_has_left_sends_nothing_more_and_leaves_no_wire_open() -> None:
    bench = Bench()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> FakeWire:
        begun.set()
        await go_on.wait()
        return await bench._open()

    bench.link = Link("bus", open_wire=slowly, open_s=1, monotonic=bench.clock)
    async with asyncio.TaskGroup() as group:
        async with bench.link.use(1) as one:
            late = group.create_task(_fault(one.exchange(saying("late"), timeout_s=1)))
            await begun.wait()
        go_on.set()
        assert "no longer used" in await late
        assert "no longer used" in await _fault(one.exchange(saying("later"), timeout_s=1))
    assert [(wire.order, wire.closed) for wire in bench.wires] == [([], True)]


async def _fault(request: Awaitable[str]) -> str:
    with pytest.raises(DriverError) as found:
        await request
    return str(found.value)


async def test_a_unit_alone_on_its_link_never_rests() -> None:
    bench = Bench()
    async with bench.link.use(1) as one:
        with pytest.raises(DriverError):
            await one.exchange(lambda wire: wire.keep_silent(), timeout_s=0.01)
        assert await one.exchange(saying("x"), timeout_s=1) == "x"


async def test_a_connection_that_cannot_be_opened_is_tried_again_by_the_next_request() -> None:
    bench = Bench()
    bench.fault = DriverError("no route")
    async with bench.link.use(1) as one, bench.link.use(2) as two:
        with pytest.raises(DriverError, match="no route"):
            await one.exchange(saying("x"), timeout_s=1)
        bench.fault = None
        assert await two.exchange(saying("y"), timeout_s=1) == "y"
        assert await one.exchange(saying("x"), timeout_s=1) == "x"


def test_machines_behind_one_address_share_its_link_and_must_agree_on_it() -> None:
    links, bench = Links(), Bench()
    first = links.share("bus", "19200", lambda: bench.link)
    assert links.share("bus", "19200", lambda: Bench().link) is first
    assert links.share("other", "19200", lambda: Bench().link) is not first
    with pytest.raises(ValueError, match="19200 and 9600"):
        links.share("bus", "9600", lambda: bench.link)
