"""From the last good unit to the customer: when goods leave, when they arrive, and back."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Final

from gateway.domain.calendars import Axis, Calendar
from gateway.domain.pricing.inputs import Shipping

_HOUR_S: Final = 3600.0
_MINUTE_S: Final = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """The way of goods over a bounded span of days; all moments are timestamps (s).

    With a cut-off goods leave at `departures` (working days only) and arrive at `arrivals`, never on a day
    off. Without one they leave when they are ready.
    """

    calendar: Calendar
    hours: float
    departures: tuple[float, ...] | None
    arrivals: tuple[float, ...]
    begin: float
    end: float

    def arrival(self, ready: float) -> float:
        """Give when goods that are ready now reach the customer; a promise is rounded up to this."""
        if self.departures is None:
            return _on_working_day(self.calendar, _up_to_minute(ready + self.hours * _HOUR_S))
        index = bisect_left(self.departures, ready)
        return self.arrivals[index] if index < len(self.arrivals) else self.end

    def ready_by(self, promise: float) -> float:
        """Give the last moment at which goods may become ready and still arrive by the promise."""
        if self.departures is None:
            return promise - self.hours * _HOUR_S
        index = bisect_right(self.arrivals, promise) - 1
        return self.departures[index] if index >= 0 else self.begin

    def arrival_from(self, at: float) -> float:
        """Give the first arrival that is not before this moment."""
        if self.departures is None:
            return _on_working_day(self.calendar, _up_to_minute(at))
        index = bisect_left(self.arrivals, at)
        return self.arrivals[index] if index < len(self.arrivals) else self.end

    def sooner(self, arrival: float) -> float | None:
        """Give the arrival before this one, None where goods leave at any time."""
        if self.departures is None:
            return None
        index = bisect_left(self.arrivals, arrival) - 1
        return self.arrivals[index] if index >= 0 else None


def way(shipping: Shipping, calendar: Calendar, axis: Axis) -> Way:
    """Lay out the departures over the span of an axis."""
    departures, arrivals = (
        (None, ()) if shipping.cutoff is None else _departures(calendar, shipping.cutoff, shipping.hours, axis)
    )
    return Way(
        calendar=calendar,
        hours=shipping.hours,
        departures=departures,
        arrivals=arrivals,
        begin=axis.begin,
        end=axis.end,
    )


@lru_cache(maxsize=256)
def _departures(
    calendar: Calendar, cutoff: time, hours: float, axis: Axis
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    departures: list[float] = []
    day = datetime.fromtimestamp(axis.begin, calendar.zone).date()
    while (departure := calendar.local(day, cutoff).timestamp()) < axis.end:
        if calendar.is_working_day(day):
            departures.append(departure)
        day += timedelta(days=1)
    return tuple(departures), tuple(_on_working_day(calendar, one + hours * _HOUR_S) for one in departures)


def _on_working_day(calendar: Calendar, at: float) -> float:
    """Move a moment on a day off to the same time of the next working day."""
    return calendar.add_working_days(datetime.fromtimestamp(at, UTC), 0).timestamp()


def _up_to_minute(at: float) -> float:
    return -(-at // _MINUTE_S) * _MINUTE_S
