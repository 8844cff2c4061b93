"""What the database itself refuses of a probe: anything that starts, a second at once, a second doubt."""

from datetime import UTC, datetime
from sqlite3 import IntegrityError

import pytest
from sqlalchemy import Connection

from drivers.profile import Effect, Memory
from gateway.domain.probing import Move, Stage, Verdict
from gateway.errors import RefusedError
from gateway.ledger import machines, probes, sql
from gateway.ledger.probes import Origin, Subject
from gateway.ledger.sql import insert

OVEN = "oven-1"
NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
ORIGIN = Origin(site="LUND", epoch=1, boot=1, who="person:tester", now=NOW)
SUBJECT = Subject(
    machine=OVEN,
    effect=Effect.REMEMBERED,
    memory=Memory.VOLATILE,
    identity="serial 1",
    profile="p1",
    recipe="cure",
    recipe_version="1",
    parameters={"minutes": 1.0},
    power_cycle=False,
)


@pytest.fixture
def tx(tx: Connection) -> Connection:
    machines.enrol(tx, OVEN)
    probes.begin(tx, SUBJECT, ORIGIN)
    return tx


def _command(tx: Connection, kind: str) -> None:
    insert(
        tx,
        "probe_commands",
        probe_id=1,
        machine=OVEN,
        kind=kind,
        attempt=1,
        endpoint="e",
        session="s",
        machine_boot="b",
        intended_at="t",
    )


@pytest.mark.parametrize("kind", ["start", "load_start", "stop", "withdraw"])
def test_a_probe_can_have_no_command_that_starts(tx: Connection, kind: str) -> None:
    with pytest.raises(IntegrityError, match="kind_known"):
        _command(tx, kind)


def test_a_second_unsettled_command_is_refused(tx: Connection) -> None:
    _command(tx, "load")
    with pytest.raises(IntegrityError, match="UNIQUE"):
        _command(tx, "cancel")


def test_a_second_probe_of_the_same_machine_is_refused(tx: Connection) -> None:
    with pytest.raises(RefusedError, match="is being probed"):
        probes.begin(tx, SUBJECT, ORIGIN)
    with pytest.raises(IntegrityError, match="UNIQUE"):
        sql.change(
            tx,
            "INSERT INTO probes SELECT 2, * FROM (SELECT machine, effect, memory_declared, power_cycle, "
            "stage, text, verdict, verdict_text, memory, job_id, job_no, recipe, recipe_version, "
            "parameters, parameters_hash, identity, profile, machine_boot, counted, gateway_boot, who, "
            "started_at, ended_at FROM probes)",
        )


def test_a_probe_uses_a_job_id_and_a_number_up(tx: Connection) -> None:
    first = probes.current(tx, OVEN)
    assert first is not None
    probes.go_on(tx, OVEN, Stage.LOADING, Move(stage=Stage.ENDED, text="", verdict=Verdict.UNCLEAR), now=NOW)
    probes.begin(tx, SUBJECT, ORIGIN)
    second = probes.current(tx, OVEN)
    assert second is not None
    assert (first.job_id, first.job_no) == ("LUND-1-1", 1)
    assert (second.job_id, second.job_no) == ("LUND-1-2", 2)


@pytest.mark.parametrize(("verdict", "kept"), [("refuted", None), ("unclear", "remembered"), ("stopped", "remembered")])
def test_only_a_refutation_takes_an_earlier_proof_away(tx: Connection, verdict: str, kept: str | None) -> None:
    proven = Move(stage=Stage.ENDED, text="", verdict=Verdict.PROVEN)
    probes.go_on(tx, OVEN, Stage.LOADING, proven, now=NOW)
    probes.begin(tx, SUBJECT, ORIGIN)
    probes.go_on(tx, OVEN, Stage.LOADING, Move(stage=Stage.ENDED, text="", verdict=Verdict(verdict)), now=NOW)
    assert probes.proof(tx, OVEN).effect == kept


def test_the_first_verdict_stays(tx: Connection) -> None:
    probes.go_on(tx, OVEN, Stage.LOADING, Move(stage=Stage.CLEARING, text="no", verdict=Verdict.REFUTED), now=NOW)
    probes.go_on(tx, OVEN, Stage.CLEARING, Move(stage=Stage.ENDED, text="clean", verdict=Verdict.PROVEN), now=NOW)
    view = probes.view(tx, OVEN)
    assert view is not None
    assert (view["verdict"], view["verdict_text"], view["text"]) == ("refuted", "no", "clean")
    assert probes.proof(tx, OVEN).effect is None


def test_a_probe_moves_only_from_where_it_was_seen(tx: Connection) -> None:
    assert not probes.go_on(tx, OVEN, Stage.POWER, Move(stage=Stage.ENDED, text=""), now=NOW)
