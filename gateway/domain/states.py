"""The states of order lines, jobs and runs, and every move that is allowed between them.

The pairs are plain facts: `ledger/schema.py` stores them, and the database refuses every other move.
What something may begin as is in the `*_FIRST` sets.
"""

from enum import StrEnum


class LineState(StrEnum):
    """What has become of one order line."""

    RECEIVED = "received"
    PLANNED = "planned"
    IN_PRODUCTION = "in_production"
    MADE = "made"
    SHIPPED = "shipped"
    NOT_DUE = "not_due"  # unpaid or on hold in the shop
    QUARANTINED = "quarantined"  # not understood, set aside
    NOT_MADE = "not_made"  # freight, gift card, stock goods
    CANCELLED = "cancelled"


class JobState(StrEnum):
    """How far one job has come at its machine."""

    WAITING = "waiting"
    RELEASED = "released"
    IN_DOUBT = "in_doubt"  # an intent is committed, its outcome is not known
    ACCEPTED = "accepted"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    COMPLETED = "completed"
    ABORTED = "aborted"
    CANCELLED = "cancelled"


class RunState(StrEnum):
    """How far one run has come."""

    COLLECTING = "collecting"
    COMMITTED = "committed"  # it holds a promise, so it has a latest start
    RELEASING = "releasing"
    SETUP = "setup"
    FIRST_PIECE = "first_piece"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"


LineMove = tuple[LineState, LineState]
JobMove = tuple[JobState, JobState]
RunMove = tuple[RunState, RunState]

LINE_FIRST: frozenset[LineState] = frozenset(
    {
        LineState.RECEIVED,
        LineState.NOT_DUE,
        LineState.QUARANTINED,
        LineState.NOT_MADE,
        LineState.CANCELLED,
    }
)
JOB_FIRST: frozenset[JobState] = frozenset({JobState.WAITING})
RUN_FIRST: frozenset[RunState] = frozenset({RunState.COLLECTING})

LINE_MOVES: frozenset[LineMove] = frozenset(
    {
        (LineState.RECEIVED, LineState.PLANNED),
        (LineState.PLANNED, LineState.RECEIVED),  # unplanned before release
        (LineState.PLANNED, LineState.IN_PRODUCTION),
        (LineState.IN_PRODUCTION, LineState.MADE),
        (LineState.MADE, LineState.SHIPPED),
        (LineState.RECEIVED, LineState.NOT_DUE),
        (LineState.NOT_DUE, LineState.RECEIVED),
        (LineState.RECEIVED, LineState.QUARANTINED),
        (LineState.QUARANTINED, LineState.RECEIVED),
        (LineState.RECEIVED, LineState.NOT_MADE),
        (LineState.QUARANTINED, LineState.NOT_MADE),
        (LineState.RECEIVED, LineState.CANCELLED),
        (LineState.PLANNED, LineState.CANCELLED),
        (LineState.NOT_DUE, LineState.CANCELLED),
        (LineState.QUARANTINED, LineState.CANCELLED),
        (LineState.IN_PRODUCTION, LineState.CANCELLED),  # a person decides: what is made goes to the shelf
        (LineState.MADE, LineState.CANCELLED),  # likewise, before it has left
    }
)

JOB_MOVES: frozenset[JobMove] = frozenset(
    {
        (JobState.WAITING, JobState.RELEASED),
        (JobState.WAITING, JobState.CANCELLED),
        (JobState.RELEASED, JobState.IN_DOUBT),
        (JobState.RELEASED, JobState.CANCELLED),
        (JobState.IN_DOUBT, JobState.RELEASED),  # only when its command is settled: absent, refused or person
        (JobState.IN_DOUBT, JobState.ACCEPTED),
        (JobState.IN_DOUBT, JobState.RUNNING),  # this and the next five: seen late
        (JobState.IN_DOUBT, JobState.INTERRUPTED),
        (JobState.IN_DOUBT, JobState.COMPLETED),
        (JobState.IN_DOUBT, JobState.ABORTED),
        (JobState.ACCEPTED, JobState.COMPLETED),
        (JobState.ACCEPTED, JobState.ABORTED),
        (JobState.ACCEPTED, JobState.RUNNING),
        (JobState.ACCEPTED, JobState.CANCELLED),  # the machine's answer, or a proven withdrawal
        (JobState.RUNNING, JobState.INTERRUPTED),
        (JobState.INTERRUPTED, JobState.RUNNING),
        (JobState.RUNNING, JobState.COMPLETED),
        (JobState.RUNNING, JobState.ABORTED),
        (JobState.INTERRUPTED, JobState.COMPLETED),
        (JobState.INTERRUPTED, JobState.ABORTED),
    }
)

RUN_MOVES: frozenset[RunMove] = frozenset(
    {
        (RunState.COLLECTING, RunState.COMMITTED),
        (RunState.COLLECTING, RunState.RELEASING),
        (RunState.COLLECTING, RunState.CANCELLED),
        (RunState.COMMITTED, RunState.RELEASING),
        (RunState.COMMITTED, RunState.CANCELLED),
        (RunState.RELEASING, RunState.SETUP),
        (RunState.RELEASING, RunState.FIRST_PIECE),
        (RunState.RELEASING, RunState.RUNNING),
        (RunState.RELEASING, RunState.CANCELLED),
        (RunState.SETUP, RunState.FIRST_PIECE),
        (RunState.SETUP, RunState.RUNNING),
        (RunState.FIRST_PIECE, RunState.RUNNING),
        (RunState.RUNNING, RunState.FINISHED),
    }
)
