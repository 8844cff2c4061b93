"""The service unit: systemd accepts it, and lets it touch little."""

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.house.tree import ROOT

UNIT = ROOT / "systemd" / "kvot.service"
EXPOSURE_MAX = 1.2  # with TCP only; serial ports would have 1.4

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed on this machine"
)


@needs_analyze
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    command = _setting("ExecStart").split()[0]
    unit = tmp_path / "kvot.service"
    unit.write_text(UNIT.read_text().replace(command, shutil.which("true") or "/bin/true"))
    ended = _run("systemd-analyze", "verify", "--man=no", str(unit))
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")


@needs_analyze
def test_systemd_finds_a_fault_where_there_is_one(tmp_path: Path) -> None:
    unit = tmp_path / "kvot.service"
    unit.write_text(UNIT.read_text().replace("Restart=always", "Restart=mostly"))
    assert "mostly" in _run("systemd-analyze", "verify", "--man=no", str(unit)).stderr


@needs_analyze
def test_the_exposure_of_the_service_stays_low() -> None:
    ended = _run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX * 10:.0f}", str(UNIT))
    told = re.search(r"exposure level for .*?: ([\d.]+)", ended.stdout)
    assert told, ended.stdout + ended.stderr
    assert float(told[1]) <= EXPOSURE_MAX
    assert ended.returncode == 0, told[0]


def test_a_wrong_configuration_is_not_tried_again() -> None:
    assert _setting("RestartPreventExitStatus") == "78"
    assert _setting("Restart") == "always"


def test_the_daemon_says_itself_when_it_is_ready_and_alive() -> None:
    assert _setting("Type") == "notify"
    assert _setting("NotifyAccess") == "main"
    assert int(_setting("WatchdogSec")) > 0


def test_people_on_the_control_socket_keep_their_uid() -> None:
    assert "PrivateUsers" not in dict(_service())


def test_the_service_and_its_files_name_the_same_user() -> None:
    user = _setting("User")
    assert f"u {user} " in (ROOT / "systemd" / "kvot.sysusers.conf").read_text()
    for line in (ROOT / "systemd" / "kvot.tmpfiles.conf").read_text().splitlines():
        if line.startswith("d "):
            kind, path, mode, owner, group = line.split()
            assert (kind, owner) == ("d", "root")
            assert group == user or mode == "0700", path


@pytest.mark.skipif(
    shutil.which("systemd-sysusers") is None or os.getuid() != 0,
    reason="systemd-sysusers is not installed, or this is not root",
)
def test_systemd_makes_user_and_directories(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    made = _run("systemd-sysusers", f"--root={tmp_path}", str(ROOT / "systemd" / "kvot.sysusers.conf"))
    assert made.returncode == 0, made.stderr
    assert "kvot:" in (tmp_path / "etc" / "passwd").read_text()
    made = _run("systemd-tmpfiles", f"--root={tmp_path}", "--create", str(ROOT / "systemd" / "kvot.tmpfiles.conf"))
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "etc" / "kvot" / "credentials").stat().st_mode & 0o777 == 0o700


def _service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


def _setting(name: str) -> str:
    return _service()[name]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
