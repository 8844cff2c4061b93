"""A test that leaves something running fails, with words; one that cleans up does not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parent.parent / "conftest.py"

LEAKING = {
    "tasks": """
        import asyncio
        async def test_case():
            asyncio.get_running_loop().create_task(asyncio.sleep(60), name="forgotten")
    """,
    "tasks in a session's loop": """
        import asyncio, pytest
        @pytest.mark.asyncio(loop_scope="session")
        async def test_case():
            asyncio.get_running_loop().create_task(asyncio.sleep(60), name="forgotten")
    """,
    "thread": """
        import threading
        def test_case():
            threading.Thread(target=threading.Event().wait, args=(4,), name="forgotten").start()
    """,
    "child process": """
        import subprocess, sys
        KEPT = []
        def test_case():
            code = "import time; print(flush=True); time.sleep(4)"
            KEPT.append(subprocess.Popen([sys.executable, "-c", code, "forgotten"], stdout=subprocess.PIPE))
            KEPT[0].stdout.readline()
    """,
}

TIDY = """
    import asyncio, subprocess, sys
    import pytest
    from hypothesis import given, strategies

    @pytest.fixture
    async def server():
        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(60))
            yield
            task.cancel()

    @pytest.fixture(scope="session")
    def child():
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as running:
            yield running
            running.terminate()

    async def test_fixtures_may_run_while_the_test_does(server, child):
        await asyncio.to_thread(int)

    @given(strategies.integers())
    def test_properties(number):
        assert isinstance(number, int)

    @given(strategies.integers())
    async def test_properties_of_coroutines(number):
        assert isinstance(number, int)

    def test_something_synchronous():
        pass
"""


@pytest.mark.parametrize("what", LEAKING)
def test_a_test_that_leaves_something_running_fails(what: str, tmp_path: Path) -> None:
    ended = _run(LEAKING[what], tmp_path)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "this test left" in ended.stdout
    assert "forgotten" in ended.stdout
    assert what.partition(" in ")[0] in ended.stdout


def test_what_a_test_or_its_fixtures_end_is_no_leak(tmp_path: Path) -> None:
    ended = _run(TIDY, tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def _run(source: str, directory: Path) -> subprocess.CompletedProcess[str]:
    lines = source.splitlines()
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    (directory / "test_case.py").write_text("\n".join(line[indent:] for line in lines))
    (directory / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    shutil.copy(CONFTEST, directory)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(directory)]
    environment = {**os.environ, "PYTHONPATH": str(CONFTEST.parent.parent)}  # where conftest's own imports are found
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=50, check=False
    )
