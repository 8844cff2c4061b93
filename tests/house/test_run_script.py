"""The `run` script: it makes its environment once, by hash, and leaves stdout to the verb.

Installing is played by a small `uv` on PATH that writes down how it was called; what the real uv and pip do
is seen each time these tests are started by `./run test`.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import __version__
from tests.house.tree import ROOT

CLI = "import json, os, sys\nprint(json.dumps({'argv': sys.argv[1:], 'cwd': os.getcwd()}))\n"
UV = f"""#!/bin/sh
echo "$@" >>"$UV_LOG"
echo "uv speaks"
if [ "$1" = venv ]; then
    for directory; do :; done
    mkdir -p "$directory/bin"
    ln -s "{sys.executable}" "$directory/bin/python"
fi
"""
NO_VENV = f"""#!/bin/sh
case "$*" in *ensurepip*) exit 1 ;; esac
exec "{sys.executable}" "$@"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout, below a name with a space, holding the script, two locks and a command that shows its arguments."""
    directory = tmp_path / "a checkout"
    package = directory / "gateway"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(CLI)
    shutil.copy(ROOT / "run", directory)
    (directory / "requirements.lock").write_text("one==1\n")
    (directory / "requirements-dev.lock").write_text("one==1\ntwo==2\n")
    _write_program(tmp_path / "bin" / "uv", UV)
    return directory


def test_stdout_holds_what_the_verb_says_and_nothing_else(checkout: Path) -> None:
    ended = _run(checkout, "orders", "list", "--output", "json")
    assert json.loads(ended.stdout)["argv"] == ["orders", "list", "--output", "json"]
    assert "run: making .venv" in ended.stderr
    assert "uv speaks" in ended.stderr


def test_any_verb_is_that_of_the_kvot_command() -> None:
    command = [sys.executable, "-m", "gateway", "version"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert (ended.returncode, ended.stdout.strip()) == (0, __version__)


def test_the_environment_is_made_once(checkout: Path) -> None:
    _run(checkout, "one")
    ended = _run(checkout, "two")
    assert ended.stderr == ""
    assert len(_installs(checkout)) == 1


def test_only_what_the_lock_names_is_installed_each_file_by_its_hash(checkout: Path) -> None:
    _run(checkout, "one")
    (install,) = _installs(checkout)
    assert "--require-hashes" in install
    assert "--no-deps" in install
    assert "--only-binary :all:" in install
    assert install.endswith("requirements.lock")


@pytest.mark.parametrize(("lock", "verb"), [("requirements.lock", "one"), ("requirements-dev.lock", "check")])
def test_a_changed_lock_makes_the_environment_anew(checkout: Path, lock: str, verb: str) -> None:
    _run(checkout, "check", check=False)
    (checkout / ".venv" / "left-over").touch()
    (checkout / lock).write_text("three==3\n")
    _run(checkout, verb, check=False)
    assert not (checkout / ".venv" / "left-over").exists()


def test_the_tests_tools_are_added_without_starting_over(checkout: Path) -> None:
    _run(checkout, "one")
    (checkout / ".venv" / "left-over").touch()
    _run(checkout, "check", check=False)
    assert (checkout / ".venv" / "left-over").exists()
    assert [line.rpartition("/")[2] for line in _installs(checkout)] == ["requirements.lock", "requirements-dev.lock"]
    _run(checkout, "two")
    assert len(_installs(checkout)) == 2


def test_another_version_of_python_makes_the_environment_anew(checkout: Path) -> None:
    _run(checkout, "one")
    (checkout / ".venv" / "made-from" / "python").write_text("3.9.0\n")
    assert "making .venv" in _run(checkout, "two").stderr


def test_an_environment_made_by_hand_is_taken_over(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (checkout / ".venv" / "left-over").touch()
    assert "bringing .venv up to requirements.lock" in _run(checkout, "one").stderr
    assert (checkout / ".venv" / "left-over").exists()
    assert len(_installs(checkout)) == 1


def test_half_an_environment_is_made_again(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "left-over").touch()
    _run(checkout, "one")
    assert not (checkout / ".venv" / "left-over").exists()


def test_two_at_once_make_one_environment(checkout: Path) -> None:
    started = [
        subprocess.Popen(
            [checkout / "run", verb], env=_environment(checkout), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for verb in ("one", "two")
    ]
    ended = [process.communicate(timeout=50) for process in started]
    assert sorted(json.loads(stdout)["argv"] for stdout, _ in ended) == [["one"], ["two"]]
    assert len(_installs(checkout)) == 1


def test_it_works_from_anywhere_and_through_a_link(checkout: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "json.py").write_text("raise SystemExit('the wrong module was imported')")
    (elsewhere / "kvot").symlink_to(checkout / "run")
    ended = _run(checkout, "one", program=elsewhere / "kvot", cwd=elsewhere)
    assert json.loads(ended.stdout)["cwd"] == str(elsewhere)


def test_settings_of_pip_reach_uv(checkout: Path) -> None:
    program = checkout.parent / "bin" / "uv"
    _write_program(program, UV + '\necho "links=$UV_FIND_LINKS index=$UV_DEFAULT_INDEX" >&2\n')
    ended = _run(checkout, "one", PIP_FIND_LINKS="one two", PIP_INDEX_URL="https://index.example/simple")
    assert "links=one,two index=https://index.example/simple" in ended.stderr


def test_without_uv_and_venv_the_line_to_run_is_said(checkout: Path) -> None:
    binaries = checkout.parent / "bin"
    (binaries / "uv").unlink()
    _write_program(binaries / "python", NO_VENV)
    _write_program(binaries / "id", "#!/bin/sh\necho 1000\n")
    ended = _run(checkout, "one", check=False, KVOT_PYTHON=str(binaries / "python"))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "sudo apt-get install -y python3-venv" in ended.stderr


def test_as_root_what_is_missing_is_installed(checkout: Path) -> None:
    binaries = checkout.parent / "bin"
    (binaries / "uv").unlink()
    _write_program(binaries / "python", NO_VENV)
    _write_program(binaries / "id", "#!/bin/sh\necho 0\n")
    _write_program(binaries / "apt-get", '#!/bin/sh\necho "apt-get $*"\nexit 1\n')
    ended = _run(checkout, "one", check=False, KVOT_PYTHON=str(binaries / "python"))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "apt-get install -y -q --no-install-recommends python3-venv" in ended.stderr
    assert "apt-get update" in ended.stderr
    assert "run: apt-get could not install python3-venv" in ended.stderr


def test_a_failed_installation_is_tried_again_next_time(checkout: Path) -> None:
    program = checkout.parent / "bin" / "uv"
    _write_program(program, UV + '\n[ "$1" != pip ]\n')
    # pip is asked next: the environment of this test has none that could install one==1.
    ended = _run(checkout, "one", check=False, PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull)
    assert ended.returncode == 1
    assert "could not install requirements.lock" in ended.stderr
    _write_program(program, UV)
    _run(checkout, "two")


def test_every_check_is_made_and_those_that_fail_are_named(checkout: Path) -> None:
    _run(checkout, "one")
    (checkout / ".venv" / "bin" / "python").unlink()
    fake = '#!/bin/sh\ncase "$*" in *"ruff check"*) exit 1 ;; *sys.version*) exec "$REAL" "$@" ;; esac\n'
    _write_program(checkout / ".venv" / "bin" / "python", fake)
    _write_program(checkout / ".venv" / "bin" / "lint-imports", "#!/bin/sh\nexit 1\n")
    ended = _run(checkout, "check", check=False, REAL=sys.executable)
    assert ended.returncode == 1
    assert "run: not clean: style imports" in ended.stderr


def _run(
    checkout: Path,
    *arguments: str,
    program: Path | None = None,
    cwd: Path | None = None,
    check: bool = True,
    **more: str,
) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [program or checkout / "run", *arguments],
        cwd=cwd or checkout.parent,
        env=_environment(checkout) | more,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert not check or ended.returncode == 0, ended.stderr
    return ended


def _environment(checkout: Path) -> dict[str, str]:
    """Give what the script sees of this machine: our own programs first, then the system's."""
    binaries = checkout.parent / "bin"
    python = binaries / "python3"
    if not python.exists():
        python.symlink_to(sys.executable)
    return {
        "PATH": f"{binaries}:/usr/bin:/bin",
        "HOME": str(checkout.parent),
        "UV_LOG": str(checkout.parent / "uv.log"),
    }


def _installs(checkout: Path) -> list[str]:
    lines = (checkout.parent / "uv.log").read_text().splitlines()
    return [line for line in lines if line.startswith("pip install")]


def _write_program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(0o755)
