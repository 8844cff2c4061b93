"""Looking into a stranger's file: a child process does it, so that nothing in the file can hurt the gateway."""

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any, Final

import gateway
from gateway.domain.files import Content, FileType, UnfitError

DEADLINE_S: Final = 60.0
_ANSWER_BYTES: Final = 4096
_HOME: Final = Path(gateway.__file__).parent.parent


async def inspect(path: Path, wanted: frozenset[FileType], *, deadline_s: float = DEADLINE_S) -> Content:
    """Tell what is in a file.

    Raise `UnfitError` when it is none of the wanted types, cannot be read, or takes more time or memory than any
    file should; `OSError` when no process could be started.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "gateway.files",
        str(path),
        ",".join(sorted(wanted)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PYTHONPATH": str(_HOME), "PATH": "/usr/bin:/bin"},
        limit=_ANSWER_BYTES,
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(deadline_s):
            line = await child.stdout.read(_ANSWER_BYTES)
            status = await child.wait()
    except TimeoutError:
        raise UnfitError("looking into it takes for ever") from None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    if status != 0 or not line.endswith(b"\n"):
        raise UnfitError("it cannot be read: it is broken, or made to do harm")
    return _content(json.loads(line))


def _content(found: dict[str, Any]) -> Content:
    if "unfit" in found:
        raise UnfitError(found["unfit"])
    return Content(**{**found, "type": FileType(found["type"])})
