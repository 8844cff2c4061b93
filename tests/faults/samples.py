"""The judge of samples: what the broker heard of a machine, beside what that machine really measured.

It knows nothing of the gateway's code either; it reads the journals of the broker, of the machine (`truths.py`) and of
what the gateway was given, all lines of JSON.
"""

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.checker import LOST, UNEXPLAINED, Finding, read_journal

LATE_MS = 4000  # a value may be published so long after it was replaced: an answer on its way, a busy computer
SPAN_MS = 15  # a value with a time of its own: what one message rounds
EARLY_MS = 60  # and so long before: values of one moment are one message
WINDOW_MS = 1500  # a killed gateway may lose what it was given that shortly before (declared: 200 ms; a busy computer)


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """What is known of the samples of one point. `ended` are the boots that came to an orderly end."""

    samples: Sequence[Mapping[str, Any]]
    truths: Sequence[Mapping[str, Any]]
    given: Sequence[Mapping[str, Any]]

    @property
    def ended(self) -> frozenset[int]:
        """Give the boots that had the time to send everything."""
        return frozenset(entry["boot"] for entry in self.given if entry.get("over"))


def check(directory: Path) -> list[Finding]:
    """Judge the samples of a point by the files in its directory; nothing where it has none."""
    if not (directory / "truths.journal").exists():
        return []
    heard = Heard(
        samples=read_journal(directory / "samples.journal"),
        truths=read_journal(directory / "truths.journal"),
        given=read_journal(directory / "given.journal"),
    )
    return list(judge(heard))


def judge(heard: Heard) -> Iterator[Finding]:
    """Give every breach of I5 and I12 that these records show."""
    yield from _complete(heard)
    yield from _in_order(heard)
    yield from _overflows(heard)
    yield from _true(heard)
    yield from _taken_back(heard)


def _complete(heard: Heard) -> Iterator[Finding]:
    """I5: what the gateway was given was heard, or declared; a killed one may lose its last moments."""
    told: dict[int, set[int]] = defaultdict(set)
    for sample in heard.samples:
        if (gap := sample.get("gap")) is not None:
            told[sample["boot"]].update(range(gap["from"], gap["to"] + 1))
        if "seq" in sample:
            told[sample["boot"]].add(sample["seq"])
    given: dict[int, dict[int, int]] = defaultdict(dict)
    for entry in heard.given:
        if "seq" in entry:
            given[entry["boot"]][entry["seq"]] = entry["t"]
    for boot, seqs in given.items():
        missing = [seq for seq in seqs if seq not in told[boot]]
        if boot not in heard.ended:
            last_ms = max(seqs.values())
            tail = max(told[boot], default=0)
            missing = [seq for seq in missing if seq < tail or seqs[seq] < last_ms - WINDOW_MS]
        if missing:
            yield LOST, "I5", f"samples {missing[:5]} of boot {boot} were neither heard nor declared"


def _in_order(heard: Heard) -> Iterator[Finding]:
    """I5: numbers rise where a live sample is heard for the first time, and one number is one message."""
    last: dict[int, int] = defaultdict(int)
    known: dict[tuple[int, int], str] = {}
    for sample in heard.samples:
        if "seq" not in sample:
            continue
        key, body = (sample["boot"], sample["seq"]), _body(sample)
        if known.setdefault(key, body) != body:
            yield UNEXPLAINED, "I5", f"sample {key} was told in two ways"
        if not sample.get("history"):
            if sample["seq"] < last[sample["boot"]]:
                yield UNEXPLAINED, "I5", f"sample {key} came live after {last[sample['boot']]}"
            last[sample["boot"]] = max(last[sample["boot"]], sample["seq"])


def _body(sample: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in sample.items() if name != "history"}, sort_keys=True)


def _overflows(heard: Heard) -> Iterator[Finding]:
    """I5: where only a part of many values came that were made at once, the rest is declared."""
    for burst in [entry for entry in heard.truths if "burst" in entry]:
        made = [entry["v"] for entry in heard.truths if entry.get("in") == burst["burst"]]
        received = [
            sample
            for sample in heard.samples
            if sample.get("values", {}).get("temperature") in made and "seq" in sample
        ]
        boots = {sample["boot"] for sample in received}
        values = {sample["values"]["temperature"] for sample in received}
        declared = any(sample["boot"] in boots and sample.get("gap", {}).get("values") for sample in heard.samples)
        if len(values) > 1 and len(values) < len(set(made)) and not declared:
            yield LOST, "I5", f"{len(values)} of {len(set(made))} values came, and no gap says that some were lost"


def _true(heard: Heard) -> Iterator[Finding]:
    """I12: what is published as good was so at the machine, at that time; what is uncertain is no better there."""
    truth = _intervals(heard.truths)
    for sample in heard.samples:
        qualities = sample.get("quality", {})
        for tag, value in sample.get("values", {}).items():
            quality = qualities.get(tag, "good")
            if quality == "bad":
                continue
            if not any(
                known == value and (how == quality or (how, quality) == ("good", "uncertain"))
                for known, how in truth[tag].at(sample["t"])
            ):
                text = f"{tag} {value!r} was published as {quality} at {sample['t']}, and the machine never had it then"
                yield UNEXPLAINED, "I12", f"{text} (sample {sample['boot']}/{sample['seq']})"
                return


def _taken_back(heard: Heard) -> Iterator[Finding]:
    """I12: a gateway that goes leaves no value behind that looks good."""
    last: dict[tuple[int, str], tuple[int, str]] = {}
    for sample in heard.samples:
        for tag in sample.get("values", {}):
            before = last.get((sample["boot"], tag), (0, ""))
            last[sample["boot"], tag] = max(before, (sample["seq"], sample.get("quality", {}).get(tag, "good")))
    for (boot, tag), (_, quality) in last.items():
        if boot in heard.ended and quality != "bad":
            yield UNEXPLAINED, "I12", f"{tag} was left {quality} at the end of boot {boot}"


class _History:
    """The values of one tag and the times from which on each held."""

    def __init__(self, entries: Sequence[Mapping[str, Any]]) -> None:
        ordered = sorted(entries, key=lambda entry: int(entry["t"]))
        self._begins: list[int] = [entry["t"] for entry in ordered]
        self._begins[:1] = [0] * bool(ordered)  # a node has its first value before anybody watches it
        self._values = [(entry["v"], entry["q"]) for entry in ordered]
        self._late_ms = [SPAN_MS if entry["stamped"] else LATE_MS for entry in ordered]

    def at(self, t_ms: int) -> list[tuple[Any, str]]:
        """Give the values that may rightly be published with that time."""
        first = max(0, bisect_right(self._begins, t_ms - LATE_MS) - 1)
        last = bisect_right(self._begins, t_ms + EARLY_MS)
        ends = [*self._begins[first + 1 :], t_ms + EARLY_MS]
        return [
            self._values[at]
            for at, end in zip(range(first, last), ends, strict=False)
            if end + self._late_ms[at] >= t_ms
        ]


def _intervals(truths: Sequence[Mapping[str, Any]]) -> dict[str, _History]:
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in truths:
        if "tag" in entry:
            found[entry["tag"]].append(entry)
    made: dict[str, _History] = defaultdict(lambda: _History(()))
    made.update((tag, _History(entries)) for tag, entries in found.items())
    return made
