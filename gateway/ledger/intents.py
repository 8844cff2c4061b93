"""What was last sent of a job: for machines that remember none, and are asked by what they show."""

from drivers.base import CommandKind
from gateway.domain.dispatch import Settlement
from gateway.ledger import jobs
from gateway.ledger.database import Tx
from gateway.ledger.jobs import Intent
from gateway.ledger.sql import row


def told(tx: Tx, job_id: str) -> tuple[Intent, bool] | None:
    """Give the newest load of a job, where it may still be at the machine, and whether it is known to be executed.

    None where none was sent, and where the newest was refused, absent or settled by a person.
    """
    command = row(
        tx,
        "SELECT command_id, job_no, kind, baseline, settlement FROM commands WHERE job_id = :job "
        "AND kind IN ('load','load_start') ORDER BY command_id DESC LIMIT 1",
        job=job_id,
    )
    if command is None or command["settlement"] not in {None, Settlement.ACCEPTED}:
        return None
    intent = jobs.intent_of(
        tx,
        job_id,
        command_id=command["command_id"],
        job_no=command["job_no"],
        kind=CommandKind(command["kind"]),
        baseline=command["baseline"],
    )
    return intent, command["settlement"] == Settlement.ACCEPTED
