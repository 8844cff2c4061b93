"""Wait for a condition of the real world, with a deadline, without guessing how long it takes."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable


async def eventually(condition: Callable[[], object | Awaitable[object]], *, timeout_s: float = 30.0) -> None:
    """Return as soon as the condition is true; raise `AssertionError` when the deadline passes first."""
    deadline = time.monotonic() + timeout_s
    while True:
        met = condition()
        if inspect.isawaitable(met):
            met = await met
        if met:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s")
        await asyncio.sleep(0.02)
