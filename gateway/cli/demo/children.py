"""Child processes of the demo: started together, ready when they say so, ended with it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

READY_S = 60.0
END_S = 10.0
KEEP_LINES = 30
OUR_CODE = {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


class ChildError(Exception):
    """A child did not start, or ended by itself; the text carries the end of its log."""


class Child:
    """One child process; its stderr goes to a file, its first line on stdout says that it is ready."""

    def __init__(self, name: str, argv: Sequence[str], *, directory: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self._argv = list(argv)
        self._log = directory / f"{name}.log"
        self._environment = {**os.environ, **environment}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, in a process group of its own, so that Ctrl-C reaches the demo alone."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

    async def ready(self) -> dict[str, Any]:
        """Wait for its line `{"ready": true, ...}` and give it."""
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(READY_S):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise ChildError(f"{self.name} was not ready within {READY_S:g} s:\n{self.tail()}") from None
        if not line:
            raise ChildError(f"{self.name} ended before it was ready:\n{self.tail()}")
        found = json.loads(line)
        assert isinstance(found, dict)
        return found

    def check(self) -> None:
        """Raise `ChildError` when it has ended by itself."""
        if self._process is not None and self._process.returncode is not None:
            raise ChildError(f"{self.name} ended with {self._process.returncode}:\n{self.tail()}")

    async def kill(self) -> None:
        """End it without any chance to tidy up (SIGKILL)."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """End it in order, and by force when it takes too long."""
        try:
            async with asyncio.timeout(END_S):
                await self._end(signal.SIGTERM)
        except TimeoutError:
            await self._end(signal.SIGKILL)

    def tail(self) -> str:
        """Give the end of its log."""
        if not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-KEEP_LINES:])

    async def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        await self._process.communicate()


@contextlib.asynccontextmanager
async def running(child: Child) -> AsyncIterator[Child]:
    """Start a child and end it afterwards."""
    await child.start()
    try:
        yield child
    finally:
        await child.stop()
