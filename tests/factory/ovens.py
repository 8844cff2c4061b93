"""A factory whose only machine is an oven behind the mailbox: its power can be cut, and its memory with it."""

import itertools
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from simulators import journal
from simulators.journal import Entry, Event
from tests.eventually import eventually
from tests.factory.bench import Bench, free_ports, without_acceptance
from tests.factory.programs import ROOT, BusinessTime, Program, ask_json

OVEN, OVEN_LINK = "oven-1", "machine:oven-1"
PIECE_S = 60.0  # business seconds; one second on the wall at the speed of these tests


class Oven(Program):
    """A simulated oven with its panel, its power switch and its own journal; nobody stands at the panel."""

    def __init__(self, *more: str, directory: Path, time: BusinessTime) -> None:
        port, panel_port = free_ports(2)
        self.url, self.panel = f"modbus://127.0.0.1:{port}/1", f"http://127.0.0.1:{panel_port}"
        self.journal_path = directory / "oven.journal"
        arguments = ("--journal", str(self.journal_path), "--port", str(port), "--panel-port", str(panel_port))
        pace = ("--cycle-s", str(PIECE_S), *time.arguments)
        super().__init__("oven", "-m", "simulators.oven", *arguments, *pace, *more, directory=directory)

    async def touch(self, **wanted: object) -> dict[str, Any]:
        """Do something at the panel and give what is then to be seen."""
        seen: dict[str, Any] = await ask_json("POST", f"{self.panel}/panel", wanted)
        return seen

    async def press_start(self) -> None:
        """Shut, reset, press Start: what waits in the oven goes on."""
        seen = await self.touch(selector="remote", guard="shut", reset=True, start=True)
        assert seen["handed_over"], seen

    async def power(self, *, cut: bool, lose: bool = False) -> dict[str, Any]:
        """Cut the power or give it back; `lose` empties the retentive memory."""
        seen: dict[str, Any] = await ask_json("POST", f"{self.panel}/power", {"cut": cut, "lose": lose})
        return seen

    async def seen(self) -> dict[str, Any]:
        """Give what can be seen standing in front of it."""
        found: dict[str, Any] = await ask_json("GET", f"{self.panel}/state")
        return found

    @property
    def moved(self) -> list[tuple[str, Event]]:
        """Give every physical event but the pieces, as (job, event)."""
        return [(entry.job, entry.event) for entry in self.entries if entry.event is not Event.MADE]

    @property
    def entries(self) -> list[Entry]:
        """Give all that has moved or been made."""
        return journal.read(self.journal_path)


class OvenBench(Bench):
    """A bench with an oven in the press's place."""

    def __init__(self, directory: Path, *, time: BusinessTime, oven: tuple[str, ...]) -> None:
        super().__init__(directory, site="OVEN", time=time, press=None)
        self.oven = Oven(*oven, directory=directory, time=time)
        self._tools = itertools.count(2)

    def write_settings(self, *, accepted: bool = True) -> None:
        """Write kvot.yaml: every tray is cured, each order is a run of its own; `accepted` as on every bench."""
        text = (ROOT / "tests/factory/oven.yaml").read_text()
        text = text if accepted else without_acceptance(text)
        places = {
            "mqtt://127.0.0.1:1883": self.broker.url,
            "http://127.0.0.1:8080": self.shop.url,
            "modbus://127.0.0.1:1502/1": self.oven.url,
        }
        for old, new in places.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        epoch = f"wall_epoch: {self.time.epoch}, business_epoch: {self.time.epoch}"
        self.gateway.config.write_text(f"{text}\nsimulation: {{speed: {self.time.speed}, {epoch}}}\n")
        self.write_secrets()

    async def open(self) -> None:
        """Start everything, hand the oven over and arm it."""
        self.write_settings()
        self.start(self.oven, self.shop, self.gateway)
        await self.start_broker()
        await self.oven.ready()
        await self.oven.press_start()
        await self.shop.ready()
        await self.gateway.up()
        await self.gateway.linked("mqtt", "shop:webshop", OVEN_LINK)
        await self.arm()

    async def arm(self) -> None:
        """Hand the oven to the gateway by the command that a person uses."""

        async def known() -> bool:
            return bool((await self.gateway.machine())["now"].get("identity"))

        await eventually(known, timeout_s=10)
        armed = await self.gateway.kvot("machines", "arm", OVEN)
        assert armed.code == 0, armed.err

    async def at_piece(self, number: int) -> str:
        """Wait until that many pieces of the running job are made, and give its name."""

        def made() -> list[Entry]:
            return [entry for entry in self.oven.entries if entry.event is Event.MADE and entry.good >= number]

        await eventually(made, timeout_s=30)
        return made()[0].job

    async def restart_gateway(self) -> None:
        """Start the gateway again and wait until it has the oven."""
        self.gateway.start()
        await self.gateway.up()
        await self.gateway.linked(OVEN_LINK)

    async def in_state(self, job: str, state: str) -> None:
        """Wait until the gateway says that of the job."""

        async def there() -> bool:
            return (await self.gateway.job_states()).get(job) == state

        await self._or_report(there)

    async def asked(self) -> dict[str, Any]:
        """Wait until people are asked; there must be one question, and it stays the only one."""

        async def there() -> bool:
            return bool(await self.gateway.items("exceptions"))

        await self._or_report(there)
        await self.has_looked()
        found = await self.gateway.items("exceptions")
        assert len(found) == 1, found
        return found[0]

    async def answer(self, question: dict[str, Any], action: str) -> None:
        """Decide by the command line, in one's own name."""
        number = str(question["exception_id"])
        decided = await self.gateway.kvot("exceptions", "resolve", number, "--action", action, "--note", "looked")
        assert decided.code == 0, decided.err

    async def questions_ever(self) -> int:
        """Count every question that anybody was ever asked, the answered ones too."""
        resolved = (await self.gateway.ask("GET", "/api/v1/exceptions?state=resolved")).json()["items"]
        return len(resolved) + len(await self.gateway.items("exceptions"))

    async def has_looked(self) -> None:
        """Fit another tool, and wait until the gateway has seen it, and so could have done something.

        Only while nothing moves: another tool is a permit that falls.
        """
        number = str(next(self._tools))
        await self.oven.touch(tool=number)

        async def seen() -> bool:
            return bool((await self.gateway.machine())["now"].get("setup_code") == number)

        await eventually(seen, timeout_s=20)

    async def report(self) -> str:
        """Say how everything stands, for a failed test."""
        lines = [f"moved: {self.oven.moved}", f"seen: {await self.oven.seen()}"]
        if self.gateway.runs:
            status = await self.gateway.status()
            lines += [f"{name}: {status[name]}" for name in ("jobs", "machines", "links")]
            lines.append(f"exceptions: {await self.gateway.items('exceptions')}")
        return "\n".join([*lines, self.gateway.log[-3000:]])

    async def _or_report(self, condition: Any, *, timeout_s: float = 30) -> None:
        try:
            await eventually(condition, timeout_s=timeout_s)
        except AssertionError as late:
            raise AssertionError(await self.report()) from late


@asynccontextmanager
async def oven_bench(time: BusinessTime, *oven: str) -> AsyncIterator[OvenBench]:
    """Lay out a bench with an oven of these options; clear it away at the end."""
    made = OvenBench(Path(tempfile.mkdtemp(prefix="kvot-")), time=time, oven=oven)
    try:
        yield made
    finally:
        await made.close()
