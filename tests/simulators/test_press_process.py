"""The press as a process: its ready line, its panel over HTTP, its memory over a SIGKILL, its clean end."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulators.journal import Event, read
from simulators.press import memory
from simulators.press.jobs import Job, JobOrder, JobState
from tests.simulators.press_client import connected

pytestmark = pytest.mark.factory


@dataclass(frozen=True, kw_only=True, slots=True)
class Child:
    process: asyncio.subprocess.Process
    endpoint: str
    panel: httpx.AsyncClient

    async def touch(self, **wanted: Any) -> dict[str, Any]:
        answer = await self.panel.post("/panel", json=wanted)
        assert answer.status_code == 200, answer.text
        state: dict[str, Any] = answer.json()
        return state


@asynccontextmanager
async def press_process(journal: Path, *arguments: str) -> AsyncIterator[Child]:
    command = [sys.executable, "-m", "simulators.press", "--journal", str(journal), *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(40):
            line = json.loads(await process.stdout.readline())
        assert line["ready"] is True
        async with httpx.AsyncClient(base_url=line["panel"], trust_env=False) as panel:
            yield Child(process=process, endpoint=line["endpoint"], panel=panel)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_killed_press_with_persistent_memory_moves_again_only_after_start_at_its_panel(tmp_path: Path) -> None:
    journal = tmp_path / "j.jsonl"
    arguments = ("--memory", "persistent", "--cycle-s", "0.2")
    async with press_process(journal, *arguments) as first:
        await first.touch(reset=True, start=True)
        async with connected(first.endpoint) as client:
            assert await client.send("KEPT-1", runs=1000) == 1
            assert await client.send("KEPT-2", runs=1) == 1
        first.process.kill()
        await first.process.wait()

    async with press_process(journal, *arguments) as second:
        async with connected(second.endpoint) as client:
            assert await client.jobs() == {"KEPT-1": 4, "KEPT-2": 1}
            assert await client.send("KEPT-1") == 16
        state = await second.touch(reset=True)
        assert (state["state"], state["handed_over"]) == ("interrupted", False)
        assert [entry.event for entry in read(journal)] == [Event.START]

        state = await second.touch(start=True)
        assert state["state"] == "running"
        assert [(entry.event, entry.job) for entry in read(journal)] == [
            (Event.START, "KEPT-1"),
            (Event.RESUME, "KEPT-1"),
        ]
        answer = await second.panel.post("/panel", json={"gard": "open"})
        assert answer.status_code == 422
        answer = await second.panel.post("/faults", json={"reply": "bad", "times": 1})
        assert answer.status_code == 200

        second.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            assert await second.process.wait() == 0


def test_a_job_whose_start_is_not_in_the_journal_is_remembered_as_not_started(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    order = JobOrder(job_id="A", cycles=2, document=b"\x00\xff")
    memory.keep(path, [Job(order=order, state=JobState.RUNNING, arrival=1)])

    (job,) = memory.recall(path, started=[])
    assert (job.state, job.journalled, job.order) == (JobState.INTERRUPTED, False, order)
    (job,) = memory.recall(path, started=["A"])
    assert job.journalled
    assert memory.recall(tmp_path / "nothing.json", started=[]) == []
