"""One event is one line that nobody can forge, without secrets, for people, programs and journald."""

import json
import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog

from gateway.log import configure_logging
from gateway.settings.secrets import Secret

CANARY = "canary-77"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    written = capsys.readouterr()
    assert written.out == ""
    return written.err.splitlines()


def test_a_line_has_time_level_event_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info", format="text")
    structlog.get_logger("kvot").info("shop answered", shop="webshop", orders=3)
    (line,) = lines(capsys)
    stamp, rest = line.split(" ", 1)
    assert stamp.endswith("Z")
    assert rest == "INFO shop answered shop=webshop orders=3 logger=kvot"


def test_json_has_the_fields_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info", format="json")
    structlog.get_logger("kvot").warning("no answer", tries=2, town="Malmö", place={"a": [1, None]})
    (line,) = lines(capsys)
    found = json.loads(line)
    assert (found["event"], found["level"], found["tries"], found["place"]) == (
        "no answer",
        "warning",
        2,
        {"a": [1, None]},
    )
    assert "Malmö" in line


@pytest.mark.parametrize(("level", "priority"), [("info", 6), ("warning", 4), ("error", 3), ("critical", 2)])
def test_journald_reads_the_priority_and_gives_its_own_time(
    capsys: pytest.CaptureFixture[str], level: str, priority: int
) -> None:
    configure_logging(level="debug", format="journald")
    getattr(structlog.get_logger("kvot"), level)("said", a=1)
    assert lines(capsys) == [f"<{priority}>said a=1 logger=kvot"]


@pytest.mark.parametrize("form", ["text", "json", "journald"])
def test_a_foreign_text_cannot_forge_a_line_or_reach_the_terminal(
    capsys: pytest.CaptureFixture[str], form: str
) -> None:
    configure_logging(level="info", format=form)
    forged = 'x"\n2026-01-01 INFO forged\x1b[31m\u2028\u202e'
    structlog.get_logger("kvot").info("order read", name=forged, nested={forged: [forged]})
    logging.getLogger("foreign").warning("peer said %s", forged)
    found = lines(capsys)
    assert len(found) == 2
    assert all(line.isprintable() for line in found)


@pytest.mark.parametrize("form", ["text", "json", "journald"])
def test_no_secret_is_written(capsys: pytest.CaptureFixture[str], form: str) -> None:
    configure_logging(level="debug", format=form)
    secret = Secret("shop-key", CANARY)
    log = structlog.get_logger("kvot")
    log.info("asking", secret=secret, inner={"key": secret, "password": CANARY}, listed=[secret], token=CANARY)
    logging.getLogger("foreign").info("with %s", secret)
    try:
        raise_with(secret)
    except ValueError:
        log.exception("failed")
    text = "\n".join(lines(capsys))
    assert CANARY not in text
    assert "!secret shop-key" in text


def raise_with(secret: Secret) -> None:
    raise ValueError(f"no use for {secret}")


def test_a_traceback_is_kept_and_cannot_be_taken_for_a_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info", format="text")
    try:
        int("first\n2026-01-01 INFO forged")
    except ValueError:
        structlog.get_logger("kvot").exception("broken")
    first, *trace = lines(capsys)
    assert "ERROR broken" in first
    assert trace[0] == "  | Traceback (most recent call last):"
    assert all(line.startswith("  | ") for line in trace)


def test_a_long_text_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info", format="json")
    structlog.get_logger("kvot").info("read", body="x" * 100_000, many=list(range(1000)))
    assert len(lines(capsys)[0]) < 4000


def test_the_level_counts_for_foreign_loggers_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="warning", format="text")
    structlog.get_logger("kvot").info("not this")
    logging.getLogger("foreign").info("not this")
    logging.getLogger("foreign").error("but this")
    assert len(lines(capsys)) == 1


def test_of_asyncua_only_the_name_collisions_are_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info", format="text")
    configure_logging(level="info", format="text")
    logger = logging.getLogger("asyncua.ua.uatypes")
    logger.warning("Browsename collision: ua.%s is already bound (data_type=%s)", "X", 1)
    logger.warning("another")
    logging.getLogger("asyncua.client").warning("lost")
    found = lines(capsys)
    assert [line.split(" ")[2] for line in found] == ["another", "lost"]


def test_python_warnings_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info", format="text")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        logging.captureWarnings(capture=True)
        warnings.warn("old way", UserWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    assert "old way" in "".join(lines(capsys))


@pytest.mark.parametrize(("level", "form"), [("loud", "text"), ("info", "xml")])
def test_an_unknown_level_or_format_is_refused(level: str, form: str) -> None:
    with pytest.raises(ValueError, match="known: "):
        configure_logging(level=level, format=form)
