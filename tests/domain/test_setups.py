"""Whose turn it is at a machine, what a run waits for, and who may end the wait."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.products import Changeover, Family, Setup
from gateway.domain.setups import (
    Another,
    Begin,
    Fitted,
    Queued,
    Step,
    Turn,
    Waiting,
    first_state,
    turn,
    why_not_set_up,
)
from gateway.domain.states import RunState


def _family(name: str, setup: Setup | None, **more: Any) -> Family:
    return Family(name=name, machines=("press-1",), static_days=5, setup=setup, **more)


FAMILIES: Mapping[str, Family] = {
    "white": _family("white", Setup(first_piece=True)),
    "black": _family("black", Setup(), changeover=Changeover(default_s=60)),
    "red": _family("red", Setup(tool_code="T-7"), changeover=Changeover(default_s=600)),
    "oven": _family("oven", Setup(confirm=False)),
    "bench": _family("bench", Setup(first_piece=True), station=True),
    "loose": _family("loose", None),
}
WAITING, MAKING, GOING = RunState.SETUP, RunState.FIRST_PIECE, RunState.RUNNING


def _run(run_id: int = 1, family: str = "white", state: RunState = WAITING, **more: Any) -> Queued:
    known: dict[str, Any] = {
        "setup_key": family,
        "held": None,
        "promise_at": "2026-05-09",
        "versions": frozenset({"tray@1"}),
    }
    return Queued(run_id=run_id, family=family, state=state, **(known | more))


def _at(key: str | None = None, *approved: str, code: str | None = None) -> Fitted:
    return Fitted(setup_key=key, approved=frozenset(approved), code=code)


@pytest.mark.parametrize(
    ("run", "others", "fitted", "state"),
    [
        (_run(), (), _at(), RunState.SETUP),
        (_run(), (), _at("black"), RunState.SETUP),
        (_run(), (), _at("white"), RunState.FIRST_PIECE),
        (_run(), (), _at("white", "tray@1"), RunState.RELEASING),
        (_run(), (), _at("white", "tray@0"), RunState.FIRST_PIECE),
        (_run(), (_run(2, state=GOING),), _at("white", "tray@1"), RunState.RELEASING),
        (_run(), (_run(2, "black", GOING),), _at("white", "tray@1"), RunState.SETUP),
        (_run(), (_run(2, "black"),), _at("white", "tray@1"), RunState.SETUP),
        (_run(), (_run(2, state=MAKING),), _at("white"), RunState.SETUP),
        (_run(), (_run(2, "loose", GOING),), _at("white", "tray@1"), RunState.RELEASING),
        (_run(family="loose"), (_run(2, "black"),), _at("black"), RunState.RELEASING),
        (_run(family="gone"), (), _at(), RunState.RELEASING),
    ],
)
def test_a_setup_is_passed_over_only_where_it_stands_for_all_that_is_released(
    run: Queued, others: tuple[Queued, ...], fitted: Fitted, state: RunState
) -> None:
    assert first_state(run, others, fitted, FAMILIES) is state


@pytest.mark.parametrize(
    ("queue", "fitted", "run_id"),
    [
        ((_run(1, "black", promise_at="2026-05-10"), _run(2, "red", promise_at="2026-05-09")), _at(), 2),
        ((_run(1, "red"), _run(2, "black")), _at(), 2),  # the cheaper change
        ((_run(1, "black"), _run(2, "red")), _at("red"), 2),  # no change at all
        ((_run(1, "black", held="wait"), _run(2, "red")), _at(), 2),
        ((_run(2, "black"), _run(1, "black")), _at(), 1),
    ],
)
def test_the_turn_goes_to_the_earliest_promise_and_then_to_the_cheapest_change(
    queue: tuple[Queued, ...], fitted: Fitted, run_id: int
) -> None:
    decided = turn(queue, fitted, FAMILIES)
    assert isinstance(decided, Waiting | Begin)
    assert decided.run_id == run_id


@pytest.mark.parametrize(
    ("run", "fitted", "decided"),
    [
        (_run(family="oven"), _at("white"), Begin(run_id=1, state=GOING)),
        (_run(family="bench"), _at(), Begin(run_id=1, state=MAKING)),
        (_run(), _at("white"), Begin(run_id=1, state=MAKING)),
        (_run(), _at("white", "tray@1"), Begin(run_id=1, state=GOING)),
        (_run(family="red"), _at(code="T-7"), Begin(run_id=1, state=GOING, tool="T-7")),
        (_run(state=MAKING, making=True), _at("white"), None),
        (_run(state=MAKING), _at("white"), Another(run_id=1)),
        (_run(state=MAKING, held="wait"), _at("white"), None),
        (_run(held="wait"), _at(), None),
        (_run(family="loose", state=GOING), _at(), None),
    ],
)
def test_what_nobody_has_to_be_asked_for_happens_by_itself(run: Queued, fitted: Fitted, decided: Turn | None) -> None:
    assert turn((run,), fitted, FAMILIES) == decided


@pytest.mark.parametrize("code", [None, "T-1"])
@pytest.mark.parametrize("key", [None, "red"])
def test_another_tool_than_the_needed_one_is_never_taken_for_a_setup(key: str | None, code: str | None) -> None:
    decided = turn((_run(family="red"),), _at(key, code=code), FAMILIES)
    if key == "red" and code is None:
        assert decided == Begin(run_id=1, state=GOING)  # set up before, and the machine says nothing else
        return
    assert isinstance(decided, Waiting)
    assert decided.step is Step.SETUP
    assert f"fitted tool {code or 'not named'}, needed T-7" in decided.text


def test_a_first_piece_that_is_made_waits_and_says_so() -> None:
    decided = turn((_run(state=MAKING, made="J1"), _run(2, "black")), _at("white"), FAMILIES)
    assert decided == Waiting(run_id=1, step=Step.FIRST_PIECE, text="run 1: its first piece J1 waits for approval")


@pytest.mark.parametrize(
    ("run", "others", "code", "reason"),
    [
        (_run(), (), None, None),
        (_run(family="red"), (), None, None),
        (_run(family="red"), (), "T-7", None),
        (_run(family="red"), (), "T-1", "the machine names tool T-1 as fitted, and tool T-7 is needed"),
        (_run(held="colour"), (), None, "run 1 is held: colour"),
        (_run(state=GOING), (), None, "run 1 is running: it waits for no set-up"),
        (_run(), (_run(2, "black", GOING),), None, "run 2 (black) has not ended: its set-up stands until then"),
        (_run(), (_run(2, "black"), _run(3, "loose", GOING)), None, None),
    ],
)
def test_a_person_confirms_a_setup_unless_another_one_stands_or_the_machine_says_otherwise(
    run: Queued, others: tuple[Queued, ...], code: str | None, reason: str | None
) -> None:
    assert why_not_set_up(run, (run, *others), _at(code=code), FAMILIES) == reason


QUEUES = st.lists(
    st.builds(
        _run,
        run_id=st.integers(1, 9),
        family=st.sampled_from(sorted(FAMILIES)),
        state=st.sampled_from([WAITING, MAKING, GOING, RunState.RELEASING]),
        held=st.sampled_from([None, "wait"]),
        promise_at=st.sampled_from(["", "2026-05-09", "2026-05-10"]),
    ),
    unique_by=lambda run: run.run_id,
    max_size=6,
)


@given(QUEUES, st.sampled_from([None, *FAMILIES]), st.sampled_from([None, "T-7", "T-1"]))
def test_no_setup_is_taken_from_a_run_that_has_begun(queue: list[Queued], key: str | None, code: str | None) -> None:
    decided = turn(queue, _at(key, code=code), FAMILIES)
    with_setup = [run for run in queue if FAMILIES[run.family].setup is not None]
    if isinstance(decided, Begin):
        assert all(run.state is WAITING for run in with_setup)
        (chosen,) = [run for run in with_setup if run.run_id == decided.run_id]
        assert chosen.held is None
        needed = FAMILIES[chosen.family].setup
        assert needed is not None
        assert needed.tool_code is None or code in {None, needed.tool_code}
        asked = needed.confirm and not FAMILIES[chosen.family].station
        assert not asked or key == chosen.setup_key or decided.tool == needed.tool_code is not None
        others = [replace(run, state=GOING if run is chosen else run.state) for run in queue]
        assert not isinstance(turn(others, _at(chosen.setup_key, code=code), FAMILIES), Begin)
