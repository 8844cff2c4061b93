"""Job ids: `<site>-<epoch>-<n>`, never used twice; job numbers at a machine; a part of a job as its own job."""

from gateway.domain.states import JobState
from gateway.ledger.counters import next_number
from gateway.ledger.database import Tx
from gateway.ledger.sql import change, insert, row

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def new_job_id(tx: Tx, *, site: str, epoch: int) -> str:
    """Draw the next job id."""
    return job_id_of(next_number(tx, "job"), site=site, epoch=epoch)


def job_id_of(number: int, *, site: str, epoch: int) -> str:
    """Give the id of a ledger's job of this number; epoch and number are in base 36."""
    return f"{site}-{_base36(epoch)}-{_base36(number)}"


def copy_job(tx: Tx, job_id: str, quantity: int, *, site: str, epoch: int, remake_of: str | None = None) -> str:
    """Make a waiting job for so many pieces of the same requirement, in the same run at the same machine."""
    copy = new_job_id(tx, site=site, epoch=epoch)
    change(
        tx,
        "INSERT INTO jobs (job_id, run_id, machine, recipe, recipe_version, parameters, parameters_hash, quantity, "
        "state, remake_of, promise_at) SELECT :copy, run_id, machine, recipe, COALESCE((SELECT r.recipe_version "
        "FROM allocations a JOIN requirements r USING (requirement_id) WHERE a.job_id = jobs.job_id LIMIT 1), "
        "recipe_version), parameters, parameters_hash, :quantity, "
        ":state, COALESCE(:remade, remake_of), promise_at FROM jobs WHERE job_id = :job",
        copy=copy,
        quantity=quantity,
        state=JobState.WAITING,
        remade=remake_of,
        job=job_id,
    )
    change(
        tx,
        "INSERT INTO allocations (job_id, requirement_id, quantity, good) "
        "SELECT :copy, requirement_id, :quantity, 0 FROM allocations WHERE job_id = :job",
        copy=copy,
        quantity=quantity,
        job=job_id,
    )
    return copy


def split_waiting(tx: Tx, job_id: str, quantity: int, *, site: str, epoch: int) -> str:
    """Take so many pieces out of a waiting job, fewer than it has, into a job of their own."""
    copy = copy_job(tx, job_id, quantity, site=site, epoch=epoch)
    for table in ("jobs", "allocations"):
        change(
            tx,
            f"UPDATE {table} SET quantity = quantity - :taken WHERE job_id = :job",  # noqa: S608 - a constant
            taken=quantity,
            job=job_id,
        )
    return copy


def job_no(tx: Tx, machine: str, job_id: str) -> int:
    """Give the job's number at this machine: the same for the same pair, rising, above all it has ever accepted."""
    known = row(
        tx, "SELECT job_no FROM job_numbers WHERE machine = :machine AND job_id = :job", machine=machine, job=job_id
    )
    if known is not None:
        return int(known["job_no"])
    above = row(tx, "SELECT hwm_job FROM machine_facts WHERE machine = :machine", machine=machine)
    number = next_number(tx, f"job_no:{machine}", above=0 if above is None else above["hwm_job"])
    insert(tx, "job_numbers", machine=machine, job_no=number, job_id=job_id)
    return number


def _base36(number: int) -> str:
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
        if number == 0:
            return digits
