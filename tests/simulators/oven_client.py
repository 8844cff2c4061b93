"""The oven as a gateway sees it: pymodbus, one status block, one mailbox."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pymodbus.client import AsyncModbusTcpClient

from simulators.oven.registers import CommandPlace, Status
from simulators.oven.settings import OvenSimulation
from simulators.words import after, read_u32
from tests.simulators.modbus_client import connected
from tests.simulators.oven_bench import payload

PATIENCE_S = 5.0


class OvenClient:
    """Reads consistent blocks, sends commands step by step, and beats as a gateway does where told to."""

    def __init__(self, client: AsyncModbusTcpClient, settings: OvenSimulation) -> None:
        self.client = client
        self.settings = settings
        self._beat = 0

    async def words(self) -> list[int]:
        """Read the status block, torn or not."""
        answer = await self.client.read_holding_registers(self.settings.status_base, count=64)
        assert not answer.isError(), answer
        return list(answer.registers)

    async def status(self) -> list[int]:
        """Read until the status block is whole."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                words = await self.words()
                if words[Status.SNAP_A] == words[Status.SNAP_B]:
                    return words

    async def job(self) -> tuple[int, int, int, int]:
        """Give slot, state, produced and good."""
        words = await self.status()
        return self.u32(words, Status.SLOT_JOB), words[Status.JOB_STATE], self.u32(words, 20), self.u32(words, 22)

    async def beat(self) -> None:
        """Raise the gateway's heartbeat."""
        self._beat = after(self._beat)
        await self.write(0, [self._beat])

    async def write(self, place: int, values: Sequence[int]) -> None:
        """Write into the command block."""
        answer = await self.client.write_registers(self.settings.command_base + place, list(values))
        assert not answer.isError(), answer

    async def send(self, cmd: int, job_no: int, **wanted: Any) -> int:
        """Send one command as the map says, and give its code."""
        await self.beat()
        await self.write(1, payload(cmd, job_no, settings=self.settings, **wanted))
        seq = after((await self.status())[Status.ACK_SEQ])
        await self.client.write_register(self.settings.command_base + CommandPlace.CMD_SEQ, seq)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                words = await self.status()
                if words[Status.ACK_SEQ] == seq:
                    return words[Status.ACK_CODE]

    def u32(self, words: Sequence[int], place: int) -> int:
        return read_u32(words, place, self.settings.word_order)


@asynccontextmanager
async def gateway(port: int, *, timeout_s: float = 3.0, **wanted: Any) -> AsyncIterator[OvenClient]:
    """Connect to an oven as a gateway would."""
    async with connected(port, timeout_s=timeout_s) as client:
        yield OvenClient(client, OvenSimulation(journal=Path("unused"), **wanted))
