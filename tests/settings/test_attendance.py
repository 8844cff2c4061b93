"""Staffed hours and the signature for work without people, as the configuration gives them."""

from datetime import UTC, date, datetime
from pathlib import Path

from gateway.domain.attendance import Attendance
from tests.settings.site import FACTORY, FULL, changed, faults, good


def _attended(tmp_path: Path, site: str = "", machine: str = "") -> Attendance:
    text = changed("calendar: mon-fri 06-22", f"calendar: mon-fri 06-22{site}", FULL)
    text = changed("line: line-1, calendar: mon-fri 08-16", f"line: line-1, calendar: mon-fri 08-16{machine}", text)
    return good(tmp_path, text).attendance("oven-1")


def test_staffed_hours_are_the_sites_else_those_of_the_machines_calendar(tmp_path: Path) -> None:
    evening = datetime(2026, 5, 4, 17, tzinfo=UTC)
    assert not _attended(tmp_path).staffed.is_open(evening)
    found = _attended(tmp_path, site=", staffed: mon-fri 14-22")
    assert found.staffed.is_open(evening)
    assert found.staffed.closed == {date(2026, 12, 24)}
    assert found.cycle_s == {"cure-white": 480, "cure-black": 480}
    assert not found.unattended
    assert _attended(tmp_path, machine=", unattended: {by: plant safety, date: 2026-05-04}").unattended


def test_a_machine_that_would_never_be_started_because_its_jobs_have_no_length_is_named(tmp_path: Path) -> None:
    start = "security: none\n    control: start\n    risk_assessment: {ref: R, by: safety, date: 2026-05-04}"
    text = changed("timezone: Europe/Stockholm", "timezone: Europe/Stockholm\n  staffed: mon-fri 06-16", FACTORY)
    text = changed("security: none", start, text)
    (fault,) = faults(tmp_path, text)
    assert "families.pla-white.cycle_s: missing; a job that would end when nobody is there is not started" in fault
    signed = changed(start, f"{start}\n    unattended: {{by: safety, date: 2026-05-04}}", text)
    assert good(tmp_path, signed).attendance("press-1").covers_any
