"""The simulated oven measures what a real one would: it warms up while it works, and counts its energy."""

import struct

import pytest

from simulators.oven.measures import Measures, registers, step
from simulators.words import WordOrder, read_f32, read_u32


def test_it_warms_up_while_it_heats_and_cools_down_after() -> None:
    cold = Measures()
    warm = step(cold, 60.0, heats=True)
    hot = step(warm, 3600.0, heats=True)
    assert cold.temperature_c < warm.temperature_c < hot.temperature_c == pytest.approx(180.0, abs=0.01)
    assert warm.power_kw > hot.power_kw > 0
    assert 0 < warm.energy_wh < hot.energy_wh
    later = step(hot, 60.0, heats=False)
    assert (later.power_kw, later.energy_wh) == (0.0, hot.energy_wh)
    assert cold.temperature_c < later.temperature_c < hot.temperature_c


def test_many_small_steps_lead_where_a_large_one_does() -> None:
    one, many = step(Measures(), 30.0, heats=True), Measures()
    for _ in range(300):
        many = step(many, 0.1, heats=True)
    assert many.temperature_c == pytest.approx(one.temperature_c)


def test_a_clock_that_goes_back_changes_nothing() -> None:
    warm = step(Measures(), 60.0, heats=True)
    assert step(warm, -10.0, heats=True).temperature_c == warm.temperature_c


@pytest.mark.parametrize("order", list(WordOrder))
def test_the_registers_say_it_in_the_order_of_the_other_blocks(order: WordOrder) -> None:
    words = registers(Measures(temperature_c=181.25, power_kw=7.46, energy_wh=70_000.9), order)
    assert (read_f32(words, 0, order), words[2], read_u32(words, 4, order)) == (181.25, 75, 70_000)
    assert words[:2] == list(struct.unpack(">2H", struct.pack(">f", 181.25)))[:: 1 if order is WordOrder.BIG else -1]
