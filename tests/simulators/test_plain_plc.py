"""The plain machine's program: an edge starts a batch at most once, and nothing waits behind the guard."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.controls import Inputs
from simulators.journal import Event
from simulators.plain.plc import Asked, Deed, Plc, scan
from simulators.plain.settings import Counters, PlainSimulation, Point, Points
from simulators.scanning import Now
from simulators.tally import Counts

FALLS: list[dict[str, Any]] = [{"remote": False}, {"guard_shut": False}, {"fault": True}, {"mode": "manual"}]


class Bench:
    """A plain machine with a clock set by hand; the start bit stays where it is put unless the machine clears it."""

    def __init__(self, *, ready: bool = True, **wanted: Any) -> None:
        self.settings = PlainSimulation(journal=Path("unused"), **{"cycle_s": 10.0, **wanted})
        self.plc = Plc()
        self.now = Now(work_s=1000.0, machine_s=0.0)
        self.deeds: list[Deed] = []
        self.bit = False
        self.quantity = 2
        if ready:
            self.scan(reset=True)

    @property
    def events(self) -> list[Event]:
        return [deed.event for deed in self.deeds]

    @property
    def moves(self) -> bool:
        return self.plc.cycle_ends_s is not None

    def scan(self, seconds: float = 0.02, **inputs: Any) -> None:
        self.now = Now(work_s=self.now.work_s + seconds, machine_s=self.now.machine_s + seconds)
        asked = Asked(start=self.bit, quantity=self.quantity)
        self.plc, deeds = scan(self.plc, asked, replace(Inputs(), **inputs), self.now, self.settings)
        self.deeds += deeds
        if self.settings.start_clears:
            self.bit = False

    def start(self, **inputs: Any) -> None:
        self.bit = True
        self.scan(**inputs)


def test_a_start_makes_one_batch_and_says_busy_then_done() -> None:
    bench = Bench()
    bench.start()
    assert (bench.plc.busy, bench.plc.done, bench.events) == (True, False, [Event.START])
    bench.scan(20)
    assert (bench.plc.busy, bench.plc.done, bench.plc.good) == (False, True, 2)
    bench.scan(100)
    assert bench.events == [Event.START, Event.MADE, Event.END]
    bench.start()
    assert (bench.plc.busy, bench.plc.done, bench.plc.starts) == (True, False, 2)


def test_a_start_while_busy_is_forgotten() -> None:
    bench = Bench()
    bench.start()
    bench.start()
    bench.scan(100)
    assert bench.events.count(Event.START) == 1


def test_a_start_bit_that_stays_on_starts_once() -> None:
    bench = Bench(start_clears=False)
    bench.start()
    bench.scan(100)
    bench.scan(100)
    assert bench.events.count(Event.START) == 1
    bench.bit = False
    bench.scan()
    bench.start()
    assert bench.events.count(Event.START) == 2


@pytest.mark.parametrize("fall", FALLS)
def test_a_start_while_not_ready_or_local_is_forgotten(fall: dict[str, Any]) -> None:
    bench = Bench()
    bench.start(**fall)
    bench.scan(reset=True, start=True)
    bench.scan(100)
    assert bench.deeds == []


def test_a_start_bit_that_stayed_on_behind_the_guard_does_not_start_when_it_shuts() -> None:
    bench = Bench(start_clears=False)
    bench.start(guard_shut=False)
    bench.scan(reset=True, start=True)
    bench.scan(100)
    assert bench.deeds == []


def test_no_quantity_starts_nothing() -> None:
    bench = Bench()
    bench.quantity = 0
    bench.start()
    assert bench.deeds == []


@pytest.mark.parametrize("fall", FALLS)
def test_an_interrupted_batch_goes_on_by_start_at_the_panel_only(fall: dict[str, Any]) -> None:
    bench = Bench()
    bench.start()
    bench.scan(4, **fall)
    assert (bench.moves, bench.plc.busy) == (False, True)
    bench.scan(reset=True)
    bench.start()
    bench.scan(100)
    assert bench.events == [Event.START, Event.INTERRUPT]
    bench.scan(start=True)
    bench.scan(6)
    bench.scan(10)
    assert bench.events == [Event.START, Event.INTERRUPT, Event.RESUME, Event.MADE, Event.END]


def test_what_is_counted() -> None:
    bench = Bench(pieces_per_cycle=4)
    bench.quantity = 6
    bench.scan(scrap_next=1)
    bench.start()
    bench.scan(100)
    assert (bench.plc.good, bench.plc.scrap, [deed.good for deed in bench.deeds]) == (5, 1, [0, 3, 2])
    bench = Bench(pieces_per_cycle=4, counts=Counts.CYCLES)
    bench.start()
    bench.scan(100)
    assert bench.plc.good == 2
    for counters, good in ((Counters.TOTAL, 4), (Counters.VOLATILE, 4), (Counters.BATCH, 2)):
        bench = Bench(counters=counters)
        for _ in range(2):
            bench.start()
            bench.scan(100)
        assert bench.plc.good == good


def test_the_same_seed_scraps_the_same_pieces() -> None:
    def good(seed: int) -> int:
        bench = Bench(scrap_rate=0.5, seed=seed)
        bench.quantity = 200
        bench.start()
        bench.scan(5000)
        return bench.plc.good

    assert good(1) == good(1)
    assert 60 < good(1) < 140
    assert len({good(seed) for seed in range(4)}) > 1


STEPS = st.sampled_from(["start", "hold", "let go", "wait", "fall", "reset", "button"])


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEPS, max_size=25), start_clears=st.booleans(), fall=st.sampled_from(FALLS))
def test_whatever_happens_each_edge_starts_at_most_once(
    steps: list[str], start_clears: bool, fall: dict[str, Any]
) -> None:
    bench = Bench(start_clears=start_clears)
    edges = 0
    for step in steps:
        before = bench.moves
        edges += step == "start" and not bench.bit
        match step:
            case "start":
                bench.start()
            case "let go":
                bench.bit = False
                bench.scan()
            case "wait":
                bench.scan(10)
            case "fall":
                bench.scan(**fall)
            case "reset":
                bench.scan(reset=True)
            case "button":
                bench.scan(start=True)
            case _:
                bench.scan()
        assert bench.moves <= (before or step in ("start", "button"))
        assert bench.events.count(Event.START) <= edges


@pytest.mark.parametrize(
    "wrong", ["coil", "coil:x", "coil:1.2", "holding:1.16", "input:3", "holding:70000", "holding:-1"]
)
def test_addresses_that_are_none_are_refused(wrong: str) -> None:
    with pytest.raises(ValueError):
        Point.parse(wrong)


def test_an_address_fits_what_stands_there() -> None:
    assert Point.parse("holding:100.3") == Point(coil=False, address=100, bit=3)
    with pytest.raises(ValueError, match="start"):
        Points(start="holding:3")
    with pytest.raises(ValueError, match="good"):
        Points(good="coil:3")
