"""The oven's retentive memory: what it holds, and a file that keeps it as well as its kind of controller does."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from simulators import keeping
from simulators.oven.settings import Retention


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """The registers marked (R) in the map, and whether the slot's job has moved."""

    boot_count: int = 0
    ack_seq: int = 0
    ack_code: int = 0
    hwm_job: int = 0
    slot_job: int = 0
    job_state: int = 0
    job_reason: int = 0
    target: int = 0
    produced: int = 0
    good: int = 0
    scrap: int = 0
    recipe: int = 0
    crc: int = 0
    order_id: tuple[int, ...] = (0,) * 16
    total_produced: int = 0
    total_good: int = 0
    run_s: float = 0.0
    moved: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Recalled:
    """What is there at boot; `command` is empty where the command block is not retentive."""

    kept: Kept = Kept()
    command: tuple[int, ...] = ()


class RetentiveMemory:
    """Keeps the memory in one file; everything in it is on the disk when `keep` returns."""

    def __init__(self, path: Path, *, retention: Retention, save_every_s: float) -> None:
        self._path = path
        self._retention = retention
        self._save_every_s = save_every_s
        self._saved = Recalled()
        self._saved_at_s: float | None = None

    @property
    def retention(self) -> Retention:
        """Give what is left after a power cut."""
        return self._retention

    def recall(self) -> Recalled:
        """Read what is left."""
        self._saved_at_s = None
        self._saved = Recalled()
        if self._retention is not Retention.LOST and self._path.exists():
            self._saved = _read(json.loads(self._path.read_text(encoding="utf-8")))
        return self._saved

    def erase(self) -> None:
        """Lose everything."""
        self._path.unlink(missing_ok=True)
        self._saved, self._saved_at_s = Recalled(), None

    def keep(self, kept: Kept, command: Sequence[int], *, machine_s: float) -> None:
        """Save the memory if it is time to; the first time after a boot it always is.

        Running seconds alone are no reason to save: they come with the next change.
        """
        memory = Recalled(kept=kept, command=tuple(command))
        if self._retention is Retention.LOST or not self._is_due(memory, machine_s):
            return
        keeping.keep(self._path, json.dumps({"kept": asdict(kept), "command": list(command)}))
        self._saved, self._saved_at_s = memory, machine_s

    def _is_due(self, memory: Recalled, machine_s: float) -> bool:
        if _without_seconds(memory) == _without_seconds(self._saved):
            return False
        lags = self._retention is Retention.LAGGING and self._saved_at_s is not None
        return not lags or machine_s - (self._saved_at_s or 0.0) >= self._save_every_s


def _without_seconds(memory: Recalled) -> Recalled:
    return replace(memory, kept=replace(memory.kept, run_s=0.0))


def _read(saved: dict[str, Any]) -> Recalled:
    fields = {**saved["kept"], "order_id": tuple(saved["kept"]["order_id"])}
    return Recalled(kept=Kept(**fields), command=tuple(saved["command"]))
