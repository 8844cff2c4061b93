"""CEL expressions of the configuration: compiled and tried once, then evaluated within limits over an order line."""

import functools
import importlib.machinery
import importlib.util
import itertools
import logging
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import Any, Final

from drivers.base import Scalar
from gateway.domain.products import ExpressionFaultError
from gateway.expressions.functions import FUNCTIONS, FunctionFaultError, UsageError, last_fault
from gateway.expressions.outline import Outline, outline

MAX_SOURCE: Final = 1000
MAX_MACROS: Final = 2
MAX_TEXT: Final = 4096
MAX_ITEMS: Final = 100
MAX_LIST_TEXT: Final = 10_000  # characters of a list as a whole, because a list expression multiplies them
MAX_KEYS: Final = 500
MAX_DEPTH: Final = 6
MAX_TRIED: Final = 3  # options tried in every combination of kinds

VARIABLES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "line": frozenset({"sku", "name", "quantity", "options"}),
        "order": frozenset({"number", "channel", "currency"}),
    }
)
_BUILT_IN: Final = frozenset(
    {"size", "contains", "startsWith", "endsWith", "matches", "int", "double", "string", "dyn", "has"}
)
_SYNTAX: Final = re.compile(r"<input>:(\d+):(\d+): ([^\n]*)")
_STAND_INS: Final[tuple[Scalar, ...]] = ("7", 7, 7.0, True)
_UNSUPPORTED: Final = "feature not enabled"
_MIXED: Final = "joins kinds of values that do not go together"
_MIXED_CURE: Final = "; use num(), whole() or text(), and write 2.0 instead of 2 beside decimal numbers"
_ANY_SCALAR: Final = (bool, int, float, str)


class ExpressionError(ValueError):
    """An expression that cannot be used at all: the text says why and what would cure it."""


class MissingValueError(ExpressionFaultError):
    """The line does not carry a value that the expression names."""


class WrongKindError(ExpressionFaultError):
    """The expression gives a kind of value that is not wanted."""


class MixedKindsError(ExpressionFaultError):
    """The expression joins values of kinds that do not go together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Expression:
    """A compiled expression; call it with `{"line": {...}, "order": {...}}`."""

    source: str
    result: tuple[type, ...]
    program: Any
    outline: Outline
    names: frozenset[str]
    functions: dict[str, Callable[..., Any]]

    def __call__(self, variables: Mapping[str, object]) -> Scalar:
        """Evaluate; raise `ExpressionFaultError` with a text that a shop owner understands."""
        bounded = {name: _bounded(value, name) for name, value in variables.items() if name in self.names}
        return _typed(self.evaluate(bounded), self.result)

    def evaluate(self, variables: dict[str, Any]) -> object:
        """Give the bare value for variables that are bounded already."""
        last_fault.clear()
        try:
            return self.program.execute(_cel().Context(variables=variables, functions=self.functions))
        except KeyError as error:
            raise MissingValueError(self._missing(variables, error)) from None
        except TypeError:
            raise MixedKindsError(self._mixed(variables)) from None
        except ZeroDivisionError:
            raise ExpressionFaultError("divides by zero") from None
        except (OverflowError, IndexError, ValueError, RuntimeError) as error:
            raise self._failed(error, variables) from None
        except BaseException as error:  # a panic of the library is no Exception
            if type(error).__module__ != "pyo3_runtime":
                raise
            raise ExpressionFaultError("cannot be computed: the expression library gave up") from None

    def _failed(self, error: Exception, variables: Mapping[str, Any]) -> ExpressionFaultError:
        fault = last_fault.take()
        if isinstance(fault, FunctionFaultError):
            subject = self._path_of(fault.value, variables)
            return ExpressionFaultError(f"{subject}: {fault}" if subject else str(fault))
        if fault is not None:
            return ExpressionFaultError(str(fault))
        if "Undefined variable or function" in str(error):
            return MixedKindsError(self._mixed(variables))  # a built-in function on a kind it does not know
        return ExpressionFaultError(f"cannot be computed: {_first_line(error)}")

    def _path_of(self, value: object, variables: Mapping[str, Any]) -> str | None:
        for path in self.outline.paths:
            found = _walk(variables, path)
            if len(found) == len(path) and found[-1] == value and type(found[-1]) is type(value):
                return _path_text(path)
        return None

    def _missing(self, variables: Mapping[str, Any], error: KeyError) -> str:
        key = error.args[0] if error.args else "a value"
        for path in self.outline.paths:
            reached = len(_walk(variables, path))
            if reached < len(path) and path[reached] == key:
                holder = _walk(variables, path[:reached])[-1] if reached else variables
                return f"{_path_text(path[: reached + 1])} is missing{_instead(path, reached, holder)}"
        return f"'{key}' is missing"

    def _mixed(self, variables: Mapping[str, Any]) -> str:
        seen = []
        for path in self.outline.paths:
            found = _walk(variables, path)
            if len(found) == len(path):
                seen.append(f"{_path_text(path)} is {_kind(found[-1])}")
        values = f" ({', '.join(seen)})" if seen else ""
        return f"{_MIXED}{values}{_MIXED_CURE}"


def compile_expression(source: str, *, result: type | tuple[type, ...] = _ANY_SCALAR) -> Expression:
    """Compile and try an expression that gives one of the `result` types; raise `ExpressionError` with a cure."""
    if len(source) > MAX_SOURCE:
        raise ExpressionError(f"longer than {MAX_SOURCE} characters")
    parts = outline(source)
    if parts.nested_macro is not None:
        raise ExpressionError(f"{parts.nested_macro}() inside another list expression can take for ever; use one")
    if parts.macros > MAX_MACROS:
        raise ExpressionError(f"more than {MAX_MACROS} of map, filter, all and exists in one expression")
    program = _parsed(source)
    _check_names(program, parts)
    expression = Expression(
        source=source,
        result=result if isinstance(result, tuple) else (result,),
        program=program,
        outline=parts,
        names=frozenset(program.variables()),
        functions={name: FUNCTIONS[name] for name in program.functions() if name in FUNCTIONS},
    )
    _try(expression)
    return expression


def _parsed(source: str) -> Any:
    try:
        return _cel().compile(source)
    except ValueError as error:
        found = _SYNTAX.search(str(error))
        if found is None:
            raise ExpressionError("not an expression") from None
        place = f"character {found[2]}" if found[1] == "1" else f"line {found[1]}, character {found[2]}"
        problem = found[3].removeprefix("Syntax error: ").partition(" expecting ")[0].replace("'<EOF>'", "end")
        text = f"not an expression, at {place}: {problem[:120]}"
        if not source.isascii() and "token recognition" in text:
            text += '; names with letters beyond a-z are written line.options["Färg"]'
        raise ExpressionError(text) from None
    except BaseException as error:
        if type(error).__module__ != "pyo3_runtime":
            raise
        raise ExpressionError("not an expression: the expression library gave up on it") from None


def _check_names(program: Any, parts: Outline) -> None:
    names = program.references()
    for name in names["functions"]:
        if name.isidentifier() and name not in FUNCTIONS and name not in _BUILT_IN:
            raise ExpressionError(f"unknown function {name}(){_near(name, {*FUNCTIONS, *_BUILT_IN})}")
    for name in names["variables"]:
        if name not in VARIABLES and name not in parts.bound:
            raise ExpressionError(f"unknown name '{name}'{_near(name, VARIABLES)}")
    for path in parts.paths:
        known = VARIABLES.get(path[0])
        if known is not None and len(path) > 1 and path[1] not in known and path[0] not in parts.bound:
            raise ExpressionError(f"{path[0]} has no '{path[1]}'{_near(path[1], known)}")


def _try(expression: Expression) -> None:
    """Evaluate with stand-ins for the options: what no kind of value can make work is wrong already now."""
    if expression.outline.macros or "kv" in expression.functions:
        return
    options = [path[2:] for path in expression.outline.paths if path[:2] == ("line", "options") and len(path) > 2]  # noqa: PLR2004
    if len(options) > MAX_TRIED:
        choices: Iterable[tuple[Scalar, ...]] = ((value,) * len(options) for value in _STAND_INS)
    else:
        choices = itertools.product(_STAND_INS, repeat=len(options))
    complaint = ""
    for values in choices:
        try:
            _typed(expression.evaluate(_stand_in(options, values)), expression.result)
        except MixedKindsError:
            complaint = complaint or _MIXED + _MIXED_CURE
        except WrongKindError as fault:
            complaint = complaint or str(fault)
        except ExpressionFaultError as fault:
            if isinstance(last_fault.take(), UsageError) or _UNSUPPORTED in str(fault):
                raise ExpressionError(str(fault)) from None
            if isinstance(fault, MissingValueError):
                return
        else:
            return
    if complaint:
        raise ExpressionError(complaint)


def _stand_in(options: Sequence[Sequence[str]], values: Sequence[Scalar]) -> dict[str, Any]:
    filled: dict[str, object] = {}
    for path, value in zip(options, values, strict=True):
        _fill(filled, path, value)
    line = {"sku": "A", "name": "A", "quantity": 7, "options": filled}
    return {"line": line, "order": {"number": "7", "channel": "web", "currency": "SEK"}}


def _fill(holder: dict[str, object], path: Sequence[str], value: object) -> None:
    for number, key in enumerate(path):
        if number == len(path) - 1:
            holder.setdefault(key, value)
            return
        inner = holder.setdefault(key, {})
        if not isinstance(inner, dict):
            return
        holder = inner


def _bounded(value: object, name: str, depth: int = 0) -> object:
    """Cut and check what goes into an evaluation; a cut text is longer than any allowed result."""
    match value:
        case None | bool():
            return value
        case str():
            return value[: MAX_TEXT + 1]
        case int():
            return value if abs(value) < 1 << 63 else float(value) if abs(value) < 1 << 1000 else math.inf
        case float():
            return value
        case Mapping():
            size, limit = len(value), MAX_KEYS
        case list() | tuple():
            size, limit = len(value), MAX_ITEMS
        case _:
            return str(value)[: MAX_TEXT + 1]
    if size > limit:
        raise ExpressionFaultError(f"{name} has more than {limit} entries")
    if depth >= MAX_DEPTH:
        raise ExpressionFaultError(f"{name} is nested too deep")
    if isinstance(value, Mapping):
        return {str(key): _bounded(item, f"{name}.{key}", depth + 1) for key, item in value.items()}
    items = [_bounded(item, name, depth + 1) for item in value]
    if _characters(items) > MAX_LIST_TEXT:
        raise ExpressionFaultError(f"{name} has more than {MAX_LIST_TEXT} characters")
    return items


def _characters(value: object) -> int:
    match value:
        case str():
            return len(value)
        case dict():
            return sum(len(key) + _characters(item) for key, item in value.items())
        case list():
            return sum(_characters(item) for item in value)
    return 1


def _typed(value: object, result: tuple[type, ...]) -> Scalar:
    """Give the value if it is of an allowed type and finite; a whole number may stand for a decimal one."""
    if isinstance(value, bool | str) and type(value) in result:
        if isinstance(value, str) and len(value) > MAX_TEXT:
            raise ExpressionFaultError(f"gives a text of more than {MAX_TEXT} characters")
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and {int, float} & set(result):
        if not math.isfinite(value):
            raise ExpressionFaultError("gives no finite number")
        if type(value) in result:
            return value
        if float in result:
            return float(value)
        if value == int(value):
            return int(value)
    wanted = " or ".join(dict.fromkeys(_KINDS[kind] for kind in result))
    raise WrongKindError(f"gives {_kind(value)} where {wanted} is needed{_CURES.get(result, '')}")


_KINDS: Final[Mapping[type, str]] = MappingProxyType(
    {bool: "true or false", int: "a number", float: "a number", str: "a text"}
)
_CURES: Final[Mapping[tuple[type, ...], str]] = MappingProxyType(
    {(int, float): "; use num(...) or whole(...)", (str,): "; use text(...)", (int,): "; use whole(...)"}
)


def _walk(variables: Mapping[str, Any], path: Sequence[str]) -> list[Any]:
    """Give the values along a path as far as they exist."""
    found: list[Any] = []
    holder: Any = variables
    for key in path:
        if not isinstance(holder, Mapping) or key not in holder:
            break
        holder = holder[key]
        found.append(holder)
    return found


def _instead(path: Sequence[str], reached: int, holder: object) -> str:
    if not isinstance(holder, Mapping):
        return ""
    dotted = ".".join(path[reached:])
    if dotted in holder and len(path) > reached + 1:
        return f'; a name with dots is written {_path_text(path[:reached])}["{dotted}"]'
    names = sorted(holder)
    same = [name for name in names if name.lower() == path[reached].lower()]
    if same:
        return f"; did you mean '{same[0]}'?"
    listed = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")  # noqa: PLR2004
    return f" (there are: {listed})" if names else " (there are none)"


def _path_text(path: Sequence[str]) -> str:
    text = path[0]
    for part in path[1:]:
        text += f".{part}" if part.isidentifier() and part.isascii() else f'["{part}"]'
    return text


def _kind(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int():
            return f"the whole number {value}"
        case float():
            return f"the decimal number {value:g}"
        case str():
            return f"the text {value[:40]!r}"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
    return f"a {type(value).__name__}"


def _near(word: str, known: "Mapping[str, object] | frozenset[str] | set[str]") -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only when something is wrong

    near = get_close_matches(word, sorted(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(sorted(known))}"


def _first_line(error: Exception) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text.removesuffix("Check function arguments and their types.").strip()[:200]


@functools.cache
def _cel() -> ModuleType:
    """Load the library's extension alone: its package would import a command line with half a second of imports."""
    name = "cel.cel"
    if name in sys.modules:
        return sys.modules[name]
    package = importlib.util.find_spec("cel")
    spec = importlib.machinery.PathFinder.find_spec(name, package.submodule_search_locations if package else None)
    if spec is None or spec.loader is None:
        raise ImportError("the package common-expression-language is not installed", name=name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # the extension can be initialised only once per process
    spec.loader.exec_module(module)
    # It logs each fault of a function with the customer's value; the fault itself reaches the caller anyway.
    logging.getLogger("cel").setLevel(logging.CRITICAL)
    return module
