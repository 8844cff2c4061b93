"""Several trees become one: mappings merge by key, nothing is replaced in silence."""

import re
from collections.abc import Mapping
from typing import Final

from gateway.settings.faults import Fault, Place, path_text, shown
from gateway.settings.source import Entry, Node, is_text, read_text

_KEYS: Final = re.compile(r'("[^"]*"|[^".=]+)(?:\.|$)')


def merge(base: Node, over: Node, *, wins: bool) -> tuple[Node, tuple[Fault, ...]]:
    """Lay one tree over another; a scalar or list in both is a fault unless the second one `wins`."""
    faults: list[Fault] = []
    merged = _merge(base, over, (), wins=wins, faults=faults)
    return merged, tuple(faults)


def override(base: Node, setting: str) -> tuple[Node, tuple[Fault, ...]]:
    """Apply one `a.b=value` of the command line; keys with dots stand in double quotes."""
    place = Place(file=f"--set {shown(setting)}", line=1, column=1)
    keys_text, equals, value_text = _split(setting)
    keys = [key.strip('"') for key in _KEYS.findall(keys_text)]
    if not equals or not keys or _KEYS.sub("", keys_text) or not is_text(setting):
        return base, (Fault(place=place, path="", text="must look like section.key=value"),)
    value, faults = read_text(value_text, place.file)
    if value is None or faults:
        return base, faults
    if isinstance(value.value, Mapping) and not value.value and "{" not in value_text:
        value = Node(place=place, value=None)  # an empty text is an empty value here, not an empty file
    for key in reversed(keys):
        value = Node(place=place, value={key: Entry(key_place=place, node=value)})
    return merge(base, value, wins=True)


def _split(setting: str) -> tuple[str, str, str]:
    """Part keys from value at the first `=` that stands outside double quotes."""
    quoted = False
    for number, char in enumerate(setting):
        if char == '"':
            quoted = not quoted
        elif char == "=" and not quoted:
            return setting[:number], "=", setting[number + 1 :]
    return setting, "", ""


def _merge(base: Node, over: Node, path: tuple[str, ...], *, wins: bool, faults: list[Fault]) -> Node:
    if isinstance(base.value, Mapping) and isinstance(over.value, Mapping):
        entries = dict(base.value)
        for key, entry in over.value.items():
            known = entries.get(key)
            if known is None:
                entries[key] = entry
            else:
                node = _merge(known.node, entry.node, (*path, key), wins=wins, faults=faults)
                replaced = wins and node is entry.node
                entries[key] = Entry(key_place=entry.key_place if replaced else known.key_place, node=node)
        return Node(place=base.place, value=entries)
    if wins:
        return over
    text = f"already given in {base.place}; remove one, or put this one into a file zz-local*.yaml, which wins"
    faults.append(Fault(place=over.place, path=path_text(path), text=text))
    return base
