"""`decide` over every situation: what must never be decided, and what must be."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from drivers.base import CommandKind, JobPhase, Permits
from gateway.domain.dispatch import (
    REFUSALS,
    Cleared,
    Conclude,
    Doubt,
    Follow,
    HoldMachine,
    Rest,
    Send,
    Settle,
    Settlement,
    Standing,
    decide,
    subject,
)
from gateway.domain.machines import Level
from gateway.domain.states import JOB_MOVES, JobState
from tests.domain.cases import (
    GIVEN,
    JOB,
    KINDS,
    PERMITS,
    PHASES,
    SETTLE_S,
    Case,
    a_command,
    a_finding,
    a_look,
    a_standing,
    a_work,
    an_ability,
    at_rest,
    in_doubt,
)

LOADS = frozenset({CommandKind.LOAD, CommandKind.LOAD_START})
STARTS = frozenset({CommandKind.START, CommandKind.LOAD_START})


def _breaking(cases: tuple[Case, ...], holds: Callable[[Case], bool]) -> Case | None:
    return next((case for case in cases if not holds(case)), None)


def _sends(case: Case, kinds: frozenset[CommandKind] = frozenset(CommandKind)) -> bool:
    return isinstance(case.step, Send) and case.step.kind in kinds


# What must never be decided ------------------------------------------------------------------------


def test_nothing_is_sent_while_a_command_is_not_settled() -> None:
    assert _breaking(in_doubt(), lambda case: not isinstance(case.step, Send)) is None


def test_a_doubtful_command_is_only_settled_held_asked_about_or_waited_for() -> None:
    allowed = (Settle, Doubt, HoldMachine, Rest)
    assert _breaking(in_doubt(), lambda case: isinstance(case.step, allowed)) is None


def test_nothing_at_all_is_sent_at_level_read() -> None:
    assert _breaking(at_rest(), lambda case: case.standing.level is not Level.READ or not _sends(case)) is None


def test_no_start_is_asked_for_unless_the_level_is_start() -> None:
    assert _breaking(at_rest(), lambda case: not _sends(case, STARTS) or case.standing.level is Level.START) is None


def test_no_load_is_sent_unless_the_selector_is_on_remote() -> None:
    assert _breaking(at_rest(), lambda case: not _sends(case, LOADS) or case.look.permits.remote is True) is None


def test_no_start_is_asked_for_unless_every_permit_is_given() -> None:
    def given(case: Case) -> bool:
        permits = case.look.permits
        return permits.remote is True and permits.ready is True and permits.handed_over is not False

    assert _breaking(at_rest(), lambda case: not _sends(case, STARTS) or given(case)) is None


def test_nothing_that_leads_to_motion_is_sent_for_a_held_job_or_to_a_held_machine() -> None:
    def free(case: Case) -> bool:
        assert case.standing.work is not None
        return case.standing.work.held is None and case.standing.held is None

    assert _breaking(at_rest(), lambda case: not _sends(case, LOADS | STARTS) or free(case)) is None


def test_a_panel_that_does_not_tell_the_hand_over_gets_no_start_after_a_restart() -> None:
    def known(case: Case) -> bool:
        told = case.look.permits.handed_over is not None
        return told or case.standing.boot in {None, case.look.boot}

    assert _breaking(at_rest(), lambda case: not _sends(case, STARTS) or known(case)) is None


def test_a_load_is_sent_only_for_a_released_job_that_the_machine_does_not_know() -> None:
    def fresh(case: Case) -> bool:
        assert case.standing.work is not None
        return case.standing.work.state is JobState.RELEASED and case.finding.phase is None

    assert _breaking(at_rest(), lambda case: not _sends(case, LOADS) or fresh(case)) is None


def test_a_start_is_sent_only_for_an_accepted_job_that_is_loaded_and_waits() -> None:
    def loaded(case: Case) -> bool:
        assert case.standing.work is not None
        accepted = case.standing.work.state is JobState.ACCEPTED
        return accepted and case.finding.phase is JobPhase.NOT_ALLOWED_TO_START

    start = frozenset({CommandKind.START})
    assert _breaking(at_rest(), lambda case: not _sends(case, start) or loaded(case)) is None


def test_nothing_is_sent_for_a_job_in_doubt_or_one_that_waits_or_is_cancelled() -> None:
    still = {JobState.IN_DOUBT, JobState.WAITING, JobState.CANCELLED}

    def holds(case: Case) -> bool:
        assert case.standing.work is not None
        return case.standing.work.state not in still or isinstance(case.step, Rest | HoldMachine)

    assert _breaking(at_rest(), holds) is None


def test_a_job_is_cleared_at_the_machine_only_after_its_result_is_stored() -> None:
    stored = {JobState.COMPLETED, JobState.ABORTED}
    clear = frozenset({CommandKind.CLEAR})

    def holds(case: Case) -> bool:
        assert case.standing.work is not None
        clears = _sends(case, clear) or isinstance(case.step, Cleared)
        return not clears or case.standing.work.state in stored

    assert _breaking(at_rest(), holds) is None


def test_only_commands_the_machine_knows_are_sent() -> None:
    assert (
        _breaking(at_rest(), lambda case: not isinstance(case.step, Send) or case.step.kind in case.ability.kinds)
        is None
    )


def test_a_command_refused_too_often_is_not_sent_again_without_a_person() -> None:
    def holds(case: Case) -> bool:
        assert case.standing.work is not None
        if case.standing.work.refusals < REFUSALS or case.standing.work.held is None:
            return True  # a person has let it go
        return not _sends(case)

    assert _breaking(at_rest(), holds) is None


def test_kvot_never_stops_aborts_or_cancels_a_job_by_itself() -> None:
    hard = frozenset({CommandKind.STOP, CommandKind.ABORT, CommandKind.CANCEL})
    assert _breaking(at_rest(), lambda case: not _sends(case, hard)) is None


def test_every_state_that_is_followed_or_concluded_is_a_move_of_the_model() -> None:
    def holds(case: Case) -> bool:
        assert case.standing.work is not None
        match case.step:
            case Follow(seen=seen, state=state):
                return seen is case.standing.work.state and (seen, state) in JOB_MOVES
            case Conclude(state=state):
                return (case.standing.work.state, state) in JOB_MOVES
        return True

    assert _breaking(at_rest(), holds) is None


def test_a_job_completes_only_by_the_machines_word_and_with_its_count() -> None:
    def holds(case: Case) -> bool:
        if not isinstance(case.step, Conclude) or case.step.state is not JobState.COMPLETED:
            return True
        return case.finding.phase is JobPhase.ENDED and case.step.finding.good is not None

    assert _breaking(at_rest(), holds) is None


def test_every_kind_of_step_is_reached_so_that_these_properties_say_something() -> None:
    reached = Counter(type(case.step) for case in at_rest()) + Counter(type(case.step) for case in in_doubt())
    assert {Send, Settle, Follow, Conclude, Cleared, Doubt, HoldMachine, Rest} == set(reached)
    sent = {case.step.kind for case in at_rest() if isinstance(case.step, Send)}
    assert sent == {*LOADS, CommandKind.START, CommandKind.WITHDRAW, CommandKind.CLEAR}


# Settling a doubt (R3, R4) -------------------------------------------------------------------------


def _settled(case: Case, settlement: Settlement) -> bool:
    return isinstance(case.step, Settle) and case.step.settlement is settlement


def test_a_doubtful_load_is_absent_only_with_proof_that_nothing_was_forgotten() -> None:
    def proven(case: Case) -> bool:
        command = case.standing.command
        assert command is not None
        same_memory = case.look.boot == command.boot or case.ability.persistent
        late = command.silent_s >= case.ability.settle_s
        return case.finding.phase is None and late and same_memory and not case.ability.clears_by_itself

    for case in in_doubt():
        assert case.standing.command is not None
        if case.standing.command.kind in LOADS and not isinstance(case.step, HoldMachine):
            assert _settled(case, Settlement.ABSENT) == proven(case), case


def test_a_load_whose_job_is_seen_is_accepted_at_once_and_never_absent() -> None:
    for case in in_doubt():
        assert case.standing.command is not None
        if case.standing.command.kind in LOADS and case.finding.phase is not None:
            assert _settled(case, Settlement.ACCEPTED) or isinstance(case.step, HoldMachine), case


def test_nothing_is_absent_before_the_settle_time_has_passed() -> None:
    def holds(case: Case) -> bool:
        assert case.standing.command is not None
        return not _settled(case, Settlement.ABSENT) or case.standing.command.silent_s >= SETTLE_S

    assert _breaking(in_doubt(), holds) is None


def test_a_person_is_asked_only_after_the_settle_time_where_absence_is_the_question() -> None:
    def holds(case: Case) -> bool:
        assert case.standing.command is not None
        load = case.standing.command.kind in LOADS
        return not (load and isinstance(case.step, Doubt)) or case.standing.command.silent_s >= SETTLE_S

    assert _breaking(in_doubt(), holds) is None


def test_the_machines_silence_on_a_job_it_had_never_settles_a_start_or_a_withdrawal() -> None:
    kinds = {CommandKind.START, CommandKind.WITHDRAW}
    for case in in_doubt():
        assert case.standing.command is not None
        if case.standing.command.kind in kinds and case.finding.phase is None:
            assert isinstance(case.step, Doubt | HoldMachine), case


def test_a_cancelled_job_is_gone_only_while_the_machine_cannot_have_forgotten_it() -> None:
    for case in in_doubt():
        command = case.standing.command
        assert command is not None
        if command.kind is CommandKind.CANCEL and _settled(case, Settlement.ACCEPTED):
            assert case.look.boot == command.boot or case.ability.persistent, case
            assert not case.ability.clears_by_itself, case


def test_a_job_that_the_list_names_is_never_absent_even_where_the_answer_does_not_know_it() -> None:
    # It was cleared at the panel between the look and the question: it may have been made.
    look = a_look(LUND_1_1=JobPhase.ENDED)
    for kind in LOADS:
        standing = a_standing(a_work(JobState.IN_DOUBT), command=a_command(kind))
        step = decide(standing, look, a_finding(None), an_ability())
        assert isinstance(step, Settle)
        assert step.settlement is Settlement.ACCEPTED


def test_a_released_job_that_the_list_names_is_not_sent() -> None:
    step = decide(a_standing(a_work(JobState.RELEASED)), a_look(LUND_1_1=JobPhase.ENDED), a_finding(None), an_ability())
    assert isinstance(step, Doubt)


def test_a_withdrawal_that_came_too_late_is_refused_and_the_job_followed() -> None:
    for phase in (JobPhase.RUNNING, JobPhase.INTERRUPTED, JobPhase.ENDED, JobPhase.ABORTED):
        standing = a_standing(a_work(JobState.ACCEPTED), command=a_command(CommandKind.WITHDRAW))
        step = decide(standing, a_look(), a_finding(phase), an_ability())
        assert isinstance(step, Settle)
        assert step.settlement is Settlement.REFUSED


# A panel that does not tell the hand-over ----------------------------------------------------------

UNTOLD = Permits(remote=True, ready=True, handed_over=None)


def test_a_permit_that_falls_during_a_doubt_holds_a_machine_that_does_not_tell_the_hand_over() -> None:
    look = a_look(Permits(remote=True, ready=False, handed_over=None))
    standing = a_standing(a_work(JobState.IN_DOUBT), command=a_command(CommandKind.LOAD, silent_s=0.0))
    assert isinstance(decide(standing, look, a_finding(None), an_ability()), HoldMachine)


def test_a_restart_during_a_doubt_holds_a_machine_that_does_not_tell_the_hand_over() -> None:
    standing = a_standing(a_work(JobState.IN_DOUBT), command=a_command(CommandKind.LOAD))
    assert isinstance(decide(standing, a_look(UNTOLD, boot="boot-2"), a_finding(None), an_ability()), HoldMachine)


def test_a_machine_held_already_is_not_held_again_and_its_doubts_are_still_settled() -> None:
    standing = a_standing(a_work(JobState.IN_DOUBT), command=a_command(CommandKind.LOAD), held="machine")
    look = a_look(Permits(remote=True, ready=False, handed_over=None))
    step = decide(standing, look, a_finding(JobPhase.RUNNING), an_ability())
    assert isinstance(step, Settle)


def test_without_a_job_a_fallen_permit_is_still_noticed() -> None:
    look = a_look(Permits(remote=True, ready=False, handed_over=None))
    assert isinstance(decide(a_standing(), look, None, an_ability()), HoldMachine)
    assert decide(a_standing(level=Level.LOAD), look, None, an_ability()) == Rest(why="no job")


# What must be decided ------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("permits", PERMITS, ids=str)
def test_a_released_job_goes_down_as_far_as_the_permits_allow(kinds: frozenset[CommandKind], permits: Permits) -> None:
    if permits.handed_over is None and permits.ready is not True:
        return  # a machine that does not tell the hand-over is held instead
    step = decide(a_standing(a_work(JobState.RELEASED)), a_look(permits), a_finding(None), an_ability(kinds))
    may_start = permits.remote is True and permits.ready is True and permits.handed_over is not False
    if permits.remote is True and may_start and CommandKind.LOAD_START in kinds:
        assert step == Send(kind=CommandKind.LOAD_START, job_id=JOB)
    elif permits.remote is True and CommandKind.LOAD in kinds:
        assert step == Send(kind=CommandKind.LOAD, job_id=JOB)
    else:
        assert isinstance(step, Rest | HoldMachine)


def test_at_level_load_a_job_is_loaded_and_never_started() -> None:
    standing = a_standing(a_work(JobState.RELEASED), level=Level.LOAD)
    assert decide(standing, a_look(), a_finding(None), an_ability()) == Send(kind=CommandKind.LOAD, job_id=JOB)
    loaded = a_standing(a_work(JobState.ACCEPTED), level=Level.LOAD)
    assert isinstance(decide(loaded, a_look(), a_finding(JobPhase.NOT_ALLOWED_TO_START), an_ability()), Rest)


@pytest.mark.parametrize("phase", [phase for phase in JobPhase if phase not in {JobPhase.ENDED, JobPhase.ABORTED}])
def test_work_of_the_machines_own_keeps_a_job_back(phase: JobPhase) -> None:
    step = decide(a_standing(a_work(JobState.RELEASED)), a_look(BY_HAND=phase), a_finding(None), an_ability())
    assert step == Rest(why="busy with its own work: BY-HAND")


@pytest.mark.parametrize("phase", [JobPhase.ENDED, JobPhase.ABORTED])
def test_work_of_the_machines_own_that_has_ended_keeps_nothing_back(phase: JobPhase) -> None:
    step = decide(a_standing(a_work(JobState.RELEASED)), a_look(BY_HAND=phase), a_finding(None), an_ability())
    assert isinstance(step, Send)


def test_a_permission_to_start_is_withdrawn_when_a_permit_falls_but_not_for_ever() -> None:
    look = a_look(Permits(remote=True, ready=False, handed_over=False))
    finding = a_finding(JobPhase.ALLOWED_TO_START)
    step = decide(a_standing(a_work(JobState.ACCEPTED)), look, finding, an_ability())
    assert step == Send(kind=CommandKind.WITHDRAW, job_id=JOB)
    tired = a_standing(a_work(JobState.ACCEPTED, refusals=REFUSALS))
    assert isinstance(decide(tired, look, finding, an_ability()), Rest)


@pytest.mark.parametrize("state", [JobState.ACCEPTED, JobState.RUNNING, JobState.INTERRUPTED])
def test_a_job_that_ended_without_a_count_is_a_question_and_not_a_guess(state: JobState) -> None:
    step = decide(a_standing(a_work(state)), a_look(), a_finding(JobPhase.ENDED, good=None), an_ability())
    assert isinstance(step, Doubt)


@pytest.mark.parametrize("state", [JobState.ACCEPTED, JobState.RUNNING, JobState.INTERRUPTED])
def test_a_job_the_machine_had_and_no_longer_knows_is_a_question(state: JobState) -> None:
    assert isinstance(decide(a_standing(a_work(state)), a_look(), a_finding(None), an_ability()), Doubt)


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("phase", PHASES)
def test_a_job_the_machine_knows_but_was_never_sent_is_a_question_at_every_level(
    level: Level, phase: JobPhase | None
) -> None:
    step = decide(a_standing(a_work(JobState.RELEASED), level=level), a_look(), a_finding(phase), an_ability())
    assert isinstance(step, Doubt) == (phase is not None)


def test_a_job_seen_interrupted_first_passes_through_running() -> None:
    accepted = a_standing(a_work(JobState.ACCEPTED))
    first = decide(accepted, a_look(), a_finding(JobPhase.INTERRUPTED), an_ability())
    assert isinstance(first, Follow)
    assert (first.seen, first.state) == (JobState.ACCEPTED, JobState.RUNNING)
    second = decide(a_standing(a_work(JobState.RUNNING)), a_look(), a_finding(JobPhase.INTERRUPTED), an_ability())
    assert isinstance(second, Follow)
    assert (second.seen, second.state) == (JobState.RUNNING, JobState.INTERRUPTED)


def test_a_result_that_is_stored_is_cleared_once_and_given_up_after_refusals() -> None:
    done = a_standing(a_work(JobState.COMPLETED))
    ended = a_finding(JobPhase.ENDED)
    assert decide(done, a_look(), ended, an_ability()) == Send(kind=CommandKind.CLEAR, job_id=JOB)
    assert decide(done, a_look(), a_finding(None), an_ability()) == Cleared(job_id=JOB)
    tired = a_standing(a_work(JobState.COMPLETED, refusals=REFUSALS))
    assert decide(tired, a_look(), ended, an_ability()) == Cleared(job_id=JOB)


def test_nothing_is_cleared_at_a_machine_that_a_person_took_back_or_holds() -> None:
    ended = a_finding(JobPhase.ENDED)
    taken = a_standing(a_work(JobState.COMPLETED), level=Level.READ)
    assert isinstance(decide(taken, a_look(), ended, an_ability()), Rest)  # its slot is taken until it is armed again
    assert isinstance(decide(taken, a_look(), a_finding(None), an_ability()), Cleared)
    held = a_standing(a_work(JobState.COMPLETED), held="machine")
    assert isinstance(decide(held, a_look(), ended, an_ability()), Rest)


def test_the_subject_is_the_open_commands_job_before_the_work_at_hand() -> None:
    command = a_command(CommandKind.CLEAR)
    other = a_work(JobState.RELEASED)
    assert subject(a_standing(other, command=command)) == JOB
    assert subject(a_standing(other)) == JOB
    assert subject(Standing(level=Level.READ, held=None, command=None, work=None, boot=None)) is None


def test_every_permit_is_given_in_the_plain_case() -> None:
    assert GIVEN in PERMITS


# Machines that name no jobs -------------------------------------------------------------------------

UNPROVEN = replace(a_finding(None), unproven="the counters went back")


def test_a_machine_that_names_no_jobs_is_given_none_without_anything_to_tell_a_start_by() -> None:
    standing, ability = a_standing(a_work(JobState.RELEASED)), an_ability(KINDS[3], by_evidence=True)
    bare = decide(standing, a_look(), UNPROVEN, ability)
    assert isinstance(bare, Rest)
    assert "does not stand still" in bare.why
    told = decide(standing, replace(a_look(), baseline="idle"), UNPROVEN, ability)
    assert told == Send(kind=CommandKind.LOAD_START, job_id=JOB)


@pytest.mark.parametrize("state", [JobState.ACCEPTED, JobState.RUNNING, JobState.INTERRUPTED])
def test_what_a_machine_leaves_unproven_of_an_accepted_job_is_asked_with_its_cause(state: JobState) -> None:
    step = decide(a_standing(a_work(state)), a_look(), UNPROVEN, an_ability(by_evidence=True))
    assert isinstance(step, Doubt)
    assert step.cause == "unclear what became of the job: the counters went back"
    assert {"made", "aborted", "not_made"} == set(step.kind.actions)


def test_one_question_about_a_job_is_open_at_a_time_though_the_cause_changes() -> None:
    asked = replace(a_standing(a_work(JobState.RUNNING)), asked=frozenset({"another cause"}))
    assert decide(asked, a_look(), UNPROVEN, an_ability()) == Rest(why="a person must decide: another cause")
