"""The oven as a process: its ready line, its memory over a SIGKILL at any moment, its clean end."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulators.journal import Event, read
from simulators.oven.registers import Cmd, Status
from tests.eventually import eventually
from tests.simulators.oven_client import gateway

pytestmark = pytest.mark.factory


@dataclass(frozen=True, kw_only=True, slots=True)
class Child:
    process: asyncio.subprocess.Process
    port: int
    panel: httpx.AsyncClient

    async def touch(self, **wanted: Any) -> dict[str, Any]:
        answer = await self.panel.post("/panel", json=wanted)
        assert answer.status_code == 200, answer.text
        state: dict[str, Any] = answer.json()
        return state


@asynccontextmanager
async def machine_process(what: str, journal: Path, *arguments: str) -> AsyncIterator[Child]:
    command = [sys.executable, "-m", f"simulators.{what}", "--journal", str(journal), *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(40):
            line = json.loads(await process.stdout.readline())
        assert line["ready"] is True
        assert line["url"].startswith("modbus://127.0.0.1:")
        port = int(line["url"].rpartition(":")[2])
        async with httpx.AsyncClient(base_url=line["panel"], trust_env=False) as panel:
            yield Child(process=process, port=port, panel=panel)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_killed_oven_remembers_its_job_and_moves_again_only_after_start_at_its_panel(tmp_path: Path) -> None:
    journal = tmp_path / "oven.jsonl"
    arguments = ("--cycle-s", "0.2", "--scan-s", "0.005", "--name", "oven-7")
    async with machine_process("oven", journal, *arguments) as first:
        await first.touch(reset=True, start=True)
        async with gateway(first.port) as client:
            assert await client.send(Cmd.LOAD_START, 41, target=6, order_id="KEPT-41") == 1
            await eventually(lambda: len(read(journal)) >= 3)
        first.process.kill()
        await first.process.wait()
    made = read(journal)[-1].good

    async with machine_process("oven", journal, *arguments) as second:
        async with gateway(second.port) as client:
            assert await client.job() == (41, 4, made, made)
            assert (await client.status())[Status.BOOT_CNT] == 2
            assert await client.send(Cmd.LOAD, 41) == 2
            assert await client.send(Cmd.RESUME, 41) == 5
            state = await second.touch(reset=True)
            assert (state["moves"], state["handed_over"], read(journal)[-1].good) == (False, False, made)
            await second.touch(start=True)
            await eventually(lambda: read(journal)[-1].event is Event.END)
        entries = read(journal)
        assert {(entry.machine, entry.job, entry.job_no) for entry in entries} == {("oven-7", "KEPT-41", 41)}
        assert [entry.event for entry in entries if entry.event is not Event.MADE] == [
            Event.START,
            Event.RESUME,
            Event.END,
        ]
        assert entries[-1].good == 6

        second.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            assert await second.process.wait() == 0


@pytest.mark.parametrize("what", ["oven", "plain"])
def test_arguments_that_do_not_fit_are_refused_in_words(what: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"simulators.{what}", "--journal", str(tmp_path / "j"), "--cycle-s", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "must be above 0" in done.stderr
