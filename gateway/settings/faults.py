"""What is wrong with a configuration, where it stands, and what would cure it."""

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gateway.errors import SettingsError

MAX_FAULTS: Final = 200
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")

Path = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A character in a file; lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """Write it the way editors read it."""
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One thing that is wrong; `path` is the key's path as people write it, empty for a whole file."""

    place: Place
    path: str
    text: str

    def __str__(self) -> str:
        """Write the line that a person and an editor can use."""
        return ": ".join(part for part in (str(self.place), self.path, self.text) if part)


class LocatedSettingsError(SettingsError):
    """A `SettingsError` that also carries its faults as values, in the order of files, lines and columns."""

    def __init__(self, located: Iterable[Fault]) -> None:
        once = tuple(dict.fromkeys(located))
        files = list(dict.fromkeys(fault.place.file for fault in once))
        unique = sorted(once, key=lambda fault: (files.index(fault.place.file), fault.place.line, fault.place.column))
        super().__init__(tuple(str(fault) for fault in unique[:MAX_FAULTS]))
        self.located = tuple(unique[:MAX_FAULTS])


def path_text(path: Path) -> str:
    """Write a path as `shops.webshop.states[0]`, with quotes around keys that need them."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = part if _PLAIN_KEY.fullmatch(part) else json.dumps(shown(part), ensure_ascii=False)
            text += f".{key}" if text else key
    return text


def shown(value: object, *, limit: int = 60) -> str:
    """Show a foreign value in one line: cut, with everything that cannot be printed escaped."""
    text = str(value)
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in cut)


def meant(word: str, known: Iterable[str]) -> str:
    """Give `; did you mean 'x'?` for a near miss, else the list of what is known, else nothing."""
    names = sorted(set(known))
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{shown(near[0])}'?"
    if not names:
        return ""
    listed = ", ".join(shown(name) for name in names[:20]) + (", ..." if len(names) > 20 else "")  # noqa: PLR2004
    return f"; known: {listed}"
