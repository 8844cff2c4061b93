"""What every test has: a place of its own for state, and a check that it leaves nothing running."""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio

from tests.accepting import close_what_is_accepted_too_late

_GRACE_S = 2.0  # what is already ending may end

close_what_is_accepted_too_late()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that start whole processes: they take longest, and the others fill the time beside them."""
    items.sort(key=lambda item: item.get_closest_marker("factory") is None)


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """An empty directory with a short path: the address of a unix socket holds at most 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="kvot-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(autouse=True)
def _leaves_nothing_running(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test after which threads or child processes are left, or, for an async test, tasks.

    Being the first fixture to be set up, it is the last to be taken down: what a fixture of the test ends
    itself is not a leak. What fixtures of a wider scope hold was there before and is not counted.
    """
    threads, children = set(threading.enumerate()), _children()
    if request.node.get_closest_marker("asyncio"):
        request.getfixturevalue(f"_leaves_no_tasks_in_{_loop_scope(request.node)}_loop")
    yield
    left_threads = [thread for thread in threading.enumerate() if thread not in threads and not _may_stay(thread)]
    for thread in left_threads:
        thread.join(_GRACE_S)
    still = [f"thread {thread.name}" for thread in left_threads if thread.is_alive()]
    still += [f"child process {pid} ({command})" for pid, command in _children().items() if pid not in children]
    if still:
        pytest.fail(f"this test left running: {', '.join(still)}; end and await what you start", pytrace=False)


def _leaves_no_tasks(loop_scope: Literal["function", "module", "session"]) -> Callable[[], AsyncIterator[None]]:
    @pytest_asyncio.fixture(loop_scope=loop_scope, name=f"_leaves_no_tasks_in_{loop_scope}_loop")
    async def check() -> AsyncIterator[None]:
        before = asyncio.all_tasks()
        yield
        await _fail_where_tasks_are_left(before)

    return check


async def _fail_where_tasks_are_left(before: set[asyncio.Task[object]]) -> None:
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=_GRACE_S)
    if not left:
        return
    where = ", ".join(sorted(_where(task) for task in left))
    for task in left:
        task.cancel()
    await asyncio.wait(left, timeout=_GRACE_S)
    pytest.fail(f"this test left tasks running: {where}; start tasks in a TaskGroup that is awaited", pytrace=False)


# One for each scope of event loop that a test may run in.
_in_function_loop = _leaves_no_tasks("function")
_in_module_loop = _leaves_no_tasks("module")
_in_session_loop = _leaves_no_tasks("session")


def _loop_scope(node: pytest.Item) -> str:
    marker = node.get_closest_marker("asyncio")
    assert marker is not None
    return str(marker.kwargs.get("loop_scope") or "function")


def _may_stay(thread: threading.Thread) -> bool:
    return thread.daemon or thread.name.startswith("asyncio_")  # the loop ends its own workers when it closes


def _where(task: asyncio.Task[object]) -> str:
    stack = task.get_stack(limit=1)
    place = f" at {Path(stack[0].f_code.co_filename).name}:{stack[0].f_lineno}" if stack else ""
    return f"{task.get_name()}{place}"


def _children() -> dict[int, str]:
    """Give the running child processes of this process by id, with what they run."""
    found: dict[int, str] = {}
    for listing in Path("/proc/self/task").glob("*/children"):
        for pid in _read(listing).split():
            name, _, rest = _read(Path("/proc") / pid / "stat").partition("(")[2].rpartition(") ")
            if rest and not rest.startswith(("Z", "X")):  # what has ended only waits to be asked for its code
                found[int(pid)] = (_read(Path("/proc") / pid / "cmdline").replace("\0", " ").strip() or name)[:200]
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it ended meanwhile
        return ""
