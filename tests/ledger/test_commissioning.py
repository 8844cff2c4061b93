"""Commissioning ends by its time alone, also while nobody is there to write that down."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection

from drivers.base import Finding, Look, Permits
from gateway.domain import dispatch
from gateway.domain.machines import Level
from gateway.errors import RefusedError
from gateway.ledger import commissioning, machines
from tests.ledger.every_exception import ABILITY
from tests.ledger.work import NOW, a_released_job

MACHINE, ANNA = "press-1", "person:anna"


def test_it_is_over_after_an_hour_although_its_machine_is_away(tx: Connection) -> None:
    machines.enrol(tx, MACHINE)
    commissioning.begin(tx, MACHINE, who=ANNA, now=NOW)
    last, over = NOW + timedelta(minutes=59), NOW + timedelta(minutes=60)
    with pytest.raises(RefusedError, match="is in commissioning"):
        commissioning.refuse_while_open(tx, MACHINE, now=last)

    commissioning.refuse_while_open(tx, MACHINE, now=over)
    assert commissioning.view(tx, MACHINE, now=over) is None
    with pytest.raises(RefusedError, match="is not in commissioning"):
        commissioning.ask(tx, MACHINE, "standby_c", 60, who=ANNA, gateway_boot=1, until_s=9.0, now=over)
    commissioning.begin(tx, MACHINE, who="person:bo", now=over)


def test_dispatch_sends_nothing_to_a_machine_in_commissioning_whatever_its_level(tx: Connection) -> None:
    job_id = a_released_job(tx)
    machines.arm(tx, MACHINE, Level.START, who=ANNA, identity="1", profile="p", now=NOW)
    standing = machines.standing(tx, MACHINE, configured=Level.START, silent_s=9.0)
    look = Look(boot="boot-1", permits=Permits(remote=True, ready=True, handed_over=True), jobs=())
    finding = Finding(job_id=job_id, phase=None, evidence="not known")
    assert isinstance(dispatch.decide(standing, look, finding, ABILITY), dispatch.Send)

    taken = replace(standing, commissioned="in commissioning")

    assert dispatch.decide(taken, look, finding, ABILITY) == dispatch.Rest(why="in commissioning")
