"""Logs: a constant event text plus fields, one line each, to stderr; nothing a stranger wrote can forge a line."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, Literal

import structlog

Format = Literal["text", "json", "journald"]

MAX_VALUE: Final = 2000  # characters of one field
MAX_DEPTH: Final = 5
MAX_TRACE_LINES: Final = 200
MAX_ITEMS: Final = 100
_LEVELS: Final = ("debug", "info", "warning", "error", "critical")
# journald reads the priority of syslog from the beginning of a line, see sd-daemon(3).
_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "exception": 3, "critical": 2}
_LIBRARIES: Final = ("asyncua", "pymodbus", "uvicorn", "httpx", "httpcore")
_SECRET_KEYS: Final = frozenset({"password", "secret", "token", "authorization", "consumer_secret", "consumer_key"})


def configure_logging(*, level: str, format: Format | str) -> None:  # noqa: A002 - the option's own name
    """Send all logs of this process to stderr; raise ValueError for a level or format that does not exist.

    The standard library's loggers come the same way. `journald` is text without time, with the
    priority in front, as systemd reads it.
    """
    if level.lower() not in _LEVELS:
        raise ValueError(f"no log level '{level}'; known: {', '.join(_LEVELS)}")
    renderers = _renderers(format)
    shared = _shared(time=format != "journald")
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _neutral, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    for name in _LIBRARIES:  # what they say of their own steps is for whoever asks for debug
        logging.getLogger(name).setLevel("DEBUG" if level.lower() == "debug" else "WARNING")
    _silence()


class _Silent(logging.Filter):
    """Drops what asyncua says on every import of a server's types: names that two companions share."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Browsename collision")


def _silence() -> None:
    logger = logging.getLogger("asyncua.ua.uatypes")
    if not any(isinstance(known, _Silent) for known in logger.filters):
        logger.addFilter(_Silent())


def _shared(*, time: bool) -> list[Any]:
    stamp = [structlog.processors.TimeStamper(fmt="iso", utc=True)] if time else []
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.format_exc_info,
        *stamp,
    ]


def _renderers(format: str) -> list[Any]:  # noqa: A002
    match format:
        case "json":
            return [structlog.processors.JSONRenderer(ensure_ascii=False)]
        case "text":
            return [_text]
        case "journald":
            return [_journald]
    raise ValueError(f"no log format '{format}'; known: text, json, journald")


def _text(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """Write `time LEVEL event key=value ...`; a traceback follows in lines that begin with a bar."""
    trace = str(event.pop("exception", "") or "")
    return _line(event) + "".join(f"\n  | {line}" for line in trace.splitlines())


def _line(event: MutableMapping[str, Any]) -> str:
    parts = [str(event.pop("timestamp", "")), str(event.pop("level", "")).upper(), str(event.pop("event", ""))]
    name = event.pop("logger", None)
    fields = [f"{key}={_quoted(value)}" for key, value in event.items()]
    return " ".join(part for part in (*parts, *fields, f"logger={name}" if name else "") if part)


def _journald(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    priority = _PRIORITIES.get(str(event.get("level")), 6)
    event.pop("timestamp", None)
    event.pop("level", None)
    if trace := event.pop("exception", None):
        event["exception"] = str(trace).replace("\n", "\\n")
    return f"<{priority}>{_line(event)}"


def _quoted(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    plain = bool(text) and not any(char in ' ="' for char in text)
    return text if plain else '"' + text.replace('"', '\\"') + '"'


def _neutral(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Make every field a value that fits in one line: control characters escaped, long texts cut, secrets hidden."""
    trace = event.pop("exception", None)
    fields = {_escaped(str(key)): _hidden(str(key), value) for key, value in event.items()}
    if trace:
        lines = str(trace).splitlines()[-MAX_TRACE_LINES:]
        fields["exception"] = "\n".join(_escaped(line) for line in lines)
    return fields


def _hidden(key: str, value: object) -> object:
    return "***" if key.lower() in _SECRET_KEYS and value is not None else _plain(value, 0)


def _plain(value: object, depth: int) -> object:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return _escaped(value)
        case Mapping() if depth < MAX_DEPTH:
            some = list(value.items())[:MAX_ITEMS]
            return {_escaped(str(key)): _hidden(str(key), _plain(item, depth + 1)) for key, item in some}
        case list() | tuple() | set() | frozenset() if depth < MAX_DEPTH:
            return [_plain(item, depth + 1) for item in list(value)[:MAX_ITEMS]]
    return _escaped(str(value))


def _escaped(text: str) -> str:
    cut = text if len(text) <= MAX_VALUE else text[:MAX_VALUE] + "..."
    if cut.isprintable():
        return cut
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in cut)
