"""Machines in the ledger: the level in force, who armed it, what holds it, and what it is concerned with."""

from collections.abc import Mapping
from datetime import datetime

from drivers.base import CommandKind
from gateway.domain.dispatch import OpenCommand, Standing, Work
from gateway.domain.exceptions import Kind
from gateway.domain.machines import Arming, Lapse, Level, in_force
from gateway.domain.states import JobState
from gateway.errors import RefusedError
from gateway.ledger import events, facts, files, recovery
from gateway.ledger.database import Tx, ring
from gateway.ledger.exceptions import is_asked, open_exception, settle
from gateway.ledger.job_states import DISOWNED
from gateway.ledger.jobs import doubts, refusals
from gateway.ledger.sql import Row, change, row, rows
from gateway.ledger.times import to_text

_AT_WORK = (
    "SELECT job_id, state FROM jobs WHERE machine = :machine AND (state IN ('in_doubt','accepted','running',"
    "'interrupted') OR (state IN ('completed','aborted') AND cleared_at IS NULL)) LIMIT 1"
)
_MAY_GO = (
    "j.state = 'released' AND (r.state IN ('releasing','running') "
    "OR (r.state = 'first_piece' AND j.first_piece = 'due'))"
)


def enrol(tx: Tx, machine: str) -> None:
    """Make sure a configured machine has its row: level `read` until somebody arms it."""
    change(
        tx,
        "INSERT INTO machine_facts (machine, level) VALUES (:machine, 'read') ON CONFLICT DO NOTHING",
        machine=machine,
    )


def arming(tx: Tx, machine: str) -> Arming:
    """Give the level that was put in force, by whom and for which identity and profile."""
    known = _facts(tx, machine)
    return Arming(
        level=Level(known["level"]),
        armed_by=known["armed_by"],
        identity=known["identity"],
        profile=known["armed_profile"],
    )


def arm(tx: Tx, machine: str, level: Level, *, who: str, identity: str, profile: str, now: datetime) -> None:
    """Put a level in force by a named act, for this identity and profile; it also ends a hold."""
    change(
        tx,
        "UPDATE machine_facts SET level = :level, armed_by = :who, armed_at = :at, identity = :identity, "
        "armed_profile = :profile, hold_reason = NULL WHERE machine = :machine",
        level=level,
        who=who,
        at=to_text(now),
        identity=identity,
        profile=profile,
        machine=machine,
    )
    settle(tx, subject=f"machine:{machine}", at=now)
    tell(tx, machine, "armed", who=who, now=now, level=level)


def disarm(tx: Tx, machine: str, *, who: str, now: datetime) -> None:
    """Take a machine back: Kvot only watches it from now on. Anyone may do this, always."""
    change(tx, "UPDATE machine_facts SET level = 'read' WHERE machine = :machine", machine=machine)
    tell(tx, machine, "disarmed", who=who, now=now)


def lapse(tx: Tx, machine: str, lapsed: Lapse, *, now: datetime) -> None:
    """Put down the level of an arming that no longer holds to what is left, and call a person."""
    change(tx, "UPDATE machine_facts SET level = :left WHERE machine = :machine", left=lapsed.left, machine=machine)
    tell(tx, machine, "lapsed", who="kvot", now=now, level=lapsed.left, reason=lapsed.reason)
    open_exception(
        tx,
        Kind.LAPSED,
        subject=f"machine:{machine}",
        evidence={"text": lapsed.reason, "level": lapsed.left},
        at=now,
    )


def hold(tx: Tx, machine: str, *, reason: str, who: str, now: datetime, asks: bool = False) -> None:
    """Send nothing more to a machine until it is handed over again (armed); `asks`: call people to it."""
    held = change(
        tx,
        "UPDATE machine_facts SET hold_reason = :reason WHERE machine = :machine AND hold_reason IS NOT :reason",
        reason=reason,
        machine=machine,
    )
    if held:
        tell(tx, machine, "held", who=who, now=now, reason=reason)
    if asks:
        open_exception(tx, Kind.HELD, subject=f"machine:{machine}", evidence={"text": reason}, at=now)


def let_go(tx: Tx, machine: str, *, who: str, now: datetime) -> None:
    """End a hold that a person has put on a machine."""
    change(tx, "UPDATE machine_facts SET hold_reason = NULL WHERE machine = :machine", machine=machine)
    settle(tx, subject=f"machine:{machine}", at=now)
    tell(tx, machine, "let_go", who=who, now=now)


def saw(tx: Tx, machine: str, *, boot: str, mark: int | None) -> None:
    """Remember the machine's boot as last seen, and the highest job number it was ever seen to have accepted."""
    change(
        tx,
        "UPDATE machine_facts SET machine_boot = :boot, hwm_job = MAX(hwm_job, :mark) WHERE machine = :machine",
        boot=boot,
        mark=mark or 0,
        machine=machine,
    )


def baseline(tx: Tx, machine: str, *, mark: int, who: str, now: datetime) -> None:
    """Take a replaced machine's mark as it is now, in a person's name; the numbers of new jobs go on above it.

    Raise `RefusedError` while nobody was asked about a command whose outcome the old mark could still tell.
    """
    job = row(tx, "SELECT job_id FROM commands WHERE machine = :machine AND settlement IS NULL", machine=machine)
    if job is not None and not doubts(tx, job["job_id"]):
        raise RefusedError(f"what became of job {job['job_id']} is being settled: try again in a moment")
    change(tx, "UPDATE machine_facts SET hwm_job = :mark WHERE machine = :machine", mark=mark, machine=machine)
    tell(tx, machine, "baselined", who=who, now=now, mark=mark)


def standing(
    tx: Tx,
    machine: str,
    *,
    configured: Level,
    silent_s: float,
    by_hand: bool = False,
    tools: Mapping[str, str] | None = None,
) -> Standing:
    """Give all that dispatch needs to know of a machine; `silent_s` as in `OpenCommand`.

    At a station (`by_hand`) a person starts everything, so it needs no arming. `tools`: by family, the code
    that the machine must name as fitted.
    """
    known = _facts(tx, machine)
    command = row(
        tx,
        "SELECT command_id, job_id, kind, machine_boot, job_no, fence FROM commands "
        "WHERE machine = :machine AND settlement IS NULL",
        machine=machine,
    )
    job = _current(tx, machine)
    subject = command["job_id"] if command is not None else job["job_id"] if job is not None else ""
    return Standing(
        level=Level.START if by_hand else in_force(Level(known["level"]), configured),
        held=known["hold_reason"],
        boot=known["machine_boot"],
        command=None
        if command is None
        else OpenCommand(
            command_id=command["command_id"],
            job_id=command["job_id"],
            kind=CommandKind(command["kind"]),
            boot=command["machine_boot"],
            silent_s=silent_s,
            job_no=command["job_no"],
            restored=command["fence"] < recovery.epoch(tx),
        ),
        work=None
        if job is None
        else Work(
            job_id=job["job_id"],
            state=JobState(job["state"]),
            held=_held(tx, job),
            refusals=refusals(tx, job["job_id"]),
            tool_code=(tools or {}).get(job["family"]),
            end=None if job["end_asked"] is None else CommandKind(job["end_asked"]),
        ),
        asked=doubts(tx, subject),
        mark=known["hwm_job"],
        called=is_asked(tx, f"machine:{machine}"),
        recovering=recovery.pending(tx),
        disowned=_disowned(tx, machine),
    )


def _disowned(tx: Tx, machine: str) -> frozenset[str]:
    """Give the jobs sent there that a person has said were not made, where nobody was told that they are there."""
    found = rows(
        tx,
        "SELECT j.job_id FROM jobs j WHERE j.machine = :machine "  # noqa: S608 - a constant
        f"AND {DISOWNED} AND NOT EXISTS (SELECT 1 FROM exceptions e WHERE e.subject = 'job:' || j.job_id "
        "AND e.cause = :cause)",
        machine=machine,
        cause=Kind.THERE_AFTER_ALL.cause,
    )
    return frozenset(one["job_id"] for one in found)


def _current(tx: Tx, machine: str) -> Row | None:
    """Find the job a machine is concerned with: the unfinished one, one to clear, else the next released.

    Of a run that waits for its set-up nothing is next, of one that makes its first piece that piece alone.
    """
    for condition in (
        "j.state IN ('in_doubt','accepted','running','interrupted')",
        "j.state IN ('completed','aborted') AND j.cleared_at IS NULL",
        f"{_MAY_GO} AND j.hold_reason IS NULL AND r.hold_reason IS NULL",
        _MAY_GO,
    ):
        found = row(
            tx,
            "SELECT j.job_id, j.state, j.hold_reason, j.end_asked, j.run_id, r.family, r.hold_reason AS run_held "  # noqa: S608
            f"FROM jobs j JOIN runs r USING (run_id) WHERE j.machine = :machine AND {condition} "
            "ORDER BY j.promise_at, j.rowid LIMIT 1",
            machine=machine,
        )
        if found is not None:
            return found
    return None


def _held(tx: Tx, job: Row) -> str | None:
    """Say why a job must not be sent: its run is held, or it is, or it still waits for files."""
    if job["run_held"] is not None:
        return f"run {job['run_id']}: {job['run_held']}"
    return job["hold_reason"] or _awaited(tx, job)


def _awaited(tx: Tx, job: Row) -> str | None:
    """Say what a released job still waits for before it may be sent."""
    if job["state"] != JobState.RELEASED or not files.lacking(tx, job["job_id"]):
        return None
    return "its files are on their way to the machine"


def _facts(tx: Tx, machine: str) -> Row:
    known = row(tx, "SELECT * FROM machine_facts WHERE machine = :machine", machine=machine)
    if known is None:
        raise RefusedError(f"no machine is called {machine!r}; `kvot machines list` names them")
    return known


def at_work(tx: Tx, machine: str) -> str | None:
    """Say what of ours keeps a machine from being handed to somebody: an open doubt, or a job of ours there."""
    command = row(
        tx, "SELECT job_id FROM commands WHERE machine = :machine AND settlement IS NULL LIMIT 1", machine=machine
    )
    if command is not None:
        return f"what became of job {command['job_id']} is not known yet"
    job = row(tx, _AT_WORK, machine=machine)
    return None if job is None else f"job {job['job_id']} is there ({job['state']})"


def tell(
    tx: Tx,
    machine: str,
    what: str,
    *,
    who: str,
    now: datetime,
    before: Mapping[str, object] | None = None,
    **more: object,
) -> None:
    """Write down an act at a machine, tell it outward without the name, and wake the machine's task."""
    events.record(tx, what=f"machine.{what}", who=who, subject=f"machine:{machine}", at=now, before=before, after=more)
    facts.post(tx, f"machine.{what}", at=now, machine=machine, **more)
    ring(tx, f"machine:{machine}")
