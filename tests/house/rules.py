"""The house rules as pure functions: Python source in, breaches in words out."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

# Words that say nothing about what a thing is (ARCHITECTURE.md, "The words").
EMPTY_WORDS = frozenset(
    {"manager", "handler", "processor", "helper", "helpers", "util", "utils", "data", "info", "service", "connector"}
)
_CLOCK_CALLS = frozenset({"time.sleep", "time.time", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"})
_STRAY_TASKS = frozenset({"asyncio.create_task", "asyncio.ensure_future", "loop.create_task"})
_LOG_CALLS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
_Function = ast.FunctionDef | ast.AsyncFunctionDef

Rule = Callable[[PurePosixPath, str], Iterator[str]]


def starts_with_one_sentence(path: PurePosixPath, source: str) -> Iterator[str]:
    """A module says in its first line what it is."""
    docstring = ast.get_docstring(ast.parse(source)) or ""
    if source.strip() and not docstring.partition("\n")[0].endswith((".", "?")):
        yield f"{path}:1: start with one sentence that says what this module is, ended by a full stop"


def is_short(path: PurePosixPath, source: str) -> Iterator[str]:
    """A file or function past its limit knows two things."""
    lines = source.count("\n")
    if lines > FILE_LINES_MAX:
        yield f"{path}: {lines} lines; split it, {FILE_LINES_MAX} are the limit"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _Function) and (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX:
            yield f"{path}:{node.lineno}: {node.name} has {length} lines; {FUNCTION_LINES_MAX} are the limit"


def asks_the_clock(path: PurePosixPath, source: str) -> Iterator[str]:
    """Time comes from the clock that is handed in, so that tests and simulations can set it."""
    for line, call in _calls(source):
        if call in _CLOCK_CALLS:
            yield f"{path}:{line}: {call}; take the time from the clock you are given (gateway/clock.py)"


def starts_tasks_in_groups(path: PurePosixPath, source: str) -> Iterator[str]:
    """A task has a parent that awaits it; one started otherwise can fail without anybody noticing."""
    for line, call in _calls(source):
        if call in _STRAY_TASKS or call == "asyncio.get_running_loop().create_task":
            yield f"{path}:{line}: {call}; start tasks in a TaskGroup that is awaited"


def has_telling_names(path: PurePosixPath, source: str) -> Iterator[str]:
    """A module or class is named for what it is."""
    if empty := _empty_words(path.stem):
        yield f"{path}: a module named '{empty}' can hold anything; name it for what it is"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and (empty := _empty_words(node.name)):
            yield f"{path}:{node.lineno}: '{empty}' in {node.name} says nothing; name it for what it is"


def swallows_nothing(path: PurePosixPath, source: str) -> Iterator[str]:
    """What nobody named is a bug: it is raised, or handed whole to whoever waits; a log line is neither."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = ast.unparse(node.type) if node.type else "everything"
        if re.search(r"\b(everything|Exception|BaseException)\b", caught) and not _goes_on(node):
            yield f"{path}:{node.lineno}: catches {caught} and drops it; name the errors you expect, or raise"


def freezes_values(path: PurePosixPath, source: str) -> Iterator[str]:
    """A value that others hold does not change under them."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef):
            continue
        for decorator in map(ast.unparse, node.decorator_list):
            if decorator.startswith("dataclass") and any(
                f"{option}=True" not in decorator for option in ("frozen", "kw_only", "slots")
            ):
                yield f"{path}:{node.lineno}: {node.name}: @dataclass(frozen=True, kw_only=True, slots=True)"


def leaves_nothing_for_later(path: PurePosixPath, text: str) -> Iterator[str]:
    """What is to be done stands in the list of issues, where people look for it."""
    for line, found in _found(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b", text):
        yield f"{path}:{line}: {found}; write an issue, or do it now"


def names_no_machine(path: PurePosixPath, text: str) -> Iterator[str]:
    """The repository works everywhere, so it names no directory of one computer and no package index."""
    places = r"(?<![\w.$}/-])/(?:home|root|work|Users|mnt)/[\w.-]+|\.py" + r"env\b"
    for line, found in _found(places, text):
        yield f"{path}:{line}: {found}; a path of one computer"
    hosts = r"\bpy" + r"pi\.org|python" + r"hosted\.org|registry\.npm" + r"js|--(?:extra-)?index-" + r"url\b"
    for line, found in _found(hosts, text):
        yield f"{path}:{line}: {found}; which package index is used is the reader's setting"


def _calls(source: str) -> Iterator[tuple[int, str]]:
    """Give the line and the dotted name of each call, `datetime.datetime.now` and an import as `datetime.now`."""
    tree = ast.parse(source)
    bare: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in {"time", "asyncio"}:
            bare |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            dotted = ast.unparse(node.func)
            for long, short in (("datetime.datetime.", "datetime."), ("datetime.date.", "date.")):
                dotted = dotted.replace(long, short) if dotted.startswith(long) else dotted
            yield node.lineno, bare.get(dotted, dotted)


def _goes_on(caught: ast.ExceptHandler) -> bool:
    logged = {
        id(name)
        for call in ast.walk(caught)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _LOG_CALLS
        for name in ast.walk(call)
    }
    return any(
        isinstance(node, ast.Raise)
        or (isinstance(node, ast.Name) and node.id == caught.name and id(node) not in logged)
        for node in ast.walk(caught)
    )


def _empty_words(name: str) -> str:
    words = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)
    return next((word for word in words if word.lower() in EMPTY_WORDS), "")


def _found(pattern: str, text: str) -> Iterator[tuple[int, str]]:
    for match in re.finditer(pattern, text):
        yield text.count("\n", 0, match.start()) + 1, match.group()
