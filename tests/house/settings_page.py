"""Writes docs/reference/settings.md from the schemas: `python -m tests.house.settings_page`."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.settings.schema import schema
from tests.house.tree import ROOT

PAGE = ROOT / "docs" / "reference" / "settings.md"
_HEAD = """# Settings

Every key of `kvot.yaml`, and of a machine type. Written by `python -m tests.house.settings_page` from the same schema
that `kvot config schema` prints and `kvot config check` goes by. A commented example is
[config/kvot.example.yaml](../../config/kvot.example.yaml); what is not yet acted upon is refused at the start, see
[0012](../decisions/0012-unused-settings-refuse-the-start.md).
"""
_WORDS = {
    "string": "text",
    "number": "number",
    "integer": "whole number",
    "boolean": "true or false",
    "null": "nothing",
}


def page() -> str:
    """Give the page as it has to be."""
    settings, machine = schema("settings"), schema("machine")
    names = {name: _name(name) for name in {**settings["$defs"], **machine["$defs"], "ProfileSettings": {}}}
    parts = [_HEAD, "\n## kvot.yaml\n", *_table(settings, names)]
    for name in sorted(settings["$defs"], key=_name):
        parts += _section(name, settings["$defs"][name], names)
    return "\n".join(parts).rstrip() + "\n"


def _section(name: str, part: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    yield f"\n### {names[name]}\n"
    yield part["description"].splitlines()[0] + "\n"
    yield from _table(part, names)


def _table(part: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for key, value in part["properties"].items():
        default = "needed" if key in part.get("required", ()) else _default(value)
        meaning = value.get("description", "").replace("\n", " ").replace("|", "or")
        yield f"| `{key}` | {_kind(value, names)} | {default} | {meaning} |"


def _kind(value: Mapping[str, Any], names: Mapping[str, str]) -> str:
    if "$ref" in value:
        name = names[value["$ref"].rpartition("/")[2]]
        return f"[{name}](#{name.replace(' ', '-')})"
    if choices := value.get("anyOf") or value.get("oneOf"):
        return " or ".join(_kind(one, names) for one in choices if one.get("type") != "null")
    if "enum" in value or "const" in value:
        return ", ".join(f"`{one}`" for one in value.get("enum", [value.get("const")]))
    match value.get("type"):
        case "array":
            return f"list of {_kind(value['items'], names)}" if "items" in value else "two numbers"
        case "object":
            inner = [*value.get("patternProperties", {}).values(), value.get("additionalProperties")]
            return f"names, each with {_kind(inner[0], names)}" if isinstance(inner[0], dict) else "mapping"
        case list() as kinds:
            return " or ".join(_WORDS[kind] for kind in kinds)
        case kind:
            return _WORDS.get(str(kind), "any value") + _range(value)


def _range(value: Mapping[str, Any]) -> str:
    low = value.get("minimum", value.get("exclusiveMinimum"))
    high = value.get("maximum", value.get("exclusiveMaximum"))
    words = [
        "" if low is None else f"{'above' if 'exclusiveMinimum' in value else 'from'} {low:g}",
        "" if high is None else f"{'below' if 'exclusiveMaximum' in value else 'to'} {high:,.10g}".replace(",", " "),
    ]
    return f" {' '.join(filter(None, words))}" if any(words) else ""


def _default(value: Mapping[str, Any]) -> str:
    default = value.get("default")
    if default is None or isinstance(default, dict) or default in ("", []):
        return ""
    return f"`{json.dumps(default, ensure_ascii=False)}`"


def _name(model: str) -> str:
    words = "".join(f" {sign.lower()}" if sign.isupper() else sign for sign in model.removesuffix("Settings"))
    return words.strip()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
