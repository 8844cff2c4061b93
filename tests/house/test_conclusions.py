"""Each row of what Kvot concludes from a machine after a doubt has a test by name; here is which one.

The rows are those of docs/explanation/delivery.md and of the mailbox's register map. A test that is renamed or taken
away is missed here. What happens to them all at once, at every point and from a seed, is struck in tests/faults.
"""

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from tests.house.tree import ROOT

JOB_CONTROL = {
    "ReturnStatus bits": (
        "drivers/test_codec.py::test_a_return_status_is_told_in_words",
        "drivers/test_codec.py::test_only_bit_1_means_an_unknown_job_beside_the_makers_own_bits",
        "drivers/test_opcua_session.py::test_an_uncertain_answer_with_outputs_is_an_answer",
    ),
    "Bad after executing, lost answer": (
        "drivers/test_opcua_session.py::test_a_command_whose_answer_is_lost_is_in_doubt_and_settled_by_asking",
        "stages/test_crash_points.py::test_a_lost_answer_and_an_end_at_any_point_after_it_make_no_second_start",
    ),
    "late answer": ("drivers/test_opcua_session.py::test_an_answer_after_the_deadline_of_the_call_is_no_answer",),
    "memory lost on restart": (
        "stages/test_main_job.py::test_after_a_restart_of_the_machine_a_person_decides_and_nothing_is_sent",
        "factory/test_lost_memory.py::test_a_job_that_ran_when_the_memory_was_lost_is_decided_by_a_person",
    ),
    "duplicates rejected": ("stages/test_probe.py::test_a_machine_that_knows_the_job_again_is_proven_and_left_clean",),
    "duplicates accepted, kept once": (
        "drivers/test_contract.py::test_the_same_job_sent_again_is_made_once_and_the_machine_says_that_it_knows_it",
    ),
    "duplicates run twice": (
        "stages/test_probe.py::test_a_machine_that_would_make_a_job_twice_is_found_out_and_sent_nothing",
        "factory/test_probe.py::test_a_press_that_takes_a_job_twice_is_found_out_and_sent_nothing",
    ),
    "Store and Start only, StoreAndStart only": (
        "drivers/test_finding.py::test_the_kinds_of_commands_follow_from_the_methods_that_exist",
        "drivers/test_contract.py::test_a_job_is_loaded_started_made_once_told_of_and_cleared",
        "stages/test_main_job.py::test_a_machine_that_only_stores_and_starts_apart_is_served_by_two_commands",
    ),
    "own memory cleared": (
        "stages/test_main_job.py::test_a_job_cleared_at_the_panel_is_a_question_and_not_a_second_start",
        "domain/test_dispatch.py::test_a_job_that_the_list_names_is_never_absent_even_where_the_answer_does_not_know_it",
    ),
    "namespace reordered, two servers with different indexes": (
        "drivers/test_opcua_session.py::test_two_servers_with_different_namespace_indexes_are_served_at_once",
        "drivers/test_opcua_session.py::test_types_registered_under_the_same_ids_by_another_server_change_nothing",
    ),
    "absence proven": (
        "domain/test_dispatch.py::test_a_doubtful_load_is_absent_only_with_proof_that_nothing_was_forgotten",
        "factory/test_killed_gateway.py::test_a_command_lost_on_the_way_is_sent_again_once_its_absence_is_proven",
    ),
}
MAILBOX = {
    "HWM_JOB below the number, BOOT_CNT as at the intent: sent again under the same number": (
        "drivers/test_mailbox.py::test_what_the_mark_proves_of_a_job_that_is_not_in_the_slot",
        "drivers/test_mailbox_search.py::test_each_job_is_made_once_and_nobody_is_asked",
    ),
    "HWM_JOB below the number, BOOT_CNT changed: a person": (
        "drivers/test_mailbox_search.py::test_where_memory_proves_nothing_a_person_is_asked_and_nothing_is_made_twice",
        "drivers/test_modbus_session.py::test_a_restart_before_the_answer_leaves_the_command_in_doubt_whatever_the_plc_says",
    ),
    "in the slot, loaded or waiting": (
        "domain/test_dispatch.py::test_a_start_is_sent_only_for_an_accepted_job_that_is_loaded_and_waits",
        "domain/test_dispatch.py::test_a_load_whose_job_is_seen_is_accepted_at_once_and_never_absent",
    ),
    "in the slot, running or interrupted": (
        "drivers/test_modbus_session.py::test_after_a_power_cut_nothing_moves_until_start_is_pressed",
        "factory/test_power_cut.py::test_dark_in_the_middle_of_a_job_with_memory_kept_only_start_at_the_panel_goes_on",
    ),
    "in the slot, ended: stored, then cleared": (
        "domain/test_dispatch.py::test_a_job_is_cleared_at_the_machine_only_after_its_result_is_stored",
        "drivers/test_mailbox_search.py::test_clearing_before_the_result_is_stored_loses_it",
    ),
    "not in the slot, result stored: cleared": (
        "factory/test_killed_gateway.py::test_killed_when_the_press_has_forgotten_a_job_but_not_said_so_it_has_the_result",
    ),
    "not in the slot, accepted: an operator cleared it": (
        "domain/test_dispatch.py::test_a_job_the_machine_had_and_no_longer_knows_is_a_question",
        "drivers/test_mailbox_search.py::test_where_memory_proves_nothing_a_person_is_asked_and_nothing_is_made_twice",
    ),
    "HWM_JOB below the value stored: memory lost, or the PLC replaced": (
        "stages/test_main_job.py::test_a_job_mark_that_went_back_holds_the_machine_until_a_person_takes_it_as_it_is",
        "domain/test_lost_memory.py::test_a_lost_memory_holds_the_machine_before_anything_else_and_asks_nobody_yet",
        "factory/test_power_cut.py::test_a_memory_cleared_while_nothing_is_in_the_oven_asks_one_question_about_the_machine",
        "stages/test_main_job.py::test_another_machine_under_the_same_address_ends_the_arming",
    ),
    "withdrawn before it is given to another machine": (
        "drivers/test_mailbox.py::test_a_withdrawn_job_is_free_only_where_it_was_never_accepted",
        "drivers/test_modbus_session.py::test_a_job_is_withdrawn_only_where_the_plc_has_never_accepted_it",
        "drivers/test_modbus_session.py::test_a_withdrawal_proves_nothing_without_heartbeats",
        "drivers/test_modbus_session.py::test_a_commit_that_arrives_after_its_withdrawal_moves_nothing",
    ),
    "BOOT_CNT": (
        "drivers/test_modbus_session.py::test_a_restart_of_the_plc_ends_the_session_and_a_command_is_then_not_sent",
        "drivers/test_modbus_polling.py::test_a_machine_that_restarted_behind_a_fresh_connection_is_known_by_a_new_session_alone",
    ),
    "torn payload": (
        "drivers/test_mailbox.py::test_every_damaged_word_of_a_payload_is_noticed_by_its_crc",
        "drivers/test_mailbox_search.py::test_without_the_rule_a_job_is_made_twice_or_wrongly",
        "drivers/test_modbus_wire.py::test_a_value_torn_between_two_scans_is_never_shown",
    ),
    "second master": (
        "drivers/test_modbus_session.py::test_another_masters_payload_is_noticed_and_not_committed",
        "drivers/test_modbus_session.py::test_another_masters_commit_leaves_the_command_in_doubt",
    ),
    "word order": (
        "drivers/test_mailbox.py::test_the_other_word_order_is_noticed_and_named",
        "drivers/test_modbus_polling.py::test_another_machine_behind_a_fresh_connection_tells_nothing_in_the_old_session",
    ),
    "one-connection PLC": (
        "drivers/test_modbus_wire.py::test_a_plc_with_one_connection_serves_two_machines_over_a_shared_link",
    ),
    "dead unit": ("drivers/test_modbus_wire.py::test_a_dead_unit_behind_a_gateway_does_not_starve_the_living",),
    "wrong replies": (
        "drivers/test_modbus_wire.py::test_a_reply_with_anything_wrong_is_not_believed_and_the_connection_is_left",
        "drivers/test_modbus_wire.py::test_a_late_reply_is_never_taken_for_the_next_ones",
        "drivers/test_modbus_wire.py::test_on_a_bus_a_late_reply_is_dropped_while_the_line_falls_quiet",
        "drivers/test_modbus_wire.py::test_an_exception_to_the_commit_is_doubt_and_not_refusal",
    ),
}
MAILBOX_OVER_OPC_UA = {
    "a job from loading to clearing": (
        "drivers/test_opcua_mailbox.py::test_a_job_is_loaded_started_made_and_cleared_in_both_word_orders",
    ),
    "lost answer of the commit": (
        "drivers/test_opcua_mailbox.py::test_a_commit_whose_answer_is_lost_is_found_by_asking",
    ),
    "Bad commit": ("drivers/test_opcua_mailbox.py::test_a_bad_commit_is_a_doubt_whatever_the_server_says_of_it",),
    "torn payload": (
        "drivers/test_opcua_mailbox.py::test_a_payload_of_which_half_arrived_is_not_committed",
        "drivers/test_opcua_mailbox.py::test_a_torn_payload_that_a_servers_memory_hides_is_refused_by_the_plc",
    ),
    "late payload": (
        "drivers/test_opcua_mailbox.py::test_a_payload_that_may_yet_arrive_is_not_committed_and_the_next_session_wipes_it",
    ),
    "BOOT_CNT behind a server that goes on": (
        "drivers/test_opcua_mailbox.py::test_a_restart_of_the_plc_behind_a_server_that_goes_on_is_seen_by_its_boot_count",
    ),
    "server restarted": (
        "drivers/test_opcua_mailbox.py::test_a_server_restarted_between_payload_and_commit_never_sees_the_commit_and_is_found_again",
    ),
}
SCENES = {
    "door": (
        "factory/test_guard.py::test_a_job_released_behind_an_open_guard_waits_for_start_at_the_panel",
        "factory/test_guard.py::test_a_guard_opened_at_work_interrupts_and_start_resumes_the_same_start",
    ),
    "taken by the operator": (
        "factory/test_taken_back.py::test_taken_by_the_selector_the_job_is_interrupted_and_only_start_at_the_panel_goes_on",
        "factory/test_taken_back.py::test_taken_back_by_command_the_job_goes_on_and_nothing_more_is_sent_until_it_is_armed_again",
    ),
    "06:00 and nobody there": (
        "factory/test_nobody_there.py::test_what_is_due_when_nobody_has_been_there_for_twelve_hours_is_loaded_and_waits_for_a_person",
    ),
    "dark in the middle of a job": (
        "factory/test_power_cut.py::test_dark_in_the_middle_of_a_job_with_memory_kept_only_start_at_the_panel_goes_on",
        "factory/test_power_cut.py::test_dark_in_the_middle_of_a_job_at_a_press_that_forgets_asks_one_question_and_sends_nothing",
    ),
    "cleared PLC memory": (
        "factory/test_power_cut.py::test_dark_in_the_middle_of_a_job_without_the_memory_asks_one_question_and_sends_nothing",
        "factory/test_power_cut.py::test_a_memory_cleared_while_nothing_is_in_the_oven_asks_one_question_about_the_machine",
    ),
}
_TABLES = {"job control": JOB_CONTROL, "mailbox": MAILBOX, "mailbox, OPC UA": MAILBOX_OVER_OPC_UA, "scene": SCENES}


def _rows() -> Iterator[tuple[str, tuple[str, ...]]]:
    for table, rows in _TABLES.items():
        for row, tests in rows.items():
            yield f"{table}: {row}", tests


@cache
def _tests_of(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("tests", [tests for _, tests in _rows()], ids=[row for row, _ in _rows()])
def test_each_conclusion_and_each_scene_has_its_tests(tests: tuple[str, ...]) -> None:
    missing = [test for test in tests if test.partition("::")[2] not in _tests_of(test.partition("::")[0])]
    assert tests
    assert not missing
