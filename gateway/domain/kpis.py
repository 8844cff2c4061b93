"""Key figures of a machine by ISO 22400-2: time elements from its states, counts from its results."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from statistics import median

CYCLES_KEPT = 200  # jobs whose mean cycle times make the median


class Element(StrEnum):
    """What a machine's time went into. A machine is planned to be busy while it has a job."""

    PRODUCTION = "production"  # APT: executing
    DELAY = "delay"  # ADET: it has a job and does not execute it
    SETUP = "setup"  # AUST
    DOWN = "down"  # ADOT: it has a job and is not available
    IDLE = "idle"  # nothing to do: not part of the planned busy time


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A result: pieces beyond what an earlier result of the same job said, in `busy_s` seconds of running.

    `planned_s` is the planned time of one cycle, None where nobody planned it.
    """

    job_id: str
    produced: int
    good: int
    pieces_per_cycle: int
    busy_s: float | None
    planned_s: float | None
    is_first: bool  # result of its job

    @property
    def cycles(self) -> int:
        """Give the cycles that made the pieces."""
        return math.ceil(self.produced / self.pieces_per_cycle)


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What one machine did since a moment. `planned_s` is the planned time of the pieces that have one."""

    since: datetime
    at: datetime
    element: Element = Element.IDLE
    has_job: bool = False
    seconds: Mapping[Element, float] = field(default_factory=dict)
    jobs: int = 0
    produced: int = 0
    good: int = 0
    planned_s: float = 0.0
    planned_pieces: int = 0
    cycle_times_s: tuple[float, ...] = ()
    last: Made | None = None


def begin(at: datetime, *, since: datetime | None = None) -> Record:
    """Begin a record at a time; results are counted since an earlier one where that is given."""
    return Record(since=since or at, at=at)


def see(record: Record, *, state: str, has_job: bool | None, mode: str | None, at: datetime) -> Record:
    """Note how the machine is now; the time since the last look belongs to what it was then.

    `state` is a word of OPC 40001-1; `has_job` None where the machine cannot be asked: what was true stays.
    """
    spent_s = max(0.0, (at - record.at).total_seconds())
    seconds = {**record.seconds, record.element: record.seconds.get(record.element, 0.0) + spent_s}
    holds = record.has_job if has_job is None else has_job
    return replace(record, at=at, seconds=seconds, has_job=holds, element=_element(state, mode, has_job=holds))


def count(record: Record, made: Made, *, seen: bool) -> Record:
    """Add a result. `seen` False: its running was before the record knew the machine, and is added too."""
    seconds = dict(record.seconds)
    if not seen and made.busy_s is not None:
        seconds[Element.PRODUCTION] = seconds.get(Element.PRODUCTION, 0.0) + made.busy_s
    times = record.cycle_times_s
    if made.busy_s is not None and made.is_first and made.cycles > 0:
        times = (*times, made.busy_s / made.cycles)[-CYCLES_KEPT:]
    planned = made.planned_s is not None
    return replace(
        record,
        seconds=seconds,
        jobs=record.jobs + made.is_first,
        produced=record.produced + made.produced,
        good=record.good + made.good,
        planned_s=record.planned_s + (made.cycles * made.planned_s if made.planned_s is not None else 0.0),
        planned_pieces=record.planned_pieces + (made.produced if planned else 0),
        cycle_times_s=times,
        last=made if made.is_first else record.last,
    )


def figures(record: Record) -> dict[str, object]:
    """Give the figures as they are published; None where a divisor is missing.

    availability = APT / PBT, effectiveness = PRI * PQ / APT, quality = GQ / PQ, OEE = their product
    (ISO 22400-2). Effectiveness needs a planned time for everything produced.
    """
    spent = {element: record.seconds.get(element, 0.0) for element in Element}
    busy_s = sum(spent.values()) - spent[Element.IDLE]
    production_s = spent[Element.PRODUCTION]
    availability = _ratio(production_s, busy_s)
    is_planned = record.produced > 0 and record.planned_pieces == record.produced
    effectiveness = _ratio(record.planned_s, production_s) if is_planned else None
    quality = _ratio(record.good, record.produced)
    parts = (availability, effectiveness, quality)
    return {
        "since": _ms(record.since),
        "t": _ms(record.at),
        "seconds": {element.value: round(value, 1) for element, value in spent.items()},
        "availability": _rounded(availability),
        "effectiveness": _rounded(effectiveness),
        "quality": _rounded(quality),
        "oee": None if None in parts else _rounded(math.prod(part for part in parts if part is not None)),
        "jobs": record.jobs,
        "produced": record.produced,
        "good": record.good,
        "scrap": record.produced - record.good,
        "cycle_time_s": round(median(record.cycle_times_s), 2) if record.cycle_times_s else None,
        "last_job": None if record.last is None else _job(record.last),
    }


def _element(state: str, mode: str | None, *, has_job: bool) -> Element:
    match state:
        case "executing":
            return Element.PRODUCTION
        case "not_available" | "out_of_service":
            return Element.DOWN if has_job else Element.IDLE
        case _ if mode == "setup":
            return Element.SETUP
        case _:
            return Element.DELAY if has_job else Element.IDLE


def _job(made: Made) -> dict[str, object]:
    cycle_s = made.busy_s / made.cycles if made.busy_s is not None and made.cycles else None
    planned = cycle_s and made.planned_s is not None
    return {
        "job": made.job_id,
        "produced": made.produced,
        "good": made.good,
        "busy_s": None if made.busy_s is None else round(made.busy_s, 1),
        "cycle_time_s": None if cycle_s is None else round(cycle_s, 2),
        "effectiveness": _rounded(made.planned_s / cycle_s) if planned and made.planned_s and cycle_s else None,
        "quality": _rounded(_ratio(made.good, made.produced)),
    }


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
