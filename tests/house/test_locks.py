"""The locks: every file by its hash, one set of versions, no package index named."""

import re
import tomllib

import pytest

from tests.house.tree import ROOT

LOCKS = ("requirements.lock", "requirements-dev.lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_a_version_and_hashes(name: str) -> None:
    entries = _entries(name)
    assert entries
    for line, text in entries.items():
        assert re.match(r"[a-z0-9][a-z0-9.\-]*==\S+", line), line
        assert "--hash=sha256:" in text, line


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_address(name: str) -> None:
    assert "://" not in (ROOT / name).read_text()


def test_the_development_lock_holds_all_of_the_other_one() -> None:
    runtime, development = (_entries(name) for name in LOCKS)
    assert {line: _hashes(text) for line, text in runtime.items()}.items() <= {
        line: _hashes(text) for line, text in development.items()
    }.items()


def test_the_locks_hold_what_the_project_asks_for() -> None:
    wanted = {_name(text) for text in PROJECT["project"]["dependencies"]}
    assert wanted <= {_name(line) for line in _entries("requirements.lock")}
    wanted |= {_name(text) for text in PROJECT["dependency-groups"]["dev"]}
    assert wanted <= {_name(line) for line in _entries("requirements-dev.lock")}


def _entries(name: str) -> dict[str, str]:
    """Give each requirement of a lock (version and marker) with everything below it."""
    found: dict[str, str] = {}
    for block in re.split(r"\n(?=[a-z0-9])", (ROOT / name).read_text(), flags=re.IGNORECASE):
        first, _, rest = block.strip().partition(" \\\n")
        if first and not first.startswith("#"):
            found[first] = rest
    return found


def _hashes(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"--hash=(\S+)", text))


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9.\-_]", requirement)[0].partition("==")[0].lower().replace("_", "-")
