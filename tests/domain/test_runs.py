"""What is owed collects once, never beyond a run's places, and a run starts when its rules say so."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.calendars import parse_calendar
from gateway.domain.pricing import (
    Capacity,
    Costs,
    Demand,
    FamilyRules,
    Policy,
    PriceRules,
    Release,
    Reservation,
    RunRules,
)
from gateway.domain.products import Family
from gateway.domain.runs import (
    Candidate,
    Collecting,
    Member,
    OpenRun,
    Owed,
    Situation,
    choose_machine,
    collect,
    cycles,
    release,
    upstream,
)

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
RUN = RunRules(places=10, threshold=4, release=Release.THRESHOLD)
FAMILIES: Mapping[str, Family] = {
    "white": Family(name="white", machines=("press-1", "press-2"), static_days=5, remake_limit=3),
    "black": Family(name="black", machines=("oven-1",), static_days=5, run=RUN, policy=Policy.COUNTDOWN),
}
RULES = FamilyRules(
    policy=Policy.COUNTDOWN,
    run=RUN,
    price=PriceRules(list_minor=10_000, currency="SEK"),
    costs=Costs(unit_minor=3_000, setup_minor=50_000, setup_h=0.1),
    capacity=Capacity(rate_h=100.0, margin_h=0.1),
    calendar=parse_calendar("always", zone=UTC),
    demand=Demand(visitors_h=10, conversion=0.1, lead_slope_day=0.12),
)


def _owed(number: int = 1, **fields: object) -> Owed:
    whole: dict[str, object] = {
        "requirement_id": number,
        "family": "white",
        "setup_key": "white",
        "quantity": 1,
        "promise_at": "2026-05-09",
        "remakes": 0,
        "ready": 1_000,
    }
    return Owed(**(whole | fields))  # type: ignore[arg-type]


def _member(number: int, *, quantity: int = 1, ready: int | None = None, days: float = 5) -> Member:
    return Member(
        job_id=f"J{number}",
        order_id=number,
        quantity=quantity,
        places=1.0,
        ready=quantity if ready is None else ready,
        promise_at=NOW + timedelta(days=days),
        placed_at=NOW,
    )


def _run(*members: Member, family: str = "black", held: str | None = None) -> OpenRun:
    return OpenRun(run_id=1, family=family, setup_key=family, held=held, members=members)


def _situation(
    *, usable: tuple[str, ...] = ("press-1", "press-2", "oven-1"), now: datetime = NOW, **loads: int
) -> Situation:
    candidates = {
        name: Candidate(machine=name, load=loads.get(name.replace("-", "_"), 0), usable=name in usable)
        for name in ("press-1", "press-2", "oven-1")
    }
    return Situation(candidates=candidates, rules={"black": RULES}, now=now)


OWED = st.lists(
    st.builds(
        Owed,
        requirement_id=st.integers(1, 10_000),
        family=st.sampled_from(["white", "black", "gone"]),
        setup_key=st.sampled_from(["a", "b"]),
        quantity=st.integers(1, 30),
        promise_at=st.sampled_from(["", "2026-05-09", "2026-05-12"]),
        remakes=st.integers(0, 6),
        ready=st.integers(0, 30),
        places=st.sampled_from([0.5, 1.0, 2.5, 20.0]),
    ),
    max_size=30,
    unique_by=lambda one: one.requirement_id,
)


def _fill(decided: Collecting, family: str, key: str) -> float:
    return sum(
        join.quantity * join.need.places
        for join in decided.joins
        if (join.need.family, join.need.setup_key) == (family, key)
    )


@settings(deadline=None)
@given(OWED)
def test_each_requirement_joins_at_most_once_and_never_with_more_than_it_lacks(owed: list[Owed]) -> None:
    decided = collect(owed, [], FAMILIES)
    joined = [join.need.requirement_id for join in decided.joins]
    assert len(joined) == len(set(joined))
    assert all(0 < join.quantity <= join.need.quantity for join in decided.joins)
    left_to_people = {one.requirement_id for one in (*decided.too_often, *decided.homeless)}
    assert not left_to_people & set(joined)


@settings(deadline=None)
@given(OWED)
def test_a_run_never_holds_more_than_its_places_but_for_one_piece_that_is_larger(owed: list[Owed]) -> None:
    decided = collect(owed, [], FAMILIES)
    for key in ("a", "b"):
        joins = [join for join in decided.joins if (join.need.family, join.need.setup_key) == ("black", key)]
        single = len(joins) == 1 and joins[0].quantity == 1
        assert single or _fill(decided, "black", key) <= RUN.places + 1e-6


@settings(deadline=None)
@given(OWED, st.randoms())
def test_the_order_in_which_things_are_owed_says_nothing(owed: list[Owed], random: object) -> None:
    mixed = list(owed)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert collect(mixed, [], FAMILIES) == collect(owed, [], FAMILIES)


def test_what_is_made_at_once_collects_only_what_is_ready() -> None:
    decided = collect([_owed(1, quantity=5, ready=3), _owed(2, quantity=2, ready=0)], [], FAMILIES)
    assert [(join.need.requirement_id, join.quantity) for join in decided.joins] == [(1, 3)]


def test_a_collecting_run_takes_pieces_before_they_are_ready() -> None:
    decided = collect([_owed(1, family="black", setup_key="black", quantity=4, ready=0)], [], FAMILIES)
    assert [join.quantity for join in decided.joins] == [4]


def test_a_large_line_fills_the_run_and_waits_with_the_rest() -> None:
    run = _run(_member(1, quantity=7))
    decided = collect([_owed(2, family="black", setup_key="black", quantity=25)], [run], FAMILIES)
    assert [join.quantity for join in decided.joins] == [3]


def test_places_that_quotes_hold_stay_free_and_what_was_quoted_goes_first() -> None:
    run = _run(_member(1, quantity=6))
    early = _owed(1, family="black", setup_key="black", quantity=3, promise_at="2026-05-07")
    quoted = _owed(2, family="black", setup_key="black", quantity=2, promise_at="2026-05-09", quoted=True)
    decided = collect([early, quoted], [run], FAMILIES, reserved={"black": 1.0})
    assert [(join.need.requirement_id, join.quantity) for join in decided.joins] == [(2, 2), (1, 1)]


def test_a_run_for_one_customer_takes_no_place_of_the_shared_one_and_starts_at_once() -> None:
    own = replace(_run(_member(1, quantity=RUN.places)), own=7)
    shared = _owed(1, family="black", setup_key="black", quantity=RUN.places)
    alone = _owed(2, family="black", setup_key="black", quantity=4, own=8)
    decided = collect([shared, alone], [own], FAMILIES, reserved={"black": 1.0})
    assert [(join.need.requirement_id, join.quantity) for join in decided.joins] == [(2, 4), (1, RUN.places - 1)]
    small = replace(_run(_member(1, quantity=1)), own=7)
    released = release(small, FAMILIES["black"], _situation())
    assert released is not None
    assert released.reason == "express"
    assert release(replace(small, held="no"), FAMILIES["black"], _situation()) is None
    assert release(_run(_member(1, quantity=1)), FAMILIES["black"], _situation()) is None


def test_a_run_that_has_gathered_enough_waits_for_its_quotes() -> None:
    run = _run(*(_member(number, days=30) for number in range(RUN.places - 1)))
    held = Reservation(units=1, promise=NOW + timedelta(days=30), valid_until=NOW + timedelta(minutes=15))
    waiting = replace(_situation(), reserved={"black": (held,)})
    assert release(run, FAMILIES["black"], _situation()) is not None
    assert release(run, FAMILIES["black"], waiting) is None
    assert release(run, FAMILIES["black"], replace(waiting, now=held.valid_until)) is not None
    full = _run(*(_member(number, days=30) for number in range(RUN.places)))
    assert release(full, FAMILIES["black"], waiting) is not None


def test_what_was_remade_too_often_or_has_no_family_goes_to_a_person() -> None:
    decided = collect([_owed(1, remakes=4), _owed(2, family="gone")], [], FAMILIES)
    assert [one.requirement_id for one in decided.too_often] == [1]
    assert [one.requirement_id for one in decided.homeless] == [2]
    assert decided.joins == ()


def test_make_to_order_starts_at_once() -> None:
    decided = release(_run(_member(1), family="white"), FAMILIES["white"], _situation())
    assert decided is not None
    assert decided.reason == "at_once"


def test_a_run_waits_below_its_threshold_and_starts_at_it() -> None:
    below = _run(*(_member(number) for number in range(3)))
    assert release(below, FAMILIES["black"], _situation()) is None
    at = _run(*(_member(number) for number in range(3)), _member(9, quantity=7))
    decided = release(at, FAMILIES["black"], _situation())
    assert decided is not None
    assert decided.machine == "oven-1"


def test_a_promise_that_presses_starts_a_run_below_its_threshold() -> None:
    pressed = _run(_member(1, days=0.005))
    assert release(pressed, FAMILIES["black"], _situation()) is not None


def test_a_held_run_or_one_whose_pieces_are_not_there_waits() -> None:
    full = _run(*(_member(number, quantity=5) for number in range(2)))
    assert release(replace(full, held="no mould"), FAMILIES["black"], _situation()) is None
    early = _run(*(_member(number, quantity=5, ready=0) for number in range(2)))
    assert release(early, FAMILIES["black"], _situation()) is None


def test_jobs_whose_pieces_are_not_there_yet_collect_on() -> None:
    mixed = _run(_member(1, quantity=6), _member(2, quantity=4, ready=3))
    decided = release(mixed, FAMILIES["black"], _situation())
    assert decided is not None
    assert [member.job_id for member in decided.starting] == ["J1"]
    assert [member.job_id for member in decided.waiting] == ["J2"]


def test_the_least_loaded_usable_machine_gets_the_run() -> None:
    situation = _situation(usable=("press-2",), press_2=50)
    assert choose_machine(FAMILIES["white"], situation.candidates) == "press-2"
    situation = _situation(press_1=5, press_2=3)
    assert choose_machine(FAMILIES["white"], situation.candidates) == "press-2"
    situation = _situation(usable=(), press_1=5, press_2=3)
    assert choose_machine(FAMILIES["white"], situation.candidates) == "press-2"


def test_cycles_are_rounded_up() -> None:
    assert [cycles(pieces, 4) for pieces in (1, 4, 5, 8)] == [1, 1, 2, 2]


def test_earlier_steps_make_what_later_ones_lose() -> None:
    assert upstream(10, []) == 10
    assert upstream(10, [0.9]) == 12
    assert upstream(9, [0.9]) == 10
    assert upstream(10, [0.5, 0.5]) == 40
