"""The schemas in config/ are those of the models, and the shipped files keep to both."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.domain.pricing import Release
from gateway.settings import load
from gateway.settings.load import read_profile
from gateway.settings.schema import FILES, schema, schema_text
from tests.settings.site import write

CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize("kind", FILES)
def test_the_schema_in_config_is_the_generated_one(kind: str) -> None:
    kept = (CONFIG / FILES[kind]).read_text(encoding="utf-8")
    assert kept == schema_text(kind), f"write it anew: kvot config schema {kind} > config/{FILES[kind]}"


@pytest.mark.parametrize("kind", FILES)
def test_every_key_is_explained(kind: str) -> None:
    generated = schema(kind)
    for name, part in {**generated["$defs"], "": generated}.items():
        assert part["description"], name
        assert part["additionalProperties"] is False, name
        for key, meaning in part["properties"].items():
            assert meaning.get("description"), f"{name}.{key}"


@pytest.mark.parametrize("file", ["kvot.example.yaml", "demo/kvot.yaml", "demo/full.yaml"])
def test_a_shipped_configuration_is_right_on_a_fresh_clone(file: str) -> None:
    settings = load(CONFIG / file, secrets=False)
    assert settings.range().find(("TRAY-12",), {}) is not None
    assert {fault.path for fault in settings.warnings} == {"shops.webshop.key", "shops.webshop.secret"}


def test_what_the_example_only_shows_is_right_as_well(tmp_path: Path) -> None:
    """Lines that begin with `  # ` are parts to switch on; `  ## ` is prose."""
    text = (CONFIG / "kvot.example.yaml").read_text(encoding="utf-8")
    whole = re.sub(r"^  # ", "  ", text, flags=re.MULTILINE)
    assert whole.count("\n") == text.count("\n")
    settings = load(write(tmp_path, whole), secrets=False)
    policies = {name: family.policy_name for name, family in settings.families.items()}
    assert policies == {"pla-white": "static", "cure-white": "distance", "cure-black": "countdown"}
    assert {fault.path for fault in settings.warnings} == {"shops.webshop.key", "shops.webshop.secret"}
    assert len(settings.range().products[1].route) == 3
    generated = schema("settings")
    _conforms(yaml.load(whole.replace("!secret ", ""), Loader=yaml.BaseLoader), generated, generated["$defs"], "")


def test_the_demo_shows_both_policies_a_route_and_a_station() -> None:
    settings = load(CONFIG / "demo" / "full.yaml", secrets=False)
    factory = settings.range()
    assert {name: family.policy.value for name, family in factory.families.items()} == {
        "pla-white": "static",
        "set-pressing": "static",
        "edges": "static",
        "cure-white": "distance",
        "cure-black": "countdown",
        "packing": "static",
    }
    route = factory.find(("SET-12",), {})
    assert route is not None
    assert [step.family for step in route.route] == ["set-pressing", "cure-white", "packing"]
    for name in ("cure-white", "cure-black"):
        run = settings.rules(name).run
        assert (run.places, run.threshold, run.window_h, run.release) == (10, 4, 0.5, Release.THRESHOLD)


@pytest.mark.parametrize("file", sorted((CONFIG / "machines").glob("*.yaml")), ids=lambda file: file.stem)
def test_each_shipped_machine_type_is_right(file: Path) -> None:
    profile, faults = read_profile(file)
    assert faults == ()
    assert profile is not None
    assert profile.to_profile(file.stem).recipes


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("settings", "kvot.example.yaml"),
        ("settings", "demo/kvot.yaml"),
        ("settings", "demo/full.yaml"),
        *(("machine", f"machines/{f.name}") for f in (CONFIG / "machines").glob("*.yaml")),
    ],
)
def test_an_editor_finds_nothing_wrong_with_a_shipped_file(kind: str, file: str) -> None:
    text = (CONFIG / file).read_text(encoding="utf-8").replace("!secret ", "")
    generated = schema(kind)
    _conforms(yaml.load(text, Loader=yaml.BaseLoader), generated, generated["$defs"], file)


def test_an_editor_finds_an_unknown_key() -> None:
    generated = schema("settings")
    with pytest.raises(AssertionError, match=r"site\.nam"):
        _conforms({"site": {"nam": "x"}}, generated, generated["$defs"], "")


def test_the_schemas_are_json_without_surprises() -> None:
    for kind in FILES:
        assert json.loads(schema_text(kind))["$schema"].startswith("https://json-schema.org/")


def _conforms(value: Any, part: dict[str, Any], definitions: dict[str, Any], where: str) -> None:
    """Check structure and key names the way an editor does; scalars are only told from mappings and lists."""
    part = definitions[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
    if options := part.get("anyOf") or part.get("oneOf"):
        part = next(option for option in _flat(options) if _kind(option, definitions) == _kind_of(value))
        part = definitions[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
    assert _kind(part, definitions) == _kind_of(value), where
    if isinstance(value, dict):
        for key, item in value.items():
            inner = part.get("properties", {}).get(key) or _named(part, key)
            assert inner, f"{where}.{key}"
            _conforms(item, inner, definitions, f"{where}.{key}")
        assert set(part.get("required", ())) <= set(value), where


def _flat(options: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the ways in which a value may be written; an optional one may have several itself."""
    return [inner for option in options for inner in option.get("oneOf", [option])]


def _named(part: dict[str, Any], key: str) -> Any:
    for pattern, inner in part.get("patternProperties", {}).items():
        if re.search(pattern, key):
            return inner
    return part.get("additionalProperties")


def _kind(part: dict[str, Any], definitions: dict[str, Any]) -> str:
    part = definitions[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
    return {"object": "mapping", "array": "list"}.get(str(part.get("type")), "scalar")


def _kind_of(value: object) -> str:
    return "mapping" if isinstance(value, dict) else "list" if isinstance(value, list) else "scalar"
