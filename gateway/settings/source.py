"""YAML texts become trees that remember the file, line and column of every key and value."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from gateway.settings.faults import Fault, Place, path_text, shown

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
MAX_NUMBER_LENGTH: Final = 40

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_HEXADECIMAL: Final = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: Final[Mapping[str, bool | None]] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_SECRET_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretName:
    """A value written `!secret name`: where the value is found, not the value."""

    name: str


Leaf = bool | int | float | str | SecretName | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A leaf, a sequence of nodes or a mapping of entries, with the place of its first character."""

    place: Place
    value: "Leaf | tuple[Node, ...] | Mapping[str, Entry]"

    def plain(self) -> object:
        """Give the bare value: dicts, tuples, scalars and `SecretName`."""
        if isinstance(self.value, Mapping):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        if isinstance(self.value, tuple):
            return tuple(item.plain() for item in self.value)
        return self.value

    def find(self, path: tuple[str | int, ...]) -> "Node | None":
        """Find the node at a path of keys and positions, or None."""
        node: Node | None = self
        for part in path:
            if node is None:
                return None
            node = node.step(part)
        return node

    def step(self, part: str | int) -> "Node | None":
        """Find a direct child, or None."""
        if isinstance(self.value, Mapping):
            entry = self.value.get(str(part))
            return entry.node if entry else None
        if isinstance(self.value, tuple) and isinstance(part, int) and 0 <= part < len(self.value):
            return self.value[part]
        return None

    def place_of(self, path: tuple[str | int, ...], *, of_key: bool = False) -> Place:
        """Say where a path stands, or the nearest thing around it that exists.

        `of_key` asks for the place of the path's last key rather than of its value; what is missing
        stands where its parent's key does.
        """
        node, place = self, self.place
        for number, part in enumerate(path):
            child = node.step(part)
            if child is None:
                return place
            last = number == len(path) - 1
            keyed = isinstance(node.value, Mapping) and (of_key or not last or isinstance(child.value, Mapping | tuple))
            place = node.value[str(part)].key_place if keyed and isinstance(node.value, Mapping) else child.place
            node = child
        return place


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A key of a mapping with its own place, and what stands under it."""

    key_place: Place
    node: Node


def read_file(file: Path) -> tuple[Node | None, tuple[Fault, ...]]:
    """Read a YAML file into a tree and the faults found; None where there is no usable tree at all."""
    name = str(file)
    start = Place(file=name, line=1, column=1)
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        return None, (Fault(place=start, path="", text=_unreadable(error)),)
    if len(content) > MAX_BYTES:
        return None, (Fault(place=start, path="", text=f"larger than {MAX_BYTES // 1024} KiB; split it up"),)
    return read_text(text, name)


def read_text(text: str, file: str) -> tuple[Node | None, tuple[Fault, ...]]:
    """Read a YAML text into a tree and the faults found; an empty text is an empty mapping."""
    if not is_text(text):
        return None, (Fault(place=Place(file=file, line=1, column=1), path="", text="has characters that are no text"),)
    composer = _Composer(text, file)
    try:
        node = composer.document()
    except _StopError as stop:
        return None, (*composer.faults, stop.fault)
    except yaml.MarkedYAMLError as error:
        return None, (*composer.faults, _syntax(error, text, file))
    except (yaml.YAMLError, ValueError) as error:
        place = Place(file=file, line=1, column=1)
        return None, (*composer.faults, Fault(place=place, path="", text=f"not YAML: {shown(error)}"))
    return node, tuple(composer.faults)


def is_text(value: str) -> bool:
    """Say whether a text can be written down: halves of surrogate pairs cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class _StopError(Exception):
    """Nothing further in this text can be read."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class _Composer:
    """Turns the parser's events of one text into nodes; never recurses deeper than `MAX_DEPTH`."""

    def __init__(self, text: str, file: str) -> None:
        self.faults: list[Fault] = []
        self._file = file
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)
        self._path: list[str | int] = []

    def document(self) -> Node:
        """Read the one document of the text."""
        next(self._events)
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            return Node(place=self._place(start), value={})
        node = self._node(next(self._events))
        next(self._events)
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            raise _StopError(self._fault(following, "a second document begins here; keep one document per file"))
        return Node(place=node.place, value={}) if node.value is None else node

    def _node(self, event: yaml.Event) -> Node:
        if len(self._path) > MAX_DEPTH:
            raise _StopError(self._fault(event, f"nested deeper than {MAX_DEPTH} levels"))
        if isinstance(event, yaml.AliasEvent):
            self._complain(event, "aliases (*name) are not allowed; write the value out")
            return Node(place=self._place(event), value=None)
        if getattr(event, "anchor", None) is not None:
            self._complain(event, "anchors (&name) are not allowed; write the value out where it is needed")
        if isinstance(event, yaml.ScalarEvent):
            return Node(place=self._place(event), value=self._scalar(event))
        if getattr(event, "tag", None) is not None:
            self._complain(event, f"unknown tag {shown(getattr(event, 'tag', ''))}; the only tag is !secret, for texts")
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(place=self._place(event), value=self._sequence())
        return Node(place=self._place(event), value=self._mapping())

    def _sequence(self) -> tuple[Node, ...]:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            self._path.append(len(items))
            items.append(self._node(event))
            self._path.pop()
        return tuple(items)

    def _mapping(self) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event)
            self._path.append(key)
            if key in entries:
                first = entries[key].key_place
                self._complain(event, f"given twice, first in line {first.line}; remove one of them")
            node = self._node(next(self._events))
            entries.setdefault(key, Entry(key_place=self._place(event), node=node))
            self._path.pop()
        return entries

    def _key(self, event: yaml.Event) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise _StopError(self._fault(event, "a key must be a plain text"))
        if event.anchor is not None or event.tag is not None:
            self._complain(event, "a key must be a plain text without anchor or tag")
        if event.value == "<<" and not event.style:
            self._complain(event, "merge keys (<<) are not allowed; write the values out")
        return str(event.value)

    def _scalar(self, event: yaml.ScalarEvent) -> Leaf:
        text = str(event.value)
        if event.tag == "!secret":
            if _SECRET_NAME.fullmatch(text):
                return SecretName(name=text)
            self._complain(event, "a secret's name has a-z, 0-9, - and _ only, at most 64 characters: !secret shop-key")
            return None
        if event.tag is not None:
            self._complain(event, f"unknown tag {shown(event.tag)}; the only tag is !secret")
            return None
        if event.style:
            return text
        value = _resolve(text)
        if isinstance(value, _Unusable):
            self._complain(event, value.text)
            return None
        return value

    def _place(self, event: yaml.Event) -> Place:
        return _place(event.start_mark, self._file)

    def _fault(self, event: yaml.Event, text: str) -> Fault:
        return Fault(place=self._place(event), path=path_text(tuple(self._path)), text=text)

    def _complain(self, event: yaml.Event, text: str) -> None:
        self.faults.append(self._fault(event, text))


def _place(mark: Any, file: str) -> Place:
    """Count from 1; the parser gives no mark at all where it stopped before the first character."""
    return Place(file=file, line=mark.line + 1, column=mark.column + 1) if mark else Place(file=file, line=1, column=1)


@dataclass(frozen=True, slots=True)
class _Unusable:
    text: str


def _resolve(text: str) -> bool | int | float | str | _Unusable | None:
    """Read a plain scalar by YAML 1.2's core schema, without octal numbers, infinities and NaN.

    `no`, `12:30`, `2026-05-04` and numbers with leading zeros stay texts.
    """
    if text in _WORDS:
        return _WORDS[text]
    whole = _INT.fullmatch(text) or _HEXADECIMAL.fullmatch(text)
    if not whole and not _FLOAT.fullmatch(text):
        return text
    if len(text) > MAX_NUMBER_LENGTH:
        return _Unusable(f"a number of more than {MAX_NUMBER_LENGTH} characters; if it is a text, put it in quotes")
    if whole:
        number = int(text, 0)
        return number if abs(number) < 1 << 63 else _Unusable("too large a number; if it is a text, put it in quotes")
    value = float(text)
    return value if abs(value) != float("inf") else _Unusable("too large a number; if it is a text, put it in quotes")


def _unreadable(error: OSError | ValueError) -> str:
    match error:
        case FileNotFoundError():
            return "no such file"
        case UnicodeDecodeError():
            return f"not UTF-8 at byte {error.start}; save the file as UTF-8"
        case OSError():
            return f"cannot be read: {error.strerror or shown(error)}"
    return f"cannot be read: {shown(error)}"


def _syntax(error: yaml.MarkedYAMLError, text: str, file: str) -> Fault:
    place = _place(error.problem_mark or error.context_mark, file)
    problem = " ".join(part for part in (error.context, error.problem) if part)
    lines = text.splitlines()
    if place.line <= len(lines) and "\t" in lines[place.line - 1][: place.column]:
        problem += "; indent with spaces, not tabs"
    return Fault(place=place, path="", text=f"not YAML: {shown(problem, limit=200)}")
