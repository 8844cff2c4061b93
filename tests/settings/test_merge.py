"""Several files, overrides and where each value came from."""

import shutil
from pathlib import Path

import pytest

from gateway.errors import SettingsError
from gateway.settings import load
from tests.settings.site import FACTORY, SITE, changed, faults, good, write


def folder_of(tmp_path: Path, **files: str) -> Path:
    write(tmp_path, FACTORY)
    more = tmp_path / "conf.d"
    more.mkdir()
    for name, text in files.items():
        (more / f"{name}.yaml").write_text(text, encoding="utf-8")
    return more


def test_mappings_of_several_files_merge_by_key(tmp_path: Path) -> None:
    more = folder_of(tmp_path, a="ledger: {batch: 100}\n", b="ledger: {commit_interval_ms: 7}\n")
    settings = load(tmp_path / "kvot.yaml", directory=more, secrets=False)
    assert (settings.ledger.batch, settings.ledger.commit_interval_ms) == (100, 7)
    assert settings.origin("ledger.batch") == f"{more}/a.yaml:1:17"
    assert settings.origin("site.id") == f"{tmp_path}/kvot.yaml:2:7"
    assert settings.origin("ledger.unknown") is None


def test_a_value_given_in_two_files_is_a_fault_that_names_both(tmp_path: Path) -> None:
    more = folder_of(
        tmp_path, a="site: {name: A}\n", b="site:\n  name: B\n", c="families: {pla-white: {machines: [x]}}"
    )
    with pytest.raises(SettingsError) as raised:
        load(tmp_path / "kvot.yaml", directory=more, secrets=False)
    text = "\n".join(raised.value.faults)
    assert f"{more}/b.yaml:2:9: site.name: already given in {more}/a.yaml:1:14" in text
    assert f"{more}/c.yaml:1:34: families.pla-white.machines: already given in {tmp_path}/kvot.yaml:25:15" in text


def test_a_local_file_wins_wherever_its_name_sorts(tmp_path: Path) -> None:
    more = folder_of(tmp_path, a="site: {name: A}\n")
    (more / "zz-local-test.yaml").write_text("site: {name: B, id: TEST}\n", encoding="utf-8")
    settings = load(tmp_path / "kvot.yaml", directory=more, secrets=False)
    assert (settings.site.name, settings.site.id, settings.site.enterprise) == ("B", "TEST", "nordform")
    assert settings.origin("site.id") == f"{more}/zz-local-test.yaml:1:21"


def test_a_folder_alone_is_enough_and_other_files_in_it_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, SITE, name="a.yaml")
    (tmp_path / "b.yaml.dpkg-old").write_text("nonsense: [", encoding="utf-8")
    assert load(None, directory=tmp_path).site.id == "LUND"


def test_every_broken_file_of_a_folder_is_reported(tmp_path: Path) -> None:
    more = folder_of(tmp_path, a="a: [", b="b: &x 1")
    with pytest.raises(SettingsError) as raised:
        load(tmp_path / "kvot.yaml", directory=more)
    assert len(raised.value.faults) == 2


def test_no_file_at_all_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for config, directory in ((tmp_path / "x.yaml", None), (None, tmp_path), (None, tmp_path / "x"), (tmp_path, None)):
        with pytest.raises(SettingsError):
            load(config, directory=directory)


def test_the_usual_place_of_a_user_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "kvot" / "conf.d").mkdir(parents=True)
    (tmp_path / "kvot" / "kvot.yaml").write_text(SITE, encoding="utf-8")
    (tmp_path / "kvot" / "conf.d" / "a.yaml").write_text("ledger: {batch: 9}", encoding="utf-8")
    assert load(None).ledger.batch == 9


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("site.id=TEST", ("site", "id"), "TEST"),
        ("shops.webshop.poll_s=0.5", ("shops", "webshop", "poll_s"), 0.5),
        ("shops.webshop.write_back=false", ("shops", "webshop", "write_back"), False),
        ('products."GIFT-*".make=false', ("products", "GIFT-*", "make"), False),
        ('products."A.B=C".make=false', ("products", "A.B=C", "make"), False),
        ("shops.webshop.produce_when={states: [a, b]}", ("shops", "webshop", "produce_when", "states"), ("a", "b")),
        ("shops.webshop.key=!secret other", ("shops", "webshop", "key", "name"), "other"),
        ("site.name=a=b", ("site", "name"), "a=b"),
        ("site.name=", ("site", "name"), None),
        ("mqtt.base=a/b", ("mqtt", "base"), "a/b"),
    ],
)
def test_one_key_of_the_command_line_wins(tmp_path: Path, setting: str, path: tuple[str, ...], value: object) -> None:
    found: object = good(tmp_path, overrides=[setting])
    for part in path:
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value


@pytest.mark.parametrize("setting", ["", "site", "=1", ".=1", "site..id=1", 'a."b=1', "site.id=[", "site.id=&x 1"])
def test_an_override_that_cannot_be_read_is_a_fault(tmp_path: Path, setting: str) -> None:
    assert any("--set" in fault for fault in faults(tmp_path, overrides=[setting]))


def test_the_fault_of_an_override_names_it(tmp_path: Path) -> None:
    assert faults(tmp_path, overrides=["site.id=lund"])[0].startswith("--set site.id=lund:1:1: site.id: 'lund' must")


def test_a_machine_type_may_stand_in_the_configuration_itself(tmp_path: Path) -> None:
    inline = (
        "profiles:\n  press:\n    protocol: opcua\n    dialect: isa95-jobs\n    effect: observable\n    memory: volatile\n"
        "    clears_by_itself: true\n    permits: {remote: a, ready: b}\n"
        "    recipes: {tray: {version: '2', parameters: {width_mm: {min: 1, max: 2}, text: {max_length: 9}}}}\n"
    )
    settings = good(tmp_path, FACTORY + inline)
    assert settings.profile("press-1").recipes["tray"].version == "2"  # it wins over machines/press.yaml
    broken = faults(tmp_path, FACTORY + inline.replace("'2'", "2"))
    assert broken == [
        "kvot.yaml:42:31: profiles.press.recipes.tray.version: must be a text in quotes, not the number 2"
    ]


def test_a_shipped_machine_type_is_found_without_a_file_of_ones_own(tmp_path: Path) -> None:
    file = write(tmp_path, changed("profile: press", "profile: isa95-press"))
    shutil.rmtree(tmp_path / "machines")
    assert load(file, secrets=False).profile("press-1").name == "isa95-press"


def test_the_recipes_of_a_familys_machines_must_be_the_same_version(tmp_path: Path) -> None:
    second = "  press-2: {profile: other, url: opc.tcp://127.0.0.1:2, area: a, line: l, security: none}\n"
    file = write(tmp_path, changed("[press-1]", "[press-1, press-2]") + second)
    text = (tmp_path / "machines" / "press.yaml").read_text("utf-8")
    (tmp_path / "machines" / "other.yaml").write_text(text.replace('"1"', '"2"'), encoding="utf-8")
    with pytest.raises(SettingsError) as raised:
        load(file, secrets=False)
    assert "recipe 'tray' has different versions: 1 on press-1, 2 on press-2" in raised.value.faults[0]
