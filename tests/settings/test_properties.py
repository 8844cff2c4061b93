"""Whatever a configuration says, only `SettingsError` leaves the reading of it."""

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.domain.pricing import RunInputs, plan
from gateway.errors import SettingsError
from gateway.settings import Settings, load
from gateway.settings.describe import facts
from gateway.settings.source import read_text
from tests.settings.site import FACTORY, FULL, PROFILE, write

RELAXED = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ALPHABET = "{}[]:,-#&*!|>'\"%@`?<~= \n\tåab01.x_/\\\u2028\x00"
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(FACTORY.split())
)
NUMBERS = st.one_of(
    st.integers(min_value=-1, max_value=10**13),
    st.floats(min_value=0, max_value=1e13),
    st.sampled_from([0, 0.5, 1, 1e-9]),
)
TYPES = ("modbus-mailbox", "station")
NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=9), inner, max_size=3)),
)


def try_to_load(folder: Path, text: str, *, profile: str = PROFILE, override: str | None = None) -> None:
    file = folder / "kvot.yaml"
    write(folder, "", profile=profile)
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        settings = load(file, overrides=[] if override is None else [override], secrets=False)
    except SettingsError as error:
        faults = error.faults
    else:
        use(settings)
        return
    assert faults
    assert all("\n" not in fault for fault in faults)


def use(settings: Settings) -> None:
    """Build everything from a configuration that was found right: nothing more may be wrong with it."""
    settings.range()
    priced = settings.families if settings.shops or settings.pricing.currency else ()
    for family in priced:
        plan(RunInputs(rules=settings.rules(family, list_minor=14_900)), NOW)
    assert all("\n" not in line for line in facts(settings))


def mutated(text: str, seed: int, junk: str) -> str:
    """Replace, drop or double a few pieces of a text, the same way for the same seed."""
    dice = random.Random(seed)
    for _ in range(dice.randint(1, 3)):
        start = dice.randrange(len(text))
        end = min(len(text), start + dice.randint(0, 12))
        piece = dice.choice(["", junk, text[start:end] * 2, text[dice.randrange(len(text)) :][:20]])
        text = text[:start] + piece + text[end:]
    return text


@RELAXED
@given(text=st.text(alphabet=ALPHABET, max_size=60))
@example(text="\ud800")
@example(text="site: {timezone: '\\ud800', id: '\\0'}")
@example(text='"\\ud800": 1')
@example(text="? ? ? a")
def test_no_text_leaves_anything_but_a_settings_error(tmp_path: Path, text: str) -> None:
    try_to_load(tmp_path, text)


@RELAXED
@given(seed=st.integers(min_value=0), junk=st.text(alphabet=ALPHABET, max_size=8))
def test_no_mutation_of_a_right_text_leaves_anything_but_a_settings_error(tmp_path: Path, seed: int, junk: str) -> None:
    try_to_load(tmp_path, mutated(FACTORY, seed, junk))


@RELAXED
@given(seed=st.integers(min_value=0), junk=st.text(alphabet=ALPHABET, max_size=8))
def test_no_mutation_of_runs_routes_and_stations_leaves_anything_but_a_settings_error(
    tmp_path: Path, seed: int, junk: str
) -> None:
    try_to_load(tmp_path, mutated(FULL, seed, junk))


@RELAXED
@given(path=st.data(), value=NUMBERS)
def test_no_number_in_any_place_of_a_family_leaves_anything_but_a_settings_error(
    tmp_path: Path, path: st.DataObject, value: Any
) -> None:
    tree = yaml.safe_load(FULL.replace("!secret ", ""))
    for name in ("key", "secret"):
        tree["shops"]["webshop"][name] = "SECRET"
    holder = tree["families"][path.draw(st.sampled_from(["cure-white", "cure-black"]))]
    key = path.draw(st.sampled_from(sorted(holder)))
    while isinstance(holder[key], dict):
        holder = holder[key]
        key = path.draw(st.sampled_from(sorted(holder)))
    holder[key] = value
    try_to_load(tmp_path, yaml.safe_dump(tree, allow_unicode=True, sort_keys=False).replace("SECRET", "!secret s"))


@RELAXED
@given(seed=st.integers(min_value=0), junk=st.text(alphabet=ALPHABET, max_size=8), type_=st.sampled_from(TYPES))
def test_no_mutation_of_a_modbus_or_station_type_leaves_anything_but_a_settings_error(
    tmp_path: Path, seed: int, junk: str, type_: str
) -> None:
    file = Path(__file__).parents[2] / "config" / "machines" / f"{type_}.yaml"
    text = FULL.replace("{profile: press, url", "{profile: isa95-press, url").replace(
        f"profile: {type_}", "profile: press"
    )
    try_to_load(tmp_path, text, profile=mutated(file.read_text(encoding="utf-8"), seed, junk))


@RELAXED
@given(seed=st.integers(min_value=0), junk=st.text(alphabet=ALPHABET, max_size=8))
def test_no_mutation_of_a_machine_type_leaves_anything_but_a_settings_error(
    tmp_path: Path, seed: int, junk: str
) -> None:
    try_to_load(tmp_path, FACTORY, profile=mutated(PROFILE, seed, junk))


@RELAXED
@given(path=st.data(), value=TREES)
def test_no_value_in_any_place_leaves_anything_but_a_settings_error(
    tmp_path: Path, path: st.DataObject, value: Any
) -> None:
    tree = yaml.safe_load(FACTORY.replace("!secret", "")) | {"profiles": {"inline": yaml.safe_load(PROFILE)}}
    holder, key = tree, path.draw(st.sampled_from(sorted(tree)))
    while isinstance(holder[key], dict) and holder[key] and path.draw(st.booleans()):
        holder = holder[key]
        key = path.draw(st.sampled_from(sorted(holder)))
    holder[key] = value
    try_to_load(tmp_path, yaml.safe_dump(tree, allow_unicode=True, sort_keys=False))


@RELAXED
@given(override=st.text(alphabet='abs."=[]{}:!&* ité.d\ud800\n', max_size=30))
def test_no_override_leaves_anything_but_a_settings_error(tmp_path: Path, override: str) -> None:
    try_to_load(tmp_path, FACTORY, override=override)


@RELAXED
@given(tree=TREES.filter(lambda tree: isinstance(tree, dict)))
def test_a_tree_means_the_same_as_yaml_itself_reads_in_quotes(tree: dict[str, Any]) -> None:
    plain = yaml.safe_load(yaml.safe_dump(tree, allow_unicode=False)) if tree else {}
    text = yaml.safe_dump(_texts(plain), default_style='"', allow_unicode=False, width=10_000)
    node, faults = read_text(text, "f")
    assert faults == ()
    assert node is not None
    assert node.plain() == _tuples(_texts(plain))


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _texts(item) for key, item in value.items()}
    return [_texts(item) for item in value] if isinstance(value, list) else str(value)


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


@pytest.mark.parametrize("text", ["", "site:", "[]", "5", "null", "!secret x", "- a"])
def test_a_text_that_is_no_mapping_of_sections_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError):
        load(write(tmp_path, text))
