"""Every exception there can be is opened by its own place, shows what a person needs, and takes each of its answers."""

import ast
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from sqlite3 import IntegrityError
from typing import Any

import pytest
from sqlalchemy import Connection

from gateway.domain.exceptions import Kind, kind_of
from gateway.domain.states import JobState
from gateway.errors import IllegalTransitionError, RefusedError
from gateway.ledger import decisions, events, exceptions, jobs
from gateway.ledger.sql import insert
from tests.ledger.every_exception import OTHERWISE, SCENES
from tests.ledger.work import NOW, bare, bring, conclude, one, open_questions

ANNA = "person:anna"
GATEWAY = Path(__file__).parents[2] / "gateway"
ANSWERS = [(kind, action) for kind in Kind for action in kind.actions]


@pytest.fixture(scope="module")
def tables() -> Iterator[Connection]:
    """Bare tables for all of these tests."""
    with bare() as connection:
        yield connection


@pytest.fixture
def tx(tables: Connection) -> Iterator[Connection]:
    """The tables while they are empty; what a test does is taken back."""
    nested = tables.begin_nested()
    yield tables
    nested.rollback()


def opened(tx: Connection, kind: Kind, action: str = "") -> dict[str, Any]:
    """Have the exception's own place open it, twice; give the one exception that there is then."""
    scene = OTHERWISE.get((kind, action), SCENES[kind])
    visit = scene(tx)
    visit()
    (first,) = _asked(tx, kind)
    with suppress(RefusedError, IllegalTransitionError, IntegrityError), tx.begin_nested():
        visit()
    (asked,) = _asked(tx, kind)
    assert asked["exception_id"] == first["exception_id"]
    return asked


def _asked(tx: Connection, kind: Kind) -> list[dict[str, Any]]:
    found = [asked for asked in exceptions.list_exceptions(tx) if asked["state"] != "resolved"]
    return [asked for asked in found if kind_of(asked["subject"], asked["cause"]) is kind]


def test_each_kind_has_its_scene() -> None:
    assert set(SCENES) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_it_shows_subject_cause_evidence_and_what_may_be_answered(tx: Connection, kind: Kind) -> None:
    asked = opened(tx, kind)
    assert asked["subject"].partition(":")[0] in kind.value.about
    assert asked["cause"].startswith(kind.cause)
    assert any(value not in {None, "", "None"} for value in map(str, asked["evidence"].values())), asked["evidence"]
    assert asked["actions"], "at least one answer"
    assert set(asked["actions"]) <= set(kind.actions)
    assert asked["severity"] == kind.severity
    with pytest.raises(RefusedError, match="choose one of " + ", ".join(asked["actions"])):
        decisions.decide(tx, asked["exception_id"], action="explode", who=ANNA, note="", now=NOW)
    assert _asked(tx, kind)[0]["exception_id"] == asked["exception_id"]


@pytest.mark.parametrize(("kind", "action"), ANSWERS, ids=[f"{kind.name}-{action}" for kind, action in ANSWERS])
def test_each_answer_is_taken_once_in_a_persons_name(tx: Connection, kind: Kind, action: str) -> None:
    asked = opened(tx, kind, action)
    assert action in asked["actions"]

    decisions.decide(tx, asked["exception_id"], action=action, who=ANNA, note="looked", now=NOW)

    closed = next(found for found in exceptions.list_exceptions(tx) if found["exception_id"] == asked["exception_id"])
    assert (closed["state"], closed["resolution"], closed["resolved_by"]) == ("resolved", action, ANNA)
    told = events.history(tx, f"exception:{asked['exception_id']}", 9)[-1]
    assert (told["what"], told["who"]) == ("exception.resolved", ANNA)
    assert told["after"] == {"resolution": action, "note": "looked"}
    with pytest.raises(RefusedError, match="already resolved"):
        decisions.decide(tx, asked["exception_id"], action=action, who=ANNA, note="", now=NOW)


def test_another_question_about_an_aborted_job_closes_without_ending_its_lines(tx: Connection) -> None:
    job_id = bring(tx, "running")
    conclude(tx, job_id, state=JobState.ABORTED, good=1)
    jobs.raise_doubt(tx, job_id, Kind.THERE_AFTER_ALL, evidence="it is named", now=NOW)
    (aborted, _, _), (there, _, _) = open_questions(tx)

    decisions.decide(tx, there, action="close", who=ANNA, note="", now=NOW)

    assert one(tx, "SELECT state FROM order_lines") == "in_production"
    decisions.decide(tx, aborted, action="close", who=ANNA, note="", now=NOW)
    assert one(tx, "SELECT state FROM order_lines") == "cancelled"


def test_every_place_that_opens_one_is_visited(tx: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new place, also for a kind that exists, needs a scene."""
    visited: set[str] = set()

    def noting(tx: Connection, table: str, **columns: Any) -> Any:
        if table == "exceptions":
            visited.update(_callers())
        return insert(tx, table, **columns)

    monkeypatch.setattr("gateway.ledger.exceptions.insert", noting)
    for scene in (*SCENES.values(), *OTHERWISE.values()):
        with suppress(_UndoneError), tx.begin_nested():
            scene(tx)()
            raise _UndoneError
    assert set(_places()) - visited == set()


class _UndoneError(Exception):
    """Takes a scene back."""


def _callers() -> Iterator[str]:
    """Name the functions of the gateway that are being called now."""
    import sys

    frame = sys._getframe(2)
    while frame is not None:
        if str(GATEWAY) in frame.f_code.co_filename:
            yield f"{Path(frame.f_code.co_filename).relative_to(GATEWAY)}:{frame.f_code.co_name}"
        frame = frame.f_back  # type: ignore[assignment]


def _places() -> Iterator[str]:
    """Name each function of the gateway that opens an exception."""
    for file in sorted(GATEWAY.rglob("*.py")):
        if file.name == "exceptions.py":
            continue
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and _opens(function):
                yield f"{file.relative_to(GATEWAY)}:{function.name}"


def _opens(function: ast.AST) -> bool:
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    names = {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}
    return bool(names & {"open_exception", "keep_open", "raise_doubt"})
