"""A recipe has a new version: what was released under the old one and never sent is planned again under the new."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import orjson

from drivers.profile import Recipe
from gateway.domain.exceptions import Kind
from gateway.domain.states import JobState
from gateway.ledger.database import Tx, ring
from gateway.ledger.exceptions import open_exception
from gateway.ledger.sql import change, row, rows
from gateway.ledger.unplanning import withdraw


def renew(tx: Tx, job_id: str, recipes: Mapping[str, Recipe], *, now: datetime) -> bool:
    """Take back a released job of another recipe version than its machine's; say whether it was.

    What it was to make is owed again under the new version; parameters outside its limits wait for a person.
    A recipe that the machine does not have is not renewed.
    """
    job = row(
        tx,
        "SELECT recipe, recipe_version FROM jobs WHERE job_id = :job AND state = :s",
        job=job_id,
        s=JobState.RELEASED,
    )
    recipe = None if job is None else recipes.get(job["recipe"])
    if job is None or recipe is None or recipe.version == job["recipe_version"]:
        return False
    told = f"recipe {job['recipe']!r} is version {recipe.version} now, not {job['recipe_version']} as at the order"
    for need in rows(
        tx,
        "SELECT r.requirement_id, r.parameters, r.family FROM allocations a JOIN requirements r USING (requirement_id) "
        "WHERE a.job_id = :job",
        job=job_id,
    ):
        _renew(tx, need["requirement_id"], recipe.version)
        if faults := recipe.faults(orjson.loads(need["parameters"])):
            _ask(tx, need["requirement_id"], need["family"], [told, *faults], now=now)
    withdraw(tx, job_id, who="kvot", evidence=told, now=now)
    ring(tx, "plan")
    return True


def _renew(tx: Tx, requirement_id: int, version: str) -> None:
    """Write the new version into what is owed, and into the jobs that wait for it in open runs."""
    change(
        tx,
        "UPDATE requirements SET recipe_version = :version WHERE requirement_id = :id",
        version=version,
        id=requirement_id,
    )
    change(
        tx,
        "UPDATE jobs SET recipe_version = :version WHERE state = 'waiting' AND job_id IN "
        "(SELECT job_id FROM allocations WHERE requirement_id = :id)",
        version=version,
        id=requirement_id,
    )


def _ask(tx: Tx, requirement_id: int, family: str, texts: Sequence[str], *, now: datetime) -> None:
    change(
        tx,
        "UPDATE requirements SET hold_reason = :cause WHERE requirement_id = :id",
        cause=Kind.OUTSIDE.cause,
        id=requirement_id,
    )
    open_exception(
        tx,
        Kind.OUTSIDE,
        subject=f"requirement:{requirement_id}",
        evidence={"text": "; ".join(texts), "family": family},
        at=now,
    )
