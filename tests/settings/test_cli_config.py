"""`kvot config`: what it prints where, and how it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.config import app
from tests.settings.site import FACTORY, changed, write

EXAMPLE = Path(__file__).parents[2] / "config" / "kvot.example.yaml"
run = CliRunner().invoke


def test_check_says_ok_and_what_follows_from_the_configuration() -> None:
    result = run(app, ["check", "-c", str(EXAMPLE)])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "ok"
    assert "product TRAY-12: make by recipe tray on press-1 (pla-white), promised in 5 days" in result.stdout
    assert "control start: Kvot asks, the machine starts by its own permits (RA-2026-014" in result.stdout
    assert "warning: " in result.stderr
    assert "KVOT_SECRET_WEBSHOP_KEY" in result.stderr


def test_three_mistakes_give_three_located_errors_and_exit_3(tmp_path: Path) -> None:
    text = changed("currency: SEK", "currency: kr", changed("static_days: 5", "static_days: -1"))
    file = write(tmp_path, changed("recipe: tray", "recipe: try", text))
    result = run(app, ["check", "-c", str(file)])
    assert result.exit_code == 3
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        [f"{file}:13:15", "shops.webshop.currency"],
        [f"{file}:17:13", "products.TRAY-12.recipe"],
        [f"{file}:26:28", "families.pla-white.promise.static_days"],
    ]


def test_check_writes_a_list_for_editors(tmp_path: Path) -> None:
    file = write(tmp_path, changed("currency: SEK", "curency: SEK"))
    result = run(app, ["check", "-c", str(file), "--output", "json"])
    assert result.exit_code == 3
    findings = json.loads(result.stdout)
    assert findings[1] == {
        "severity": "error",
        "file": str(file),
        "line": 13,
        "column": 5,
        "path": "shops.webshop.curency",
        "text": "unknown key; did you mean 'currency'?",
    }
    right = run(app, ["check", "-c", str(write(tmp_path)), "--output", "json"])
    assert right.exit_code == 0
    assert {finding["severity"] for finding in json.loads(right.stdout)} == {"warning"}


def test_show_gives_every_leaf_with_its_origin_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVOT_SECRET_SHOP_KEY", "canary")
    file = write(tmp_path)
    result = run(app, ["show", "-c", str(file), "--origin", "--set", "shops.webshop.poll_s=3"])
    assert result.exit_code == 0
    assert f'site.id = "LUND"  # {file}:2:7' in result.stdout
    assert "shops.webshop.poll_s = 3.0  # --set shops.webshop.poll_s=3:1:1" in result.stdout
    assert "shops.webshop.lag_s = 2  # default" in result.stdout
    assert 'shops.webshop.key = "!secret shop-key"' in result.stdout
    assert "canary" not in result.stdout + result.stderr


def test_show_as_json_is_the_effective_configuration(tmp_path: Path) -> None:
    result = run(app, ["show", "-c", str(write(tmp_path)), "--output", "json"])
    shown = json.loads(result.stdout)
    assert shown["shops"]["webshop"]["key"] == "!secret shop-key"
    assert shown["machines"]["press-1"]["security"] is None
    assert shown["shops"]["webshop"]["produce_when"]["states"] == ["processing", "completed"]
    rows = json.loads(run(app, ["show", "-c", str(write(tmp_path)), "--output", "json", "--origin"]).stdout)
    assert {"path": "api.socket", "value": None, "origin": "default"} in rows


def test_show_of_a_broken_configuration_exits_3(tmp_path: Path) -> None:
    result = run(app, ["show", "-c", str(write(tmp_path, FACTORY + "x: 1\n"))])
    assert (result.exit_code, result.stdout) == (3, "")


def test_schema_writes_the_schema_alone() -> None:
    assert json.loads(run(app, ["schema"]).stdout)["title"] == "Kvot: kvot.yaml"
    assert json.loads(run(app, ["schema", "machine"]).stdout)["properties"]["permits"]


def test_the_verb_group_costs_no_models_until_a_verb_runs() -> None:
    code = "import sys, gateway.cli.config; print(*(m for m in ('pydantic', 'cel.cel', 'asyncua', 'yaml') if m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert loaded.stdout.strip() == ""


def test_checking_a_configuration_starts_no_protocol_library_and_no_command_line_of_cel() -> None:
    code = (
        "import sys; from pathlib import Path; from gateway.settings import load; "
        f"load(Path({str(EXAMPLE)!r}), secrets=False).range(); "
        "print(*(m for m in ('asyncua', 'httpx', 'paho', 'prompt_toolkit', 'cel.cli') if m in sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert loaded.stdout.strip() == ""
