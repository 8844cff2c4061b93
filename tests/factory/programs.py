"""The programs of a factory as child processes that a test can start, freeze, kill and start again."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from simulators import journal
from simulators.journal import Entry, Event
from tests.eventually import eventually

ROOT = Path(__file__).parents[2]
READY_S = 60.0
END_S = 30.0
KEY, SECRET = "ck_by_hand", "cs_by_hand"
_WIRES = {"X-Simulator": "1"}


class Program:
    """One child process; it may be started more than once, always by the same command."""

    def __init__(self, name: str, *argv: str, directory: Path) -> None:
        self.name = name
        self._argv = [sys.executable, *argv]
        self._out, self._log = directory / f"{name}.out", directory / f"{name}.log"
        self._said = 0  # bytes on stdout before the present start
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    def start(self) -> None:
        assert self._process is None or self._process.poll() is not None, f"{self.name} runs already"
        with self._out.open("ab") as out, self._log.open("ab") as log:
            self._said = out.tell()
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env=_environment(),
                cwd=self._out.parent,
                start_new_session=True,
            )

    async def ready(self) -> dict[str, Any]:
        """Wait for the line that the program says first after its start."""
        await eventually(self._first_line, timeout_s=READY_S)
        found = json.loads(self._first_line())
        assert isinstance(found, dict)
        assert found["ready"] is True
        return found

    def kill(self) -> None:
        """End it without any chance to tidy up."""
        self.process.kill()
        self.process.wait(END_S)

    def freeze(self) -> None:
        """Stop it where it stands; its connections stay open."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Ask it to end."""
        self.process.terminate()

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def end(self) -> None:
        """End it in any case, and at once; how it ends in order is a test of its own."""
        if self.runs:
            self.kill()

    def _first_line(self) -> str:
        if not self.runs:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.log[-3000:]}")
        first, newline, _ = self._out.read_bytes()[self._said :].partition(b"\n")
        return first.decode() if newline else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class BusinessTime:
    """The one time that every program of a factory lives in."""

    speed: float
    epoch: str

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("--speed", str(self.speed), "--wall-epoch", self.epoch, "--business-epoch", self.epoch)


class Shop(Program):
    """A simulated shop. It keeps nothing over a kill, as its seed lets the same customers order again."""

    def __init__(self, *more: str, directory: Path, time: BusinessTime, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        keys = ("--key", KEY, "--secret", SECRET, "--behind-proxy")  # so that a test need not sign what it asks
        argv = ("-m", "simulators.shop", "--port", str(port), *keys, *time.arguments, *more)
        super().__init__("shop", *argv, directory=directory)

    async def open(self) -> None:
        """Let the customers come."""
        await ask_json("POST", f"{self.url}/_simulator/customers", {"running": True}, headers=_WIRES)

    async def place(
        self, *, quantity: int = 1, sku: str = "TRAY-12", status: str = "processing", **options: str
    ) -> int:
        """Place an order of one line, perhaps with more options, and give its number."""
        chosen = {"width_mm": "80", "engraving": "Fika", **options}
        lines = [{"sku": sku, "quantity": quantity, "options": chosen}]
        placed = await ask_json(
            "POST", f"{self.url}/_simulator/orders", {"lines": lines, "status": status}, headers=_WIRES
        )
        return int(placed["id"])

    async def spoil(self, kind: str, **more: int) -> None:
        """Let something go wrong."""
        await ask_json("POST", f"{self.url}/_simulator/faults", {"kind": kind, **more}, headers=_WIRES)

    async def progress(self) -> dict[str, Any]:
        found: dict[str, Any] = await ask_json("GET", f"{self.url}/_simulator/status", headers=_WIRES)
        return found

    async def told(self) -> dict[int, str | None]:
        """Give what each order in the shop's own list says about its making."""
        url = f"{self.url}/wp-json/wc/v3/orders?per_page=100"
        listed = await ask_json("GET", url, headers={"X-Forwarded-Proto": "https"}, auth=(KEY, SECRET))
        return {order["id"]: _meta(order).get("_kvot_state") for order in listed}


class Press(Program):
    """A simulated press with its panel, its list of faults and its own journal."""

    def __init__(self, *more: str, directory: Path, time: BusinessTime, port: int, panel_port: int) -> None:
        self.endpoint, self.panel = f"opc.tcp://127.0.0.1:{port}", f"http://127.0.0.1:{panel_port}"
        self.journal_path = directory / "press.journal"
        ports = ("--port", str(port), "--panel-port", str(panel_port))
        argv = ("-m", "simulators.press", "--journal", str(self.journal_path), *ports, *time.arguments, *more)
        super().__init__("press", *argv, directory=directory)

    async def touch(self, **wanted: object) -> dict[str, Any]:
        """Do something at the panel and give what is then to be seen."""
        seen: dict[str, Any] = await ask_json("POST", f"{self.panel}/panel", wanted)
        return seen

    async def hand_over(self) -> None:
        """Shut, reset, press Start: the press may start by itself from now on."""
        seen = await self.touch(selector="remote", guard="shut", reset=True, start=True)
        assert seen["handed_over"], seen

    async def break_down(self, **faults: object) -> None:
        """Put these faults in force instead of the present ones; none repairs everything."""
        await ask_json("POST", f"{self.panel}/faults", faults)

    async def jobs(self, site: str) -> dict[str, str]:
        """Give the state of each of one site's jobs in its list."""
        seen = await ask_json("GET", f"{self.panel}/state")
        return {job["job_id"]: job["state_text"] for job in seen["jobs"] if job["job_id"].startswith(f"{site}-")}

    def moved(self, site: str) -> list[Entry]:
        """Give the physical events of one site's jobs."""
        return [entry for entry in journal.read(self.journal_path) if entry.job.startswith(f"{site}-")]

    def started(self, site: str) -> list[str]:
        """Name the job of each physical start of one site, in order."""
        return [entry.job for entry in self.moved(site) if entry.event is Event.START]


class Saw(Program):
    """A simulated machine that remembers no jobs; its journal numbers its starts."""

    def __init__(self, *more: str, directory: Path, time: BusinessTime, port: int, panel_port: int) -> None:
        self.port, self.url, self.panel = port, f"modbus://127.0.0.1:{port}", f"http://127.0.0.1:{panel_port}"
        self.journal_path = directory / "saw.journal"
        ports = ("--port", str(port), "--panel-port", str(panel_port))
        argv = ("-m", "simulators.plain", "--journal", str(self.journal_path), *ports, *time.arguments, *more)
        super().__init__("saw", *argv, directory=directory)

    async def state(self) -> dict[str, Any]:
        seen: dict[str, Any] = await ask_json("GET", f"{self.panel}/state")
        return seen

    async def touch(self, **wanted: object) -> dict[str, Any]:
        """Do something at the panel and give what is then to be seen."""
        seen: dict[str, Any] = await ask_json("POST", f"{self.panel}/panel", wanted)
        return seen

    async def break_down(self, **faults: object) -> None:
        """Put these faults in force instead of the present ones; none repairs everything."""
        await ask_json("POST", f"{self.panel}/faults", faults)

    async def power_cycle(self, *, lose: bool) -> None:
        """Cut the power, with or without the loss of its counters, give it back, and press reset."""
        await ask_json("POST", f"{self.panel}/power", {"cut": True, "lose": lose})
        await ask_json("POST", f"{self.panel}/power", {"cut": False})
        await self.touch(reset=True)

    @property
    def starts(self) -> int:
        """Count its physical starts."""
        return sum(entry.event is Event.START for entry in journal.read(self.journal_path))


class Gateway(Program):
    """The gateway, pointed by its configuration file and nothing else."""

    def __init__(self, *, config: Path, state: Path) -> None:
        self.config, self.state, self.socket = config, state, state / "kvot.sock"
        argv = ("-m", "gateway", "run", "-c", str(config), "--state-dir", str(state))
        super().__init__("gateway", *argv, directory=config.parent)

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.AsyncHTTPTransport(uds=str(self.socket), verify=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://kvot", trust_env=False, timeout=10
        ) as client:
            return await client.request(method, path, **more)

    async def up(self) -> None:
        """Wait until it answers."""

        async def answers() -> bool:
            if not self.runs:
                raise AssertionError(f"the gateway ended with {self.process.returncode}:\n{self.log[-3000:]}")
            try:
                return (await self.ask("GET", "/healthz")).text == "ok\n"
            except httpx.TransportError:
                return False

        await eventually(answers, timeout_s=READY_S)

    async def status(self) -> dict[str, Any]:
        answer = await self.ask("GET", "/api/v1/status")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def link(self, name: str) -> dict[str, Any]:
        """Give the state of one connection."""
        found: dict[str, Any] = (await self.status())["links"].get(name, {})
        return found

    async def linked(self, *names: str, state: str = "up", timeout_s: float = 25) -> None:
        """Wait until these connections are up (or down)."""

        async def there() -> bool:
            links = (await self.status())["links"]
            return all(links.get(name, {}).get("state") == state for name in names)

        await eventually(there, timeout_s=timeout_s)

    async def machine(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.status())["machines"][0]
        return found

    async def arm(self) -> None:
        """Hand the press to the gateway, as soon as it answers."""
        await self.linked(MACHINE_LINK)
        await eventually(self._armed)

    async def items(self, what: str) -> list[dict[str, Any]]:
        """List jobs, orders or exceptions."""
        answer = await self.ask("GET", f"/api/v1/{what}")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    async def job_states(self) -> dict[str, str]:
        return {job["job_id"]: job["state"] for job in await self.items("jobs")}

    async def kvot(self, *arguments: str) -> "Said":
        """Run a verb of the real command against this gateway."""
        return await kvot(*arguments, "--state-dir", str(self.state))

    async def _armed(self) -> bool:
        answer = await self.ask("POST", "/api/v1/machines/press-1/arm", json={"level": "start"})
        return answer.status_code == 204


MQTT_LINK, SHOP_LINK, MACHINE_LINK = "mqtt", "shop:webshop", "machine:press-1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What a command ended with and wrote."""

    code: int
    out: str
    err: str
    took_s: float


async def kvot(*arguments: str, timeout_s: float = 30) -> Said:
    """Run the real command to its end."""
    began = time.monotonic()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(),
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode is not None
    return Said(code=child.returncode, out=out.decode(), err=err.decode(), took_s=time.monotonic() - began)


async def ask_json(
    method: str, url: str, body: object = None, *, headers: Mapping[str, str] | None = None, **more: Any
) -> Any:
    """Ask a simulator over its own door and give what it answers."""
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=10) as client:
        answer = await client.request(method, url, json=body, headers=dict(headers or {}), **more)
    assert answer.is_success, f"{method} {url}: {answer.status_code} {answer.text}"
    return answer.json()


def _meta(order: Mapping[str, Any]) -> dict[str, Any]:
    return {row["key"]: row["value"] for row in order["meta_data"]}


def _environment() -> dict[str, str]:
    """Give a child our code and nothing of our secrets or settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KVOT_", "PYTEST_"))}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
