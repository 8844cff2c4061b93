"""The key figures are those of ISO 22400-2, and None where nothing can be said."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.domain import kpis
from gateway.domain.kpis import Element, Made, Record

T0 = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def watched(*looks: tuple[float, str, bool | None]) -> Record:
    record = kpis.begin(T0)
    for seconds, state, has_job in looks:
        record = kpis.see(record, state=state, has_job=has_job, mode=None, at=at(seconds))
    return record


def made(**changes: Any) -> Made:
    fields: dict[str, Any] = {
        "job_id": "LUND-1-1",
        "produced": 10,
        "good": 9,
        "pieces_per_cycle": 1,
        "busy_s": 100.0,
        "planned_s": 8.0,
        "is_first": True,
    }
    return Made(**fields | changes)


def test_time_belongs_to_what_the_machine_was_doing_and_idle_time_is_not_planned() -> None:
    record = watched(
        (100, "not_executing", True), (120, "executing", True), (220, "not_available", None), (250, "executing", True),
        (250, "not_executing", False), (300, "not_available", None), (350, "not_executing", False),
    )  # fmt: skip
    assert record.seconds[Element.IDLE] == 200
    assert record.seconds[Element.DELAY] == 20
    assert record.seconds[Element.PRODUCTION] == 100
    assert record.seconds[Element.DOWN] == 30
    assert kpis.figures(record)["availability"] == pytest.approx(100 / 150, abs=1e-4)


def test_oee_is_availability_times_effectiveness_times_quality() -> None:
    record = watched((0, "executing", True), (100, "not_executing", True), (125, "not_executing", False))
    told = kpis.figures(kpis.count(record, made(), seen=True))
    assert told["availability"] == 0.8
    assert told["effectiveness"] == 0.8
    assert told["quality"] == 0.9
    assert told["oee"] == pytest.approx(0.8 * 0.8 * 0.9)
    assert (told["produced"], told["good"], told["scrap"], told["jobs"]) == (10, 9, 1, 1)
    assert told["cycle_time_s"] == 10.0


def test_without_a_planned_time_for_all_there_is_no_effectiveness_and_no_oee() -> None:
    record = kpis.count(watched((0, "executing", True), (100, "idle", False)), made(), seen=True)
    record = kpis.count(record, made(planned_s=None), seen=True)
    told = kpis.figures(record)
    assert told["effectiveness"] is None
    assert told["oee"] is None
    assert told["quality"] == 0.9


def test_nothing_is_said_of_a_machine_that_did_nothing() -> None:
    told = kpis.figures(watched((50, "not_executing", False)))
    assert [told[name] for name in ("availability", "effectiveness", "quality", "oee", "cycle_time_s", "last_job")] == [
        None
    ] * 6


def test_a_correction_changes_the_counts_and_is_no_further_job() -> None:
    record = kpis.count(kpis.begin(T0), made(), seen=True)
    record = kpis.count(record, made(produced=0, good=-2, is_first=False), seen=True)
    told = kpis.figures(record)
    assert (told["jobs"], told["produced"], told["good"]) == (1, 10, 7)


def test_running_that_nobody_saw_is_taken_from_the_result() -> None:
    record = kpis.count(kpis.begin(T0), made(), seen=False)
    assert record.seconds[Element.PRODUCTION] == 100


def test_a_clock_that_goes_back_takes_no_time_away() -> None:
    record = watched((100, "executing", True), (90, "executing", True), (110, "executing", True))
    assert record.seconds[Element.PRODUCTION] == 20


def test_the_last_job_has_figures_of_its_own() -> None:
    told = kpis.figures(kpis.count(kpis.begin(T0), made(pieces_per_cycle=2, planned_s=16.0), seen=True))
    assert told["last_job"] == {
        "job": "LUND-1-1",
        "produced": 10,
        "good": 9,
        "busy_s": 100.0,
        "cycle_time_s": 20.0,
        "effectiveness": 0.8,
        "quality": 0.9,
    }
