"""pydantic's findings in the words of the person who wrote the file."""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.settings.faults import Fault, Path, meant, path_text, shown
from gateway.settings.shapes import SHAPES
from gateway.settings.source import Node, SecretName


def translate(error: ValidationError, tree: Node, model: type[BaseModel]) -> Iterator[Fault]:
    """Give each finding its place, its path and a text with a cure."""
    for detail in error.errors(include_url=False):
        path = _path(detail, tree)
        of_key = detail["type"] in ("missing", "extra_forbidden") or detail["loc"][-1:] == ("[key]",)
        place = tree.place_of(path, of_key=of_key)
        yield Fault(place=place, path=path_text(path), text=_text(detail, path, tree, model))


def _path(detail: ErrorDetails, tree: Node) -> Path:
    """Cut the finding's path where the tree ends; a missing key is one step further."""
    path: Path = ()
    for part in detail["loc"]:
        if part == "[key]":
            break
        if part in SHAPES:
            continue
        if tree.find((*path, part)) is None:
            return (*path, part) if detail["type"] == "missing" else path
        path = (*path, part)
    return path


def _text(detail: ErrorDetails, path: Path, tree: Node, model: type[BaseModel]) -> str:
    value, context = detail["input"], detail.get("ctx", {})
    if isinstance(value, SecretName) and detail["type"] != "value_error":
        return "a secret is not possible here; write the value itself"
    match detail["type"]:
        case "missing":
            return _missing(path, model)
        case "extra_forbidden":
            return f"unknown key{meant(str(path[-1]), _free_keys(path[:-1], tree, model))}"
        case "value_error":
            return str(context["error"])
        case "literal_error":
            other = str(detail["loc"][-1]).strip("<>") if detail["loc"][-1] in SHAPES else ""
            return f"'{shown(value)}' is not known{meant(str(value), _choices(context))}{other and f', {other}'}"
        case "bool_type":
            cure = " (YAML 1.2 knows no yes, no, on, off)" if isinstance(value, str) else ""
            return f"must be true or false, not {_kind(value)}{cure}"
        case "string_type":
            quotes = " in quotes" if isinstance(value, bool | int | float) else ""
            return f"must be a text{quotes}, not {_kind(value)}"
        case "int_type" | "float_type":
            number = "a whole number" if detail["type"] == "int_type" else "a number"
            return f"must be {number}, not {_kind(value)}"
        case "tuple_type":
            return f"must be a list such as [a, b], not {_kind(value)}"
        case "model_type" | "dict_type" | "mapping_type" | "model_attributes_type":
            return f"must be a mapping (key: value), not {_kind(value)}"
        case "finite_number":
            return "must be a finite number"
    return _lower(detail["msg"])


def _missing(path: Path, model: type[BaseModel]) -> str:
    field = _fields(path[:-1], model).get(str(path[-1]))
    meaning = (field.description or "").rstrip(".") if field else ""
    return f"missing; {meaning}" if meaning else "missing"


def _free_keys(path: Path, tree: Node, model: type[BaseModel]) -> list[str]:
    """Give the keys that are possible here and not written yet."""
    node = tree.find(path)
    written = node.value if node and isinstance(node.value, Mapping) else {}
    return [key for key in _fields(path, model) if key not in written]


def _fields(path: Path, model: type[BaseModel]) -> Mapping[str, Any]:
    """Give the fields of the model that a path leads to; nothing where it leads to a named mapping."""
    current: Any = model
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(part))
            current = field.annotation if field else None
        else:
            current = _inner(current)
        current = _unwrapped(current)
    if not (isinstance(current, type) and issubclass(current, BaseModel)):
        return {}
    return {field.alias or name: field for name, field in current.model_fields.items()}


def _inner(annotation: Any) -> Any:
    """Give what a mapping or tuple holds."""
    held = [argument for argument in get_args(annotation) if argument is not Ellipsis]
    return held[-1] if held else None


def _unwrapped(annotation: Any) -> Any:
    """Look through `Annotated[...]` and unions to the one model inside."""
    if hasattr(annotation, "__metadata__"):
        return _unwrapped(get_args(annotation)[0])
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    options = [_unwrapped(option) for option in get_args(annotation) if option is not type(None)]
    models = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
    if len(models) == 1:
        return models[0]
    return options[0] if len(options) == 1 else annotation


def _choices(context: Mapping[str, Any]) -> list[str]:
    """Read the allowed words out of pydantic's own text: `'a', 'b' or 'c'`."""
    words = str(context.get("expected", "")).replace(" or ", ", ").split(", ")
    return [word.strip("'") for word in words if word]


def _kind(value: object) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping"
        case tuple():
            return "a list"
        case str():
            return f"the text '{shown(value)}'"
    return f"the number {shown(value)}"


def _lower(text: str) -> str:
    text = text.removeprefix("Input should ")
    return text[:1].lower() + text[1:]
