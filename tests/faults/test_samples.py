"""The judges of samples and of strangers see each breach in records made by hand; where nothing is wrong they say nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults import samples, strangers
from tests.faults.checker import LOST, UNEXPLAINED
from tests.faults.samples import LATE_MS, Heard, judge


class Records:
    """A temperature of 20 from 1000 on, 21 from 2000 on, both heard; then the gateway goes."""

    def __init__(self, *, stamped: bool = True) -> None:
        self.truths: list[dict[str, Any]] = [
            {"tag": "temperature", "v": 20, "q": "good", "t": 1000, "stamped": stamped},
            {"tag": "temperature", "v": 21, "q": "good", "t": 2000, "stamped": stamped},
        ]
        self.samples: list[dict[str, Any]] = [
            {"v": 1, "t": 1000, "boot": 1, "seq": 1, "values": {"temperature": 20}},
            {"v": 1, "t": 2000, "boot": 1, "seq": 2, "values": {"temperature": 21}},
            {
                "v": 1,
                "t": 9000,
                "boot": 1,
                "seq": 3,
                "values": {"temperature": None},
                "quality": {"temperature": "bad"},
            },
        ]
        self.given: list[dict[str, Any]] = [
            *({"boot": 1, "seq": seq, "t": 1000 * seq} for seq in (1, 2, 3)),
            {"boot": 1, "over": True},
        ]

    def judged(self) -> set[tuple[str, str]]:
        heard = Heard(samples=self.samples, truths=self.truths, given=self.given)
        return {(kind, invariant) for kind, invariant, _ in judge(heard)}


def test_where_nothing_is_wrong_nothing_is_found() -> None:
    assert Records().judged() == set()
    assert Records(stamped=False).judged() == set()


def test_a_sample_that_was_never_heard_is_found_unless_it_is_declared() -> None:
    records = Records()
    del records.samples[1]
    assert records.judged() == {(LOST, "I5")}
    records.samples.append({"v": 1, "boot": 1, "gap": {"from": 2, "to": 2, "count": 1, "values": 1, "reason": "full"}})
    assert records.judged() == set()


def test_a_killed_gateway_may_lose_its_last_moments_and_nothing_before() -> None:
    records = Records()
    records.given.pop()
    records.given[2]["t"] = 2100
    del records.samples[1:]
    assert records.judged() == set()
    records.given[1]["t"] = 500
    assert records.judged() == {(LOST, "I5")}


def test_numbers_that_fall_are_found_but_for_history() -> None:
    records = Records()
    records.samples[0], records.samples[1] = records.samples[1], records.samples[0]
    assert records.judged() == {(UNEXPLAINED, "I5")}
    records.samples[1]["history"] = True
    assert records.judged() == set()


def test_a_number_for_two_messages_is_found() -> None:
    records = Records()
    records.samples.insert(1, records.samples[0] | {"values": {"temperature": 20}, "t": 1001})
    assert records.judged() == {(UNEXPLAINED, "I5")}


def test_a_value_that_the_machine_never_had_is_found() -> None:
    records = Records()
    records.samples[1]["values"]["temperature"] = 22
    assert records.judged() == {(UNEXPLAINED, "I12")}


def test_a_value_that_is_stale_is_found_where_it_has_a_time_of_its_own_at_once() -> None:
    records = Records()
    records.samples[1] = records.samples[1] | {"t": 2100, "values": {"temperature": 20}}
    assert records.judged() == {(UNEXPLAINED, "I12")}


def test_a_value_without_a_time_of_its_own_may_come_a_little_late() -> None:
    records = Records(stamped=False)
    records.samples[1] = records.samples[1] | {"t": 2100, "values": {"temperature": 20}}
    assert records.judged() == set()
    records.samples[1]["t"] = 2000 + LATE_MS + 1
    assert records.judged() == {(UNEXPLAINED, "I12")}


@pytest.mark.parametrize("quality", ["uncertain", "bad"])
def test_what_is_not_good_and_published_as_good_is_found(quality: str) -> None:
    records = Records()
    records.truths[1]["q"] = quality
    assert records.judged() == {(UNEXPLAINED, "I12")}


def test_what_is_uncertain_and_published_so_is_well() -> None:
    records = Records()
    records.truths[1]["q"] = "uncertain"
    records.samples[1]["quality"] = {"temperature": "uncertain"}
    assert records.judged() == set()


def test_a_value_that_nobody_takes_back_is_found() -> None:
    records = Records()
    records.samples[2] = records.samples[2] | {"t": 2010, "values": {"temperature": 21}, "quality": {}}
    assert records.judged() == {(UNEXPLAINED, "I12")}


def test_values_lost_in_a_queue_without_a_word_are_found() -> None:
    records = Records()
    records.truths.insert(0, {"burst": 1})
    records.truths += [
        {"tag": "temperature", "v": 30 + n, "q": "good", "t": 3000, "stamped": True, "in": 1} for n in range(3)
    ]
    for seq, value in ((3, 31), (4, 32)):
        records.samples.insert(-1, {"v": 1, "t": 3000, "boot": 1, "seq": seq, "values": {"temperature": value}})
    records.samples[-1]["seq"] = 5
    assert records.judged() == {(LOST, "I5")}
    gap = {"from": 6, "to": 6, "count": 1, "values": 1, "reason": "lost before they reached the gateway"}
    records.samples.append({"v": 1, "t": 3000, "boot": 1, "seq": 6, "gap": gap})
    assert records.judged() == set()


def test_samples_are_read_from_the_files_of_a_point(tmp_path: Path) -> None:
    assert samples.check(tmp_path) == []
    records = Records()
    records.samples[1]["values"]["temperature"] = 22
    for name in ("samples", "truths", "given"):
        lines = "".join(json.dumps(entry) + "\n" for entry in getattr(records, name))
        (tmp_path / f"{name}.journal").write_text(lines)
    assert [found[:2] for found in samples.check(tmp_path)] == [(UNEXPLAINED, "I12")]


def _stranger(place: Path, *, start_t: float, told: str) -> set[tuple[str, str]]:
    entries = [{"event": "there", "t": 10.0}, {"event": "there", "t": 12.0}, {"event": "gone", "t": 20.0}]
    (place / "strangers.journal").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    (place / "press.journal").write_text(json.dumps({"event": "start", "job": "J-1", "t": start_t}) + "\n")
    (place / "refused-sessions.txt").write_text(told)
    return {(kind, invariant) for kind, invariant, _ in strangers.check(place)}


def test_a_start_at_a_machine_that_is_not_the_trusted_one_is_found(tmp_path: Path) -> None:
    told = "the server's certificate is X: compare it with the one shown at the machine"
    assert _stranger(tmp_path, start_t=25.0, told=told) == set()
    assert _stranger(tmp_path, start_t=15.0, told=told) == {(UNEXPLAINED, "I3")}


def test_a_stranger_whom_nobody_was_told_of_is_found(tmp_path: Path) -> None:
    assert list(strangers.check(tmp_path)) == []
    assert _stranger(tmp_path, start_t=25.0, told="no answer in time") == {(UNEXPLAINED, "I11")}
