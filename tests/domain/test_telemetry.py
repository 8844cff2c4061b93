"""Only news is told, a deadband hides no drift, and a value that is bad or stale is never told as good."""

from hypothesis import given
from hypothesis import strategies as st

from drivers.blocks import BAD, GOOD, UNCERTAIN, Block, Value
from drivers.profile import Tag
from gateway.domain.telemetry import Screen

TAGS = {"t": Tag(address="t", deadband=1.0), "n": Tag(address="n")}


def block(*, lost: int = 0, **values: Value) -> Block:
    return Block(t_ms=1, names=tuple(values), values=tuple(values.values()), qualities=bytes(len(values)), lost=lost)


def judged(quality: int, value: Value = 1.0) -> Block:
    return Block(t_ms=1, names=("t",), values=(value,), qualities=bytes([quality]))


def test_a_value_is_told_once() -> None:
    screen = Screen(TAGS)
    assert screen.news(block(t=10.0, n=1)) == block(t=10.0, n=1)
    assert screen.news(block(t=10.0, n=1)) is None
    assert screen.news(block(t=10.0, n=2)) == block(n=2)


def test_a_change_within_the_deadband_is_no_news_and_slow_drift_is() -> None:
    screen = Screen(TAGS)
    screen.news(block(t=10.0))
    told = [value for value in (10.5, 11.0, 11.1, 11.5, 12.0, 12.2) if screen.news(block(t=value))]
    assert told == [11.1, 12.2]


def test_a_change_of_quality_is_always_news() -> None:
    screen = Screen(TAGS)
    screen.news(judged(GOOD))
    assert screen.news(judged(UNCERTAIN)) is not None
    assert screen.news(judged(BAD, None)) is not None
    assert screen.news(judged(BAD, None)) is None
    assert screen.news(judged(GOOD)) is not None


def test_what_was_lost_is_passed_on_though_nothing_is_new() -> None:
    screen = Screen(TAGS)
    screen.news(block(n=1))
    left = screen.news(block(n=1, lost=4))
    assert left is not None
    assert (left.names, left.lost) == ((), 4)


def test_a_machine_that_is_away_takes_its_values_back_and_comes_back_with_all() -> None:
    screen = Screen(TAGS)
    screen.news(block(t=10.0, n=1))
    away = screen.away(7)
    assert away == Block(t_ms=7, names=("t", "n"), values=(None, None), qualities=bytes([BAD, BAD]))
    assert screen.away(8) is None
    assert screen.news(block(t=10.0, n=1)) == block(t=10.0, n=1)


def test_truth_values_and_texts_know_no_deadband() -> None:
    screen = Screen({"t": Tag(address="t", deadband=5)})
    values: list[Value] = [False, True, "a", "b"]
    assert all(screen.news(block(t=value)) for value in values)


@given(st.lists(st.floats(-100, 100), min_size=1), st.floats(0.1, 10))
def test_what_a_listener_believes_is_never_further_off_than_the_deadband(values: list[float], band: float) -> None:
    screen, believed = Screen({"t": Tag(address="t", deadband=band)}), None
    for value in values:
        news = screen.news(block(t=value))
        believed = news.values[0] if news else believed
        assert isinstance(believed, float)
        assert abs(believed - value) <= band
