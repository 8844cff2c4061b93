"""The mailbox protocol, searched whole: no job is made twice or lost, and each rule left out is missed."""

import pytest

from tests.drivers.mailbox_search import Rules, Setting, search

_CERTAIN = {
    "command registers zeroed": Setting(),
    "command registers kept": Setting(command_kept=True),
    "power lost twice on both sides": Setting(crashes=2, cuts=2, command_kept=True, jobs=1),
    "late commits and jobs made elsewhere": Setting(late=True, reassigns=True, command_kept=True),
}
_ASKING = {
    "memory lags behind": Setting(lagging=True, command_kept=True, reassigns=True),
    "memory lags behind, power lost twice": Setting(lagging=True, cuts=2, crashes=0, jobs=1),
    "an operator clears the slot": Setting(clears=1, late=True, reassigns=True),
}


@pytest.mark.parametrize("setting", _CERTAIN.values(), ids=_CERTAIN)
def test_each_job_is_made_once_and_nobody_is_asked(setting: Setting) -> None:
    report = search(setting)
    assert report.states > 1000
    assert (report.wrong, report.lost, report.asked, report.stuck) == (None, None, None, 0)


@pytest.mark.parametrize("setting", _ASKING.values(), ids=_ASKING)
def test_where_memory_proves_nothing_a_person_is_asked_and_nothing_is_made_twice(setting: Setting) -> None:
    report = search(setting)
    assert (report.wrong, report.lost, report.stuck) == (None, None, 0)
    assert report.asked is not None


_MISSED = {
    "the PLC restarts a running job after boot": (Setting(), Rules(interrupted_after_boot=False)),
    "no high-water mark, and an operator clears": (Setting(clears=1), Rules(mark=False)),
    "a changed BOOT_CNT is ignored while memory lags": (Setting(lagging=True), Rules(boot_as_at_intent=False)),
    "BOOT_CNT itself lags": (Setting(lagging=True, boot_saved=False, cuts=2, jobs=1), Rules()),
    "a pending command is not taken back": (Setting(reassigns=True), Rules(takes_back=False)),
    "the withdrawn payload is left for a late commit": (Setting(late=True, reassigns=True), Rules(wipes=False)),
    "commit and payload together, unchecked": (Setting(), Rules(commits_alone=False, crc=False)),
    "late commits, unchecked payloads": (Setting(late=True), Rules(crc=False)),
}


@pytest.mark.parametrize(("setting", "rules"), _MISSED.values(), ids=_MISSED)
def test_without_the_rule_a_job_is_made_twice_or_wrongly(setting: Setting, rules: Rules) -> None:
    assert search(setting, rules).wrong is not None


def test_clearing_before_the_result_is_stored_loses_it() -> None:
    report = search(Setting(), Rules(stored_before_clear=False))
    assert report.asked is not None
    assert report.asked[-1] == "asks: vanished"
