"""What an order looks like from outside."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.standing import LineStanding, order_state, told
from gateway.domain.states import LineState

# The model's order, worst first; cancelled and not_made count only when no other is left.
WORST_FIRST = ("quarantined", "not_due", "received", "planned", "in_production", "made", "shipped")


@pytest.mark.parametrize(("worse", "better"), list(combinations(WORST_FIRST, 2)))
def test_the_worse_of_two_lines_is_the_orders_state(worse: str, better: str) -> None:
    assert order_state([LineState(better), LineState(worse), LineState(better)]) is LineState(worse)


@pytest.mark.parametrize("state", WORST_FIRST)
def test_cancelled_and_not_made_lines_count_only_when_no_other_is_left(state: str) -> None:
    assert order_state([LineState.CANCELLED, LineState(state), LineState.NOT_MADE]) is LineState(state)


def test_an_order_of_freight_and_cancelled_lines_is_not_made() -> None:
    assert order_state([LineState.CANCELLED, LineState.NOT_MADE]) is LineState.NOT_MADE
    assert order_state([LineState.CANCELLED]) is LineState.CANCELLED
    assert order_state([]) is LineState.NOT_MADE


def _line(state: LineState = LineState.IN_PRODUCTION, quantity: int = 10, good: int = 0, **times: str) -> LineStanding:
    return LineStanding(state=state, quantity=quantity, good=good, **times)


def test_progress_is_the_share_of_pieces_made_rounded_down() -> None:
    assert told([_line(quantity=3, good=2)])["_kvot_progress"] == "66"
    assert told([_line(quantity=1000, good=999)])["_kvot_progress"] == "99"


def test_surplus_of_one_line_does_not_hide_what_another_lacks() -> None:
    assert told([_line(quantity=1, good=9), _line(quantity=9, good=0)])["_kvot_progress"] == "10"


def test_what_is_not_made_here_does_not_count_towards_progress() -> None:
    lines = [_line(quantity=2, good=1), _line(LineState.NOT_MADE, 50), _line(LineState.CANCELLED, 50)]
    assert told(lines)["_kvot_progress"] == "50"


def test_promise_and_expectation_are_the_latest_of_the_lines_and_left_out_without_a_value() -> None:
    lines = [_line(promise_at="2026-05-09"), _line(promise_at="2026-05-12", expected_at="2026-05-13"), _line()]
    values = told(lines)
    assert (values["_kvot_promise"], values["_kvot_expected"]) == ("2026-05-12", "2026-05-13")
    assert set(told([_line()])) == {"_kvot_state", "_kvot_progress"}


def test_a_line_without_an_expectation_comes_as_promised() -> None:
    lines = [_line(promise_at="2026-05-12"), _line(promise_at="2026-05-09", expected_at="2026-05-10")]
    assert told(lines)["_kvot_expected"] == "2026-05-12"


def test_a_cancelled_lines_promise_is_not_told() -> None:
    assert "_kvot_promise" not in told([_line(LineState.CANCELLED, promise_at="2026-05-09"), _line()])


LINES = st.lists(
    st.builds(
        LineStanding,
        state=st.sampled_from(LineState),
        quantity=st.integers(0, 10_000),
        good=st.integers(0, 20_000),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(LINES)
def test_what_is_told_is_always_short_text_with_a_progress_of_0_to_100(lines: list[LineStanding]) -> None:
    values = told(iter(lines))
    assert all(isinstance(value, str) for value in values.values())
    assert 0 <= int(values["_kvot_progress"]) <= 100
    assert values["_kvot_state"] == order_state(line.state for line in lines)


@settings(deadline=None)
@given(LINES)
def test_the_order_of_lines_says_nothing(lines: list[LineStanding]) -> None:
    assert told(lines) == told(list(reversed(lines)))
