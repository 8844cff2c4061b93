"""A factory whose one machine remembers no jobs: a shop, a simulated plain machine and the gateway as processes."""

import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.eventually import eventually
from tests.factory.bench import MADE_S, free_ports, without_acceptance
from tests.factory.programs import KEY, ROOT, SECRET, BusinessTime, Gateway, Program, Saw, Shop
from tests.simulators.modbus_client import connected

SAW = "saw-1"
START = b"\x05\x00\x00\xff\x00"  # the start coil is written: what the wire carries for it
SITE = """\
site: {{id: SAWS, enterprise: nordform, timezone: Europe/Stockholm, calendar: always}}
simulation: {{speed: {speed}, wall_epoch: {epoch}, business_epoch: {epoch}}}
shops:
  webshop:
    type: woocommerce
    url: {shop}
    key: !secret webshop-key
    secret: !secret webshop-secret
    currency: SEK
    poll_s: 0.2
    produce_when: {{states: [processing], methods: []}}
products:
  EDGE-S: {{family: edges, recipe: trim, parameters: {{length_mm: "600.0", speed: "20.0"}}}}
families:
  edges: {{machines: [saw-1], promise: {{static_days: 5}}}}
machines:
  saw-1:
    profile: modbus-plain
    url: {saw}/1
    area: trimming
    line: line-1
    control: start
    risk_assessment: {{ref: TEST-1, by: nobody is near a simulated saw, date: 2026-05-04}}
    effect_accepted: {{by: its simulator shows its work, date: 2026-05-04, ref: TEST-1}}
"""


class Saws:
    """The parts of one test's factory."""

    def __init__(self, directory: Path, *, time: BusinessTime, cycle_s: float) -> None:
        shop_port, saw_port, panel_port = free_ports(3)
        self.directory, self.time = directory, time
        self.shop = Shop("--waiting", "--orders", "0", "--unpaid", "0", directory=directory, time=time, port=shop_port)
        pace = ("--cycle-s", str(cycle_s), "--counters", "volatile")
        self.saw = Saw(*pace, directory=directory, time=time, port=saw_port, panel_port=panel_port)
        self.gateway = Gateway(config=directory / "kvot.yaml", state=directory / "state")

    def configure(self, *, saw: str | None = None, accepted: bool = True) -> None:
        """Write the configuration, the secrets beside it, and the shipped machine type with a short settle time.

        Without `accepted` nobody has signed for what the saw shows: it must be probed.
        """
        text = SITE.format(speed=self.time.speed, epoch=self.time.epoch, shop=self.shop.url, saw=saw or self.saw.url)
        text = text if accepted else without_acceptance(text)
        self.gateway.config.write_text(text)
        secrets = self.directory / "secrets"
        secrets.mkdir(mode=0o700)
        for name, value in {"webshop-key": KEY, "webshop-secret": SECRET}.items():
            (secrets / name).touch(mode=0o600)
            (secrets / name).write_text(f"{value}\n")
        machines = self.directory / "machines"
        machines.mkdir()
        shipped = (ROOT / "config/machines/modbus-plain.yaml").read_text()
        changed, found = re.subn(r"(?m)^settle_s: \S+", "settle_s: 0.5", shipped)
        assert found == 1
        (machines / "modbus-plain.yaml").write_text(changed)

    async def start(self, *, armed: bool = True) -> None:
        """Start everything, reset the saw and hand it over, or leave that to the test."""
        for program in (self.shop, self.saw, self.gateway):
            program.start()
        await self.shop.ready()
        await self.saw.ready()
        await self.saw.touch(reset=True)
        await self.gateway.up()
        if armed:
            await self.hand_over()

    async def hand_over(self) -> None:
        """Arm the saw as soon as the gateway sees it ready."""

        async def ready() -> bool:
            return bool((await self.now()).get("permits", {}).get("ready"))

        await eventually(ready, timeout_s=25)
        armed = await self.gateway.kvot("machines", "arm", SAW)
        assert armed.code == 0, armed.err

    async def now(self) -> dict[str, Any]:
        """Give what the gateway sees of the saw."""
        found: dict[str, Any] = (await self.gateway.status())["machines"][0]["now"]
        return found

    async def says(self, words: str) -> None:
        """Wait until the gateway says this of the saw."""

        async def said() -> bool:
            return words in json.dumps(await self.now())

        await eventually(said, timeout_s=25)

    async def order(self, quantity: int) -> None:
        await self.shop.place(quantity=quantity, sku="EDGE-S")

    async def made(self, orders: int) -> None:
        """Wait until the shop shows so many orders, all made."""

        async def all_made() -> bool:
            told = await self.shop.told()
            return len(told) == orders and set(told.values()) == {"made"}

        try:
            await eventually(all_made, timeout_s=MADE_S)
        except AssertionError as late:
            raise AssertionError(f"{await self.now()}\n{self.gateway.log[-3000:]}") from late

    async def job_state(self) -> str | None:
        jobs = await self.gateway.items("jobs")
        return str(jobs[-1]["state"]) if jobs else None

    async def in_state(self, state: str) -> None:
        async def there() -> bool:
            return await self.job_state() == state

        await eventually(there, timeout_s=25)

    async def kill_gateway(self) -> None:
        """Kill it and start the same command again."""
        self.gateway.kill()
        self.gateway.start()
        await self.gateway.up()

    async def questions(self) -> list[dict[str, Any]]:
        """List the questions about jobs."""
        return [one for one in await self.gateway.items("exceptions") if one["subject"].startswith("job:")]

    async def own_work(self, quantity: int) -> None:
        """Let somebody start a batch at the saw's own panel, which writes the same registers."""
        starts = self.saw.starts
        async with connected(self.saw.port) as client:
            await client.write_registers(0, [9, quantity])
            await client.write_coil(0, True)
        await eventually(lambda: self.saw.starts == starts + 1, timeout_s=10)

    async def own_work_done(self, quantity: int) -> None:
        """Let somebody make a whole batch at the saw."""
        await self.own_work(quantity)

        async def done() -> bool:
            return bool((await self.saw.state())["done"])

        await eventually(done, timeout_s=25)

    async def has_looked(self) -> None:
        """Wait until the gateway has looked at the saw once more, and so could have done something."""
        tool = str(int((await self.now())["setup_code"]) + 1)
        await self.saw.touch(tool=tool)
        await self.says(f'"setup_code": "{tool}"')
        await self.saw.touch(tool=str(int(tool) + 1))
        await self.says(f'"setup_code": "{int(tool) + 1}"')


@asynccontextmanager
async def saws(time: BusinessTime, *, cycle_s: float = 6) -> AsyncIterator[Saws]:
    """Lay out a factory; end all its programs afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="kvot-"))  # short: a socket's path may hold 100 bytes
    made = Saws(directory, time=time, cycle_s=cycle_s)
    programs: tuple[Program, ...] = (made.gateway, made.saw, made.shop)
    try:
        yield made
    finally:
        for program in programs:
            program.end()
        shutil.rmtree(directory, ignore_errors=True)
