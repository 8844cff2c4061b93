"""A machine whose memory went back: nothing is sent, people are asked once, and a taken-over mark proves nothing."""

from dataclasses import replace

import pytest

from drivers.base import CommandKind, JobPhase, Look
from gateway.domain.dispatch import Answered, Doubt, HoldMachine, Rest, Send, Settle, Settlement, Standing, decide
from gateway.domain.states import JobState
from tests.domain.cases import a_command, a_finding, a_look, a_standing, a_work, an_ability

KNOWN, NOW = 5, 0
UNFINISHED = (JobState.ACCEPTED, JobState.RUNNING, JobState.INTERRUPTED)
HELD = "memory"


def _look() -> Look:
    return replace(a_look(), mark=NOW)


def _known(standing: Standing, **changes: object) -> Standing:
    return replace(standing, mark=KNOWN, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [None, JobState.RELEASED, *UNFINISHED, JobState.COMPLETED])
def test_a_lost_memory_holds_the_machine_before_anything_else_and_asks_nobody_yet(state: JobState | None) -> None:
    work = None if state is None else a_work(state)
    step = decide(_known(a_standing(work)), _look(), None if work is None else a_finding(None), an_ability())
    assert isinstance(step, HoldMachine)
    assert not step.asks


@pytest.mark.parametrize("state", UNFINISHED)
def test_the_job_that_was_at_the_machine_is_the_one_question(state: JobState) -> None:
    held = _known(a_standing(a_work(state), held=HELD))
    step = decide(held, _look(), a_finding(None), an_ability())
    assert isinstance(step, Doubt)
    assert "went back from 5 to 0" in step.evidence
    asked = replace(held, asked=frozenset({step.cause}))
    assert isinstance(decide(asked, _look(), a_finding(None), an_ability()), Rest)


def test_a_doubtful_load_is_the_one_question_and_the_machine_is_none_while_it_settles() -> None:
    early = _known(a_standing(a_work(JobState.IN_DOUBT), command=a_command(CommandKind.LOAD, silent_s=0.0), held=HELD))
    assert isinstance(decide(early, _look(), a_finding(None), an_ability()), Rest)
    late = replace(early, command=a_command(CommandKind.LOAD))
    assert isinstance(decide(late, _look(), replace(a_finding(None), mark=NOW), an_ability()), Doubt)


@pytest.mark.parametrize("state", [None, JobState.RELEASED])
def test_where_no_job_was_at_the_machine_the_machine_is_the_one_question(state: JobState | None) -> None:
    work = None if state is None else a_work(state)
    finding = None if work is None else a_finding(None)
    held = _known(a_standing(work, held=HELD))
    step = decide(held, _look(), finding, an_ability())
    assert isinstance(step, HoldMachine)
    assert step.asks
    assert isinstance(decide(replace(held, called=True), _look(), finding, an_ability()), Rest)


@pytest.mark.parametrize("persistent", [False, True])
def test_a_mark_that_was_taken_over_is_no_proof_that_a_job_was_never_accepted(persistent: bool) -> None:
    ability = an_ability(persistent=persistent)
    finding = replace(a_finding(None), mark=NOW)
    command = replace(a_command(CommandKind.LOAD_START), job_no=KNOWN + 1)
    asked = replace(
        a_standing(a_work(JobState.IN_DOUBT), command=command), mark=NOW, asked=frozenset({"its memory went back"})
    )
    assert isinstance(decide(asked, _look(), finding, ability), Rest)
    never = decide(replace(asked, asked=frozenset()), _look(), finding, ability)
    assert isinstance(never, Settle)  # the same without a doubt before is proof
    assert never.settlement is Settlement.ABSENT


def test_about_one_job_one_question_is_open_at_a_time() -> None:
    asked = replace(a_standing(a_work(JobState.RUNNING)), asked=frozenset({"another cause"}))
    assert decide(asked, a_look(), a_finding(None), an_ability()) == Rest(why="a person must decide: another cause")


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.INTERRUPTED])
@pytest.mark.parametrize("phase", [JobPhase.NOT_ALLOWED_TO_START, JobPhase.ALLOWED_TO_START])
def test_a_begun_job_that_the_machine_takes_for_a_new_one_is_a_question_and_gets_no_start(
    state: JobState, phase: JobPhase
) -> None:
    standing = a_standing(a_work(state))
    look = a_look(LUND_1_1=phase)
    step = decide(standing, look, a_finding(phase), an_ability())
    assert isinstance(step, Doubt)
    assert "aborted" in step.kind.actions
    asked = replace(standing, asked=frozenset({step.cause}))
    assert not isinstance(decide(asked, look, a_finding(phase), an_ability()), Send)
    resumed = a_look(LUND_1_1=JobPhase.RUNNING)
    again = decide(asked, resumed, a_finding(JobPhase.RUNNING), an_ability())
    assert isinstance(again, Answered)  # a person at the panel has gone on with it
