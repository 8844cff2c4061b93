"""Runs points side by side, each in a process forked from this one, which has imported everything once."""

import gc
import os
import pickle
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Protocol

from tests.faults.checker import UNEXPLAINED
from tests.faults.scenes import Outcome, Point

POINT_S = 900.0  # real seconds after which a point is stuck
Run = Callable[[Point], Outcome]


class _Done(Protocol):
    def __call__(self, outcome: Outcome) -> object: ...


def run_all(points: Iterable[Point], run: Run, *, workers: int, done: _Done) -> list[Outcome]:
    """Run every point; give the outcomes in the order of the points."""
    gc.collect()
    gc.freeze()  # what is imported is shared with the children instead of copied
    waiting, running = iter(list(points)), dict[int, _Child]()
    outcomes: list[Outcome] = []
    try:
        while True:
            for point in _next(waiting, workers - len(running)):
                child = _Child(point, run)
                running[child.pipe] = child
            if not running:
                return sorted(outcomes, key=lambda outcome: outcome.point.index)
            ready, _, _ = select.select(list(running), [], [], 1.0)
            for pipe in [*ready, *(pipe for pipe, child in running.items() if child.is_late and pipe not in ready)]:
                outcome = running.pop(pipe).outcome()
                outcomes.append(outcome)
                done(outcome)
    finally:
        for child in running.values():
            child.end()
        gc.unfreeze()


def _next(waiting: Iterator[Point], places: int) -> Iterator[Point]:
    for _ in range(places):
        point = next(waiting, None)
        if point is None:
            return
        yield point


def _whole(point: Point, run: Run) -> Outcome:
    """Run a point; what goes wrong with the harness itself is told like any finding."""
    try:
        return run(point)
    except BaseException:  # noqa: BLE001 - it is told as it is
        return Outcome(point=point, findings=[(UNEXPLAINED, "harness", traceback.format_exc())])


class _Child:
    """A process that runs one point and writes its outcome into a pipe."""

    def __init__(self, point: Point, run: Run) -> None:
        self.point = point
        self._began = time.monotonic()
        self.pipe, out = os.pipe()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.setpgid(0, 0)  # so that whatever it starts can be ended with it
                os.close(self.pipe)
                with os.fdopen(out, "wb") as answer:
                    pickle.dump(_whole(point, run), answer)
                code = 0
            finally:
                os._exit(code)
        os.close(out)

    @property
    def is_late(self) -> bool:
        return time.monotonic() - self._began > POINT_S

    def outcome(self) -> Outcome:
        """Read what it wrote; what says nothing is itself a finding."""
        octets = b""
        if not self.is_late:
            with os.fdopen(self.pipe, "rb") as answer:
                octets = answer.read()
        else:
            os.close(self.pipe)
        self.end()
        if octets:
            outcome: Outcome = pickle.loads(octets)
            return outcome
        said = f"the point hung for {POINT_S:g} s" if self.is_late else "the point's own process failed"
        return Outcome(point=self.point, findings=[(UNEXPLAINED, "harness", said)])

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
