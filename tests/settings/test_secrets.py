"""Secrets are found in three places, in order, and shown in none."""

import copy
import json
import pickle
from pathlib import Path

import orjson
import pytest

from gateway.errors import SettingsError
from gateway.settings import load
from gateway.settings.secrets import Secret, SecretStore
from tests.settings.site import faults, good, write

CANARY = "canary-5f0c"


def private(folder: Path, name: str, value: str, mode: int = 0o600) -> Path:
    (folder / "secrets").mkdir(exist_ok=True)
    file = folder / "secrets" / name
    file.write_text(value, encoding="utf-8")
    file.chmod(mode)
    return file


def test_the_credential_comes_before_the_file_and_the_file_before_the_environment(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    environment = {"CREDENTIALS_DIRECTORY": str(credentials), "KVOT_SECRET_SHOP_KEY": "from environment"}
    store = SecretStore(directory=tmp_path, environment=environment)
    assert store.find("shop-key").reveal() == "from environment"
    private(tmp_path, "shop-key", "from file\n")
    assert store.find("shop-key").reveal() == "from file"
    (credentials / "shop-key").write_text("from credential", encoding="ascii")
    assert store.find("shop-key").reveal() == "from credential"


def test_a_file_that_others_can_read_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    file = private(tmp_path, "shop-key", "x", mode=0o640)
    store = SecretStore(directory=tmp_path, environment={"KVOT_SECRET_SHOP_KEY": "y"})
    assert store.find("shop-key").problem == f"{file} can be read by others (mode 0640); run: chmod 600 {file}"


@pytest.mark.parametrize("content", ["", "\n", "two\nlines", "a\x00b", "x" * 70_000])
def test_a_file_that_holds_no_usable_value_is_refused(tmp_path: Path, content: str) -> None:
    private(tmp_path, "shop-key", content)
    secret = SecretStore(directory=tmp_path, environment={}).find("shop-key")
    assert secret.problem
    with pytest.raises(SettingsError):
        secret.reveal()


def test_a_secret_that_is_nowhere_names_the_three_places(tmp_path: Path) -> None:
    found = faults(tmp_path, secrets=True)
    assert found[0] == (
        "kvot.yaml:11:10: shops.webshop.key: secret 'shop-key' not found; looked in $CREDENTIALS_DIRECTORY/shop-key"
        " (not set), secrets/shop-key (mode 0600), the environment variable KVOT_SECRET_SHOP_KEY"
    )
    assert len(found) == 2


def test_a_found_secret_reaches_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private(tmp_path, "shop-key", CANARY)
    monkeypatch.setenv("KVOT_SECRET_SHOP_SECRET", "other")
    settings = load(write(tmp_path))
    shop = settings.shops["webshop"]
    assert (shop.key.reveal(), shop.secret.reveal()) == (CANARY, "other")
    assert settings.warnings == ()


def test_nothing_that_prints_or_stores_settings_shows_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVOT_SECRET_SHOP_KEY", CANARY)
    settings = good(tmp_path)
    secret = settings.shops["webshop"].key
    for text in (repr(settings), str(settings), settings.model_dump_json(), f"{secret}", repr(vars(settings))):
        assert CANARY not in text
    assert "!secret shop-key" in settings.model_dump_json()
    assert CANARY.encode() not in orjson.dumps(secret, default=repr)
    assert copy.deepcopy(secret) is secret
    for store in (pickle.dumps, json.dumps):
        with pytest.raises(TypeError):
            store(secret)


def test_secrets_are_equal_only_with_name_and_value() -> None:
    assert Secret("a", "1") == Secret("a", "1")
    assert Secret("a", "1") != Secret("a", "2")
    assert len({Secret("a", "1"), Secret("a", "1")}) == 1


def test_a_clear_text_secret_is_not_repeated_in_the_report(tmp_path: Path) -> None:
    for written in (CANARY, f"[{CANARY}]", f"{{x: {CANARY}}}"):
        found = faults(tmp_path, overrides=[f"shops.webshop.key={written}"])
        assert "must not stand here in clear text" in "".join(found)
        assert not any(CANARY in line.split(": ", 2)[2] for line in found)
