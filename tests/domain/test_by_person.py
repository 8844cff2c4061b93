"""A person releases a run, or its first pieces by promise, whether it pays or not."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.by_person import divided, release_by_person
from gateway.domain.products import Family
from gateway.domain.runs import Candidate, Member, OpenRun

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
FAMILY = Family(name="white", machines=("press-1", "press-2"), static_days=5)
CANDIDATES = {
    "press-1": Candidate(machine="press-1", load=9, usable=True),
    "press-2": Candidate(machine="press-2", load=2, usable=True),
}


def _run(*sizes: int, unready: int = 0) -> OpenRun:
    members = tuple(
        Member(
            job_id=f"J{number}",
            order_id=number,
            quantity=quantity,
            places=1.0,
            ready=0 if number <= unready else quantity,
            promise_at=NOW + timedelta(days=number),
            placed_at=NOW,
        )
        for number, quantity in enumerate(sizes, start=1)
    )
    return OpenRun(run_id=1, family="white", setup_key="white", held=None, members=members)


def test_all_that_can_be_made_starts_at_the_machine_with_the_least_to_do() -> None:
    decided, cut = release_by_person(_run(2, 3, 4, unready=1), FAMILY, CANDIDATES)
    assert [one.job_id for one in decided.starting] == ["J2", "J3"]
    assert [one.job_id for one in decided.waiting] == ["J1"]
    assert (decided.machine, decided.reason, cut) == ("press-2", "by_person", None)


def test_nothing_starts_whose_pieces_are_not_there_yet() -> None:
    decided, _ = release_by_person(_run(2, 3, unready=2), FAMILY, CANDIDATES)
    assert decided.starting == ()


@pytest.mark.parametrize(
    ("keep", "starting", "waiting"),
    [
        (2, [("J1", 2)], [("J2", 3), ("J3", 4)]),
        (4, [("J1", 2), ("J2", 2)], [("NEW", 1), ("J3", 4)]),
        (5, [("J1", 2), ("J2", 3)], [("J3", 4)]),
        (8, [("J1", 2), ("J2", 3), ("J3", 3)], [("NEW", 1)]),
    ],
)
def test_a_run_is_split_by_promise_and_a_job_on_the_border_is_divided(
    keep: int, starting: list[tuple[str, int]], waiting: list[tuple[str, int]]
) -> None:
    decided, cut = release_by_person(_run(2, 3, 4), FAMILY, CANDIDATES, keep=keep)
    if cut is not None:
        decided = divided(decided, cut, rest="NEW")
    assert [(one.job_id, one.quantity) for one in decided.starting] == starting
    assert [(one.job_id, one.quantity) for one in decided.waiting] == waiting


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 60))
def test_no_piece_is_lost_or_doubled_by_a_split(sizes: list[int], keep: int) -> None:
    decided, cut = release_by_person(_run(*sizes), FAMILY, CANDIDATES, keep=keep)
    if cut is not None:
        decided = divided(decided, cut, rest="NEW")
    kept = sum(one.quantity for one in decided.starting)
    assert kept == min(keep, sum(sizes))
    assert kept + sum(one.quantity for one in decided.waiting) == sum(sizes)
