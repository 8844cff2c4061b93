"""A run that is due starts with all it needs, or says what is missing and what could be made of it."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.needs import Shortage, Supply, find_shortage, needed_by, part_of
from gateway.domain.products import Family, Needs
from gateway.domain.runs import Join, Member, Owed, Releasing, collect
from tests.domain.test_runs import FAMILIES, NOW

FAMILY = Family(
    name="white",
    machines=("press-1",),
    static_days=5,
    needs=Needs(material={"BLANK": 1.0, "INK": 0.1}, tools=("MOULD",)),
)


def _due(*quantities: int) -> Releasing:
    members = tuple(
        Member(
            job_id=f"J{number}",
            order_id=number,
            quantity=quantity,
            places=1.0,
            ready=quantity,
            promise_at=NOW,
            placed_at=NOW,
        )
        for number, quantity in enumerate(quantities, start=1)
    )
    return Releasing(run_id=1, machine="press-1", reason="at_once", starting=members, waiting=())


def _short(due: Releasing, free: Mapping[str, float], family: Family = FAMILY, **in_use: str) -> Shortage:
    found = find_shortage(due, family, Supply(free=free, in_use=in_use))
    assert found is not None
    return found


def test_a_run_with_all_it_needs_lacks_nothing() -> None:
    assert find_shortage(_due(80, 40), FAMILY, Supply(free={"BLANK": 120, "INK": 12})) is None


def test_tenths_add_up_to_what_is_there() -> None:
    family = replace(FAMILY, needs=Needs(material={"INK": 0.1}))
    assert find_shortage(_due(*[1] * 3), family, Supply(free={"INK": 0.3})) is None
    assert part_of(_due(1, 1, 1), family, Supply(free={"INK": 0.3})).waiting == ()


def test_a_shortage_says_what_is_missing_and_how_many_pieces_could_be_made() -> None:
    short = _short(_due(120), {"BLANK": 80, "INK": 12})
    assert [(lack.item, lack.needed, lack.free, lack.missing) for lack in short.lacks] == [("BLANK", 120, 80, 40)]
    assert (short.pieces, short.possible) == (120, 80)


def test_an_item_that_nobody_has_counted_is_not_there() -> None:
    short = _short(_due(2), {"INK": 12})
    assert [(lack.item, lack.free, lack.missing) for lack in short.lacks] == [("BLANK", None, 2)]
    assert short.possible == 0


def test_a_tool_that_another_run_has_keeps_a_run_waiting() -> None:
    short = _short(_due(2), {"BLANK": 2, "INK": 1}, MOULD="run 7 on press-2", OTHER="run 8 on oven-1")
    assert short.lacks == ()
    assert short.tools == {"MOULD": "run 7 on press-2"}


def test_the_part_that_can_be_made_goes_by_promise_and_cuts_one_job_at_most() -> None:
    part = part_of(_due(50, 50, 20), FAMILY, Supply(free={"BLANK": 80, "INK": 100}))
    assert [(one.job_id, one.quantity) for one in part.starting] == [("J1", 50), ("J2", 30)]
    assert [one.job_id for one in part.waiting] == ["J3"]


def test_material_is_used_by_whole_cycles() -> None:
    family = replace(FAMILY, pieces_per_cycle=4, needs=Needs(material={"BLANK": 1}))
    assert needed_by(_due(5).starting, family) == {"BLANK": 8}
    assert _short(_due(5), {"BLANK": 7}, family).possible == 4
    assert [one.quantity for one in part_of(_due(5), family, Supply(free={"BLANK": 7})).starting] == [4]


@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=6),
    st.dictionaries(st.sampled_from(["BLANK", "INK"]), st.floats(0, 60)),
    st.integers(1, 5),
)
def test_a_part_never_needs_more_than_there_is_and_loses_no_piece(
    quantities: list[int], free: dict[str, float], pieces_per_cycle: int
) -> None:
    family = replace(FAMILY, pieces_per_cycle=pieces_per_cycle)
    due = _due(*quantities)
    part = part_of(due, family, Supply(free=free))
    assert all(used <= free.get(item, 0.0) + 1e-5 for item, used in needed_by(part.starting, family).items())
    jobs = {one.job_id for one in due.starting}
    assert {one.job_id for one in (*part.starting, *part.waiting)} == jobs
    whole = {one.job_id: one.quantity for one in due.starting}
    assert sum(one.quantity < whole[one.job_id] for one in part.starting) <= 1
    assert all(one.quantity == whole[one.job_id] for one in part.waiting)


def _owed(quantity: int, ready: int, batch: int | None, family: str = "white") -> Owed:
    return Owed(
        requirement_id=1,
        family=family,
        setup_key=family,
        quantity=quantity,
        promise_at="2026-05-09",
        remakes=0,
        ready=ready,
        batch=batch,
    )


@pytest.mark.parametrize(
    ("quantity", "ready", "batch", "jobs"),
    [
        (10, 10, None, [10]),
        (10, 3, 4, []),
        (10, 4, 4, [4]),
        (10, 9, 4, [4, 4]),
        (10, 10, 4, [4, 4, 2]),  # the rest goes on once all of it is there
        (2, 2, 4, [2]),
    ],
)
def test_a_step_takes_whole_batches_and_the_rest_at_last(
    quantity: int, ready: int, batch: int | None, jobs: list[int]
) -> None:
    joins: tuple[Join, ...] = collect([_owed(quantity, ready, batch)], [], FAMILIES).joins
    assert [join.quantity for join in joins] == jobs


def test_a_run_that_gathers_takes_a_job_for_each_batch_before_it_is_there() -> None:
    joins = collect([_owed(9, 0, 4, family="black")], [], FAMILIES).joins
    assert [join.quantity for join in joins] == [4, 4, 1]
