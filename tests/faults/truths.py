"""What the machine of a wired scene really measured, written down before anybody can read it: one line a change.

A line is `{"tag", "v", "q", "t", "stamped"}`: value, quality (good, uncertain or bad), the time of day in milliseconds,
and whether that time comes with the value from the machine. The judge compares what was published with it (`samples.py`).
"""

import math
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

from asyncua.common.node import Node

from simulators.oven.machine import Oven
from simulators.press.live import LivePress
from tests.faults.world import Journal

BURSTING = "temperature"  # the tag that a burst is counted by
CLOCK_STEP_MS = 60_000  # a machine's time that goes on by more has been set
MANY = 500  # further values of a press
_PRESS = "nsu=urn:kvot:simulator:press;s=Press"
PRESS_TAGS: Mapping[str, str] = {
    "temperature": f"{_PRESS}.Temperature",
    "pressure": f"{_PRESS}.Pressure",
    "cycles": f"{_PRESS}.Cycles",
    "state": f"{_PRESS}.State",
}
EXTRA_TAGS: Mapping[str, str] = {f"extra{number}": f"{_PRESS}.Extra{number}" for number in range(MANY)}
OVEN_TAGS: Mapping[str, tuple[str, str]] = {  # place and type
    "temperature": ("holding:200", "float32"),
    "power": ("holding:202", "uint16"),
    "energy": ("holding:204", "uint32"),
    "produced": ("holding:30", "uint32"),
    "state": ("holding:28", "uint16"),
}
_SEVERITIES = ("good", "uncertain", "bad", "bad")


class Truths:
    """Writes down what a press or an oven measures, each change of a value once."""

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self._last: dict[str, tuple[Any, str]] = {}
        self._times: dict[str, int] = {}
        self._press: LivePress | None = None
        self._tags: dict[Node, str] = {}
        self._burst: int | None = None

    def watch(self) -> None:
        """Write down what every press and oven of this process shows, from its first moment on."""
        write, show = LivePress._write, Oven._show

        async def written(press: LivePress, values: Any) -> None:
            self._note_written(press, values)
            await write(press, values)

        def shown(oven: Oven) -> None:
            self._note_measured(oven)
            show(oven)
            self._note("state", oven._status[28], "good", _now_ms())

        LivePress._write = written  # type: ignore[method-assign, assignment]
        Oven._show = shown  # type: ignore[method-assign, assignment]

    @contextmanager
    def burst(self, number: int) -> Iterator[None]:
        """Mark what is measured within the block as made at once."""
        self._journal.write(burst=number)
        self._burst = number
        try:
            yield
        finally:
            self._burst = None

    def gone(self, number: int) -> None:
        """Note that a further value is not there any more."""
        self._note(f"extra{number}", None, "bad", _now_ms())

    def _note_written(self, press: LivePress, values: Any) -> None:
        if press is not self._press:
            self._press, nodes = press, press._nodes
            self._tags = {
                nodes.temperature: "temperature",
                nodes.pressure: "pressure",
                nodes.cycles: "cycles",
                nodes.state: "state",
                **{node: f"extra{number}" for number, node in enumerate(nodes.extras)},
            }
            for tag in self._tags.values():  # what its nodes are built with
                self._note(tag, "" if tag == "state" else 0, "good", _now_ms())
        for node, value in values:
            if node in self._tags:
                self._note_press(self._tags[node], value)

    def _note_measured(self, oven: Oven) -> None:
        measures, plc = oven._measures, oven.plc
        assert plc is not None
        values = {
            "temperature": struct.unpack(">f", struct.pack(">f", measures.temperature_c))[0],
            "power": round(10 * measures.power_kw),
            "energy": int(measures.energy_wh),
            "produced": plc.kept.total_produced,
        }
        for tag, value in values.items():
            self._note(tag, value, "good", _now_ms())

    def _note_press(self, tag: str, value: Any) -> None:
        shown, status = value.Value.Value if value.Value is not None else None, value.StatusCode
        quality = _SEVERITIES[(0 if status is None else status.value) >> 30]
        if shown is None or isinstance(shown, list) or (isinstance(shown, float) and math.isnan(shown)):
            shown, quality = None, "bad"
        stamp = value.SourceTimestamp
        t_ms = _now_ms() if stamp is None else round(stamp.replace(tzinfo=UTC).timestamp() * 1000)
        self._note(tag, shown, quality, t_ms, stamped=stamp is not None)

    def _note(self, tag: str, value: Any, quality: str, t_ms: int, *, stamped: bool = False) -> None:
        goes_on = 0 <= t_ms - self._times.get(tag, t_ms) < CLOCK_STEP_MS
        self._times[tag] = t_ms
        if self._last.get(tag) != (value, quality) or not goes_on:
            self._last[tag] = (value, quality)
            more = {"in": self._burst} if tag == BURSTING and self._burst is not None else {}
            self._journal.write(tag=tag, v=value, q=quality, t=t_ms, stamped=stamped, **more)


def _now_ms() -> int:
    return round(time.time() * 1000)
