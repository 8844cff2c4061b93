"""After a restore: who is asked first, and what may go on without a person."""

from dataclasses import replace

import pytest

from drivers.base import CommandKind, JobPhase
from gateway.domain.dispatch import decide
from gateway.domain.recovery import Suspect, as_the_shop_says, is_free, waits_for
from gateway.domain.states import JobState
from gateway.domain.steps import Doubt, Rest, Settle
from tests.domain.cases import a_command, a_finding, a_look, a_standing, a_work, an_ability, at_rest, in_doubt

FREE = Suspect(line_id=1, order_id=1, told="")


def test_every_machine_and_every_shop_is_waited_for() -> None:
    assert waits_for(["press", "oven"], ["web"], []) == ("machine:oven", "machine:press", "shop:web")
    assert waits_for(["press", "oven"], ["web"], ["machine:oven", "order:1"]) == ("machine:press", "shop:web")
    assert waits_for(["press"], ["web"], ["machine:press", "shop:web"]) == ()


def test_a_line_is_free_only_when_nothing_speaks_for_its_having_been_made() -> None:
    assert is_free(FREE, strangers=0)
    assert not is_free(FREE, strangers=1)
    assert not is_free(replace(FREE, told=None), strangers=0)
    assert not is_free(replace(FREE, told="received"), strangers=0)
    assert not is_free(replace(FREE, named=("LUND-1-1",)), strangers=0)
    assert not is_free(replace(FREE, released=True), strangers=0)


@pytest.mark.parametrize(
    ("told", "made"),
    [("made", True), ("shipped", True), ("planned", False), ("", False), ("in_production", None), (None, None)],
)
def test_what_a_shop_says_is_taken_at_its_word_where_it_says_anything(told: str | None, made: bool | None) -> None:
    assert as_the_shop_says(told) is made


def test_while_recovering_nothing_is_sent_settled_or_stored() -> None:
    for case in (*at_rest(), *in_doubt()):
        standing = replace(case.standing, recovering=True)
        assert isinstance(decide(standing, case.look, case.finding, case.ability), Rest)


def test_the_silence_of_a_machine_without_a_mark_proves_nothing_about_a_command_before_the_restore() -> None:
    look, finding = a_look(), a_finding(None)
    command = a_command(CommandKind.LOAD_START)
    for restored, step in ((False, Settle), (True, Doubt)):
        standing = a_standing(a_work(JobState.IN_DOUBT), command=replace(command, restored=restored))
        assert isinstance(decide(standing, look, finding, an_ability()), step)


def test_what_a_machine_without_memory_shows_after_a_restore_proves_nothing_about_a_command_before_it() -> None:
    ended = a_finding(JobPhase.ENDED)
    command = a_command(CommandKind.LOAD_START)
    ability = replace(an_ability(), by_evidence=True)
    for restored, step in ((False, Settle), (True, Doubt)):
        standing = a_standing(a_work(JobState.IN_DOUBT), command=replace(command, restored=restored))
        assert isinstance(decide(standing, a_look(), ended, ability), step)


def test_a_mark_below_its_number_still_proves_that_a_command_before_the_restore_was_never_taken() -> None:
    command = replace(a_command(CommandKind.LOAD_START), restored=True, job_no=5)
    standing = replace(a_standing(a_work(JobState.IN_DOUBT), command=command), mark=4)
    look = replace(a_look(), mark=4)
    assert isinstance(decide(standing, look, replace(a_finding(None), mark=4), an_ability()), Settle)
