"""The `kvot` command as integrators use it: exit codes, stdout for answers alone, quick help."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway import __version__
from gateway.cli import exits
from gateway.cli.verbs import app
from tests.api.test_control import Caller, caller
from tests.shops.fake_shop import an_order

__all__ = ["caller"]  # the fixture
HEAVY = ("asyncua", "fastapi", "sqlalchemy", "pydantic", "httpx", "cel", "paho")


class Kvot:
    """Runs verbs against one control socket, each in a thread of its own."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def __call__(self, *words: str, exits_with: int = exits.OK) -> str:
        runner = CliRunner()
        result = await asyncio.to_thread(runner.invoke, app, [*words, "--socket", str(self._socket)])
        assert result.exit_code == exits_with, result.output
        return result.stdout if exits_with == exits.OK else result.stderr


@pytest.mark.parametrize(
    "verb",
    [
        "status",
        "orders list",
        "jobs list",
        "machines list",
        "exceptions list",
        "runs list",
        "stock list",
        "outbox list",
    ],
)
async def test_every_question_is_answered_as_json_on_stdout(caller: Caller, verb: str) -> None:
    answer = json.loads(await Kvot(caller.path)(*verb.split(), "--output", "json"))
    assert isinstance(answer, list | dict)


async def test_people_get_a_table_with_what_they_ordered(caller: Caller) -> None:
    caller.factory.shop.place(an_order("1001"))
    await caller.factory.pull()
    kvot = Kvot(caller.path)
    assert "1001" in await kvot("orders", "list")
    shown = await kvot("orders", "show", "1", "--trace")
    assert "order.received" in shown
    assert "TRAY-12" in shown


async def test_an_exception_is_listed_and_decided(caller: Caller) -> None:
    caller.factory.shop.place(an_order("1001", sku="NEW-1"))
    await caller.factory.pull()
    kvot = Kvot(caller.path)
    assert "NEW-1" in await kvot("exceptions", "list")
    await kvot("status", "--check", exits_with=exits.EXCEPTIONS_OPEN)
    await kvot("exceptions", "resolve", "1", "--action", "close")
    await kvot("exceptions", "resolve", "1", "--action", "close", exits_with=exits.REFUSED)
    assert json.loads(await kvot("exceptions", "list", "--output", "json")) == []


async def test_an_order_that_no_machine_has_is_cancelled(caller: Caller) -> None:
    caller.factory.shop.place(an_order("1001"))
    await caller.factory.pull()
    kvot = Kvot(caller.path)
    await kvot("orders", "cancel", "1")
    assert json.loads(await kvot("orders", "show", "1", "--output", "json"))["state"] == "cancelled"


async def test_what_was_set_aside_of_an_order_is_read_again(caller: Caller) -> None:
    caller.factory.shop.place(an_order("1001", sku="NEW-1"))
    await caller.factory.pull()
    kvot = Kvot(caller.path)
    await kvot("orders", "retry", "1")
    history = json.loads(await kvot("orders", "show", "1", "--output", "json"))["history"]
    assert any(event["who"].startswith("person:") for event in history)


@pytest.mark.parametrize(
    "verb", ["jobs abort LUND-1-1", "jobs reroute LUND-1-1 --machine press-1", "outbox replay shop:webshop order:1"]
)
async def test_what_is_not_there_is_not_acted_upon(caller: Caller, verb: str) -> None:
    said = await Kvot(caller.path)(*verb.split(), exits_with=exits.REFUSED)
    assert "list` shows" in said


async def test_a_machine_is_armed_and_taken_back(caller: Caller) -> None:
    kvot = Kvot(caller.path)
    refusal = await kvot("machines", "arm", "press-1", exits_with=exits.REFUSED)
    assert "does not answer" in refusal
    await kvot("machines", "disarm", "press-1")


def test_without_a_gateway_the_command_says_so_and_exits_with_4(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["status", "--socket", str(tmp_path / "none.sock")])
    assert result.exit_code == exits.UNREACHABLE
    assert "no gateway answers" in result.stderr
    assert result.stdout == ""


def test_a_terminal_is_never_driven_by_what_a_customer_wrote() -> None:
    from gateway.cli.output import cell

    assert cell("a\x1b[31mred\n") == "a\\x1b[31mred\\n"


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from gateway.cli import main; code = main(['--help']); "
        f"print([name for name in {HEAVY!r} if name in sys.modules], code, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[] 0"
    assert "demo" in done.stdout


def test_version_is_one_line() -> None:
    assert CliRunner().invoke(app, ["version"]).stdout == f"{__version__}\n"


def test_a_bad_configuration_stops_the_daemon_with_78_and_names_the_place(tmp_path: Path) -> None:
    config = tmp_path / "kvot.yaml"
    config.write_text("site: {id: lund}\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "run", "-c", str(config), "--state-dir", str(tmp_path / "state")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == exits.CONFIGURATION_AT_START
    assert f"{config}:1:" in done.stderr
