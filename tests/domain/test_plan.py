"""What is owed is planned once, in full, on a machine that can make it."""

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.plan import Candidate, Owed, Plan, cycles, plan
from gateway.domain.products import Family

FAMILIES: Mapping[str, Family] = {
    "white": Family(name="white", machines=("press-1", "press-2"), static_days=5, remake_limit=3),
    "blue": Family(name="blue", machines=("press-2",), static_days=5, remake_limit=0),
}


def _owed(number: int = 1, **fields: object) -> Owed:
    whole: dict[str, object] = {
        "requirement_id": number,
        "family": "white",
        "setup_key": "white",
        "quantity": 1,
        "promise_at": "2026-05-09",
        "remakes": 0,
    }
    return Owed(**(whole | fields))  # type: ignore[arg-type]


def _machines(*, usable: tuple[str, ...] = ("press-1", "press-2"), **loads: int) -> dict[str, Candidate]:
    return {
        name: Candidate(machine=name, load=loads.get(name.replace("-", "_"), 0), usable=name in usable)
        for name in ("press-1", "press-2")
    }


OWED = st.lists(
    st.builds(
        Owed,
        requirement_id=st.integers(1, 10_000),
        family=st.sampled_from(["white", "blue", "gone"]),
        setup_key=st.sampled_from(["a", "b"]),
        quantity=st.integers(1, 1000),
        promise_at=st.sampled_from(["", "2026-05-09", "2026-05-12"]),
        remakes=st.integers(0, 6),
    ),
    max_size=30,
    unique_by=lambda one: one.requirement_id,
)


def _all(decided: Plan) -> list[Owed]:
    return [one for run in decided.runs for one in run.owed] + [*decided.too_often, *decided.homeless]


@settings(deadline=None)
@given(OWED)
def test_each_requirement_is_planned_once_in_full_or_left_to_a_person(owed: list[Owed]) -> None:
    decided = plan(owed, FAMILIES, _machines())
    assert sorted(_all(decided), key=lambda one: one.requirement_id) == sorted(owed, key=lambda one: one.requirement_id)
    assert sum(one.quantity for one in _all(decided)) == sum(one.quantity for one in owed)


@settings(deadline=None)
@given(OWED)
def test_a_run_holds_one_family_and_setup_on_a_machine_that_can_make_it(owed: list[Owed]) -> None:
    decided = plan(owed, FAMILIES, _machines())
    assert len({(run.family, run.setup_key) for run in decided.runs}) == len(decided.runs)
    for run in decided.runs:
        assert run.machine in FAMILIES[run.family].machines
        assert {(one.family, one.setup_key) for one in run.owed} == {(run.family, run.setup_key)}
        assert [one.promise_at for one in run.owed] == sorted(one.promise_at for one in run.owed)


@settings(deadline=None)
@given(OWED, st.randoms())
def test_the_order_in_which_things_are_owed_says_nothing(owed: list[Owed], random: object) -> None:
    mixed = list(owed)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert plan(mixed, FAMILIES, _machines()) == plan(owed, FAMILIES, _machines())


def test_nothing_owed_is_no_plan() -> None:
    assert plan([], FAMILIES, _machines()) == Plan(runs=(), too_often=(), homeless=())


def test_what_was_remade_up_to_the_limit_is_made_and_beyond_it_a_person_decides() -> None:
    at, beyond = _owed(1, remakes=3), _owed(2, remakes=4)
    decided = plan([at, beyond], FAMILIES, _machines())
    assert [run.owed for run in decided.runs] == [(at,)]
    assert decided.too_often == (beyond,)


def test_a_limit_of_zero_makes_nothing_again() -> None:
    again = _owed(1, family="blue", remakes=1)
    assert plan([again], FAMILIES, _machines()).too_often == (again,)


def test_what_belongs_to_a_family_that_is_no_longer_configured_waits_for_a_person() -> None:
    lost = _owed(1, family="gone")
    decided = plan([lost, _owed(2)], FAMILIES, _machines())
    assert decided.homeless == (lost,)
    assert len(decided.runs) == 1


def test_the_usable_machine_with_the_least_to_do_is_chosen() -> None:
    assert plan([_owed()], FAMILIES, _machines(press_1=5, press_2=4)).runs[0].machine == "press-2"
    assert plan([_owed()], FAMILIES, _machines(press_1=4, press_2=4)).runs[0].machine == "press-1"
    assert plan([_owed()], FAMILIES, _machines(usable=("press-1",), press_1=99)).runs[0].machine == "press-1"


def test_where_no_machine_is_usable_the_run_waits_at_the_least_loaded_one() -> None:
    assert plan([_owed()], FAMILIES, _machines(usable=(), press_1=5, press_2=4)).runs[0].machine == "press-2"


def test_a_run_counts_towards_the_load_of_the_next() -> None:
    runs = plan([_owed(1, setup_key="a", quantity=9), _owed(2, setup_key="b")], FAMILIES, _machines()).runs
    assert [run.machine for run in runs] == ["press-1", "press-2"]


@settings(deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 1000))
def test_cycles_are_just_enough(pieces: int, per_cycle: int) -> None:
    needed = cycles(pieces, per_cycle)
    assert (needed - 1) * per_cycle < pieces <= needed * per_cycle
