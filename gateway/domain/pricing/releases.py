"""What becomes of the open run now: it waits, starts, or is held."""

from gateway.domain.pricing.inputs import Release
from gateway.domain.pricing.reasons import About, Param, Reason
from gateway.domain.pricing.result import ReleaseDecision, ReleaseKind
from gateway.domain.pricing.schedule import Schedule, moment

_NOW = ReleaseDecision(kind=ReleaseKind.NOW)


def decide_release(schedule: Schedule) -> tuple[ReleaseDecision, tuple[Reason, ...]]:
    """Decide about the open run. Full always starts, and no promise is let pass its latest start."""
    run, seen, fill = schedule.inputs.rules.run, schedule.inputs.seen, schedule.fill
    if seen.held is not None:
        return ReleaseDecision(kind=ReleaseKind.HOLD), (_reason("release_held", why=seen.held),)
    if fill == 0:
        return ReleaseDecision(kind=ReleaseKind.WAIT), (_reason("release_empty"),)
    if fill >= run.places:
        return _NOW, (_reason("release_full", fill=fill, places=run.places),)
    if run.release is Release.AT_ONCE:
        return _NOW, (_reason("release_at_once"),)
    if schedule.latest is not None and schedule.latest <= schedule.now:
        return _NOW, (_reason("release_latest_start", start=moment(schedule.latest)), *_alarm(schedule))
    if schedule.reserved and (schedule.fires(fill) or schedule.planned_start <= schedule.now):
        until = schedule.held if schedule.latest is None else min(schedule.held, schedule.latest)
        told = _reason("release_waits_quotes", reserved=schedule.reserved, until=moment(until))
        return ReleaseDecision(kind=ReleaseKind.WAIT, until=moment(until)), (told,)
    if run.release is Release.THRESHOLD:
        return _by_threshold(schedule)
    if schedule.planned_start <= schedule.now:
        return _NOW, (_reason("release_window_over", hours=schedule.figures.window_h), *_alarm(schedule))
    start = moment(schedule.planned_start)
    waits = _reason("release_waits_start", start=start, fill=fill)
    return ReleaseDecision(kind=ReleaseKind.WAIT, until=start), (waits, *_alarm(schedule))


def _by_threshold(schedule: Schedule) -> tuple[ReleaseDecision, tuple[Reason, ...]]:
    run, fill = schedule.inputs.rules.run, schedule.fill
    until = None if schedule.latest is None else moment(schedule.latest)
    if fill < run.threshold:
        told = _reason("release_waits_threshold", fill=fill, threshold=run.threshold)
        return ReleaseDecision(kind=ReleaseKind.WAIT, until=until), (told,)
    reached = _reason("release_threshold", fill=fill, threshold=run.threshold)
    if schedule.earns(fill):
        return _NOW, (reached,)
    asks = ReleaseDecision(kind=ReleaseKind.WAIT, until=until, needs_approval=True)
    return asks, (reached, *_alarm(schedule))


def _alarm(schedule: Schedule) -> tuple[Reason, ...]:
    """Say that the run does not earn its set-up, if so."""
    if schedule.earns(schedule.fill):
        return ()
    needed = schedule.figures.break_even_units
    if needed is None:
        return (_reason("never_breaks_even"),)
    return (_reason("below_break_even", fill=schedule.fill, needed=needed),)


def _reason(code: str, **params: Param) -> Reason:
    return Reason(about=About.RELEASE, code=code, params=params)
