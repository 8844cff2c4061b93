"""Who may import whom: the repository keeps each contract of pyproject.toml, and each contract sees its breach."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.house.tree import ROOT

CONTRACTS = {
    contract["id"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}
OURS = re.compile(r"^(gateway|drivers|simulators)(\.|$)")

# contract: module, the import that it must refuse
BREACHES = {
    "simulators-stand-alone": ("simulators.press.machine", "import drivers.base"),
    "simulators-apart": ("simulators.press.machine", "import simulators.shop.store"),
    "witness-alone": ("simulators.witness", "import simulators.journal"),
    "drivers-know-machines-only": ("drivers.opcua.session", "import gateway.domain.orders"),
    "port-below-protocols": ("drivers.base", "import drivers.profile"),
    "port-is-values": ("drivers.profile", "import os"),
    "handshakes-are-pure": ("drivers.mailbox", "import asyncio"),
    "domain-is-pure": ("gateway.domain.orders", "import time"),
    "gateway-layers": ("gateway.ledger.jobs", "from gateway.stages import tend"),
    "no-cycles": ("gateway.errors", "import gateway.clock"),  # which imports errors in the copy
    "drivers-by-catalog": ("gateway.stages.tend", "from drivers.opcua.session import OpcUa"),
    "catalogs": ("gateway.stages.tend", "import drivers.catalog"),
    "shops-by-catalog": ("gateway.stages.intake", "import gateway.shops.woocommerce"),
    "only-opcua": ("gateway.daemon", "import asyncua"),
    "only-modbus": ("simulators.modbus_wire", "import pymodbus"),
    "only-http-client": ("gateway.cli.client", "import httpx"),
    "only-pdf": ("gateway.stages.fetch", "import pypdf"),
    "only-mqtt": ("gateway.stages.publish", "import paho.mqtt.client"),
    "only-sql": ("gateway.stages.plan", "import sqlite3"),
    "only-rest": ("gateway.cli.client", "import fastapi"),
    "only-edge-models": ("gateway.ledger.jobs", "from pydantic import BaseModel"),
    "only-terminal": ("gateway.api.app", "import rich"),
}
SOUND = {
    "gateway.clock": "import gateway.errors",
    "drivers.catalog": "import drivers.opcua.session",
    "drivers.opcua.session": "import asyncua",
    "drivers.modbus.session": "import pymodbus, drivers.handshake",
    "drivers.handshake": "import drivers.mailbox",
    "gateway.shops.http": "import httpx",
    "gateway.files.pdf": "import pypdf",
    "gateway.settings.check": "import drivers.catalog",
    "gateway.ledger.jobs": "import sqlalchemy, sqlite3",
    "gateway.api.app": "import fastapi, pydantic, starlette, uvicorn",
    "gateway.cli": "import rich, typer",
    "gateway.cli.client": "import http.client",
    "simulators.witness": "import paho.mqtt.client",
    "gateway.domain.orders": "import drivers.base",
}


def test_the_repository_keeps_every_contract() -> None:
    ended = _lint(ROOT)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_contract_has_a_breach_that_is_tried() -> None:
    assert set(BREACHES) == set(CONTRACTS)


def test_sound_imports_keep_every_contract(tmp_path: Path) -> None:
    ended = _lint(_copy(tmp_path, SOUND))
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("contract", BREACHES)
def test_a_breach_is_told_in_words(contract: str, tmp_path: Path) -> None:
    module, line = BREACHES[contract]
    sound = SOUND | {module: "\n".join(filter(None, (SOUND.get(module), line)))}
    ended = _lint(_copy(tmp_path, sound), "--contract", contract)
    told = " ".join(ended.stdout.split())
    assert ended.returncode == 1, told
    assert CONTRACTS[contract]["name"] in told
    assert CONTRACTS[contract]["broken_contract_guidance"] in told
    assert module.rpartition(".")[2] in told


def _copy(directory: Path, imports: dict[str, str]) -> Path:
    """Build the skeleton of the repository: every module that contracts and breaches name, holding these imports."""
    named = {text for contract in CONTRACTS.values() for text in _modules(contract)}
    named |= (
        set(imports) | {module for module, _ in BREACHES.values()} | {"simulators.shop.store", "simulators.journal"}
    )
    named |= {"drivers.opcua.session", "drivers.profile", "drivers.base", "gateway.stages.tend"}
    for module in named:
        path = directory.joinpath(*module.split("."))
        path.mkdir(parents=True, exist_ok=True)
        for package in (path, *path.relative_to(directory).parents):
            directory.joinpath(package, "__init__.py").touch()
    directory.joinpath("__init__.py").unlink()
    for module, lines in imports.items():
        directory.joinpath(*module.split("."), "__init__.py").write_text(f"{lines}\n")
    (directory / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    return directory


def _modules(contract: dict[str, list[str]]) -> set[str]:
    listed = {name for key, names in contract.items() if key.endswith(("modules", "importers")) for name in names}
    for layer in contract.get("layers", ()):
        names = re.findall(r"\w+", layer)
        listed |= {f"{container}.{name}" for container in contract["containers"] for name in names}
    return {name for name in listed if OURS.match(name)}


def _lint(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    environment = os.environ | {"PYTHONPATH": str(directory), "COLUMNS": "1000"}
    command = [sys.executable, "-c", script, "--no-cache", "--no-logo", *arguments]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=50, check=False
    )
