"""A file is looked into in a process of its own: what it does there hurts nobody else."""

import asyncio
import os
import resource
from pathlib import Path

import pytest

from gateway.domain.files import FileType, UnfitError
from gateway.files import inspection
from gateway.files.inspection import inspect
from tests.files.samples import png, svg

EVERY = frozenset(FileType)


async def complaint(path: Path, **more: float) -> str:
    with pytest.raises(UnfitError) as caught:
        await inspect(path, EVERY, **more)
    return str(caught.value)


async def test_the_child_says_what_is_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(png(40, 20))
    found = await inspect(file, EVERY)
    assert (found.type, found.width_px, found.height_px) == (FileType.PNG, 40, 20)


async def test_the_childs_complaint_comes_through(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(svg("<script/>"))
    assert "acts (<script>)" in await complaint(file)


async def test_a_child_that_breaks_down_is_the_files_fault_and_nobody_elses(tmp_path: Path) -> None:
    assert await complaint(tmp_path / "gone") == "it cannot be read: it is broken, or made to do harm"


async def test_a_look_that_takes_for_ever_is_ended(tmp_path: Path) -> None:
    pipe = tmp_path / "file"
    os.mkfifo(pipe)  # opening it waits for a writer that never comes
    assert await complaint(pipe, deadline_s=1.0) == "looking into it takes for ever"


async def test_a_look_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    pipe = tmp_path / "file"
    os.mkfifo(pipe)
    look = asyncio.create_task(inspect(pipe, EVERY))
    writer = await asyncio.to_thread(os.open, pipe, os.O_WRONLY)  # the child has opened it, and reads
    look.cancel()
    with pytest.raises(asyncio.CancelledError):
        await look
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"x")
    os.close(writer)


async def test_the_child_has_limits_and_none_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVOT_SECRET_WEBSHOP_KEY", "canary")
    package = tmp_path / "home" / "gateway" / "files"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    source = (Path(inspection.__file__).parent / "__main__.py").read_text(encoding="utf-8")
    (package / "__main__.py").write_text(source)
    (package / "content.py").write_text(
        "import os, resource\nfrom gateway.domain.files import UnfitError\n"
        "def read_content(path, wanted):\n"
        "    limits = [resource.getrlimit(one)[0] for one in (resource.RLIMIT_DATA, resource.RLIMIT_CPU)]\n"
        "    raise UnfitError(f'{limits} {sorted(os.environ)}')\n"
    )
    domain = package.parent / "domain"
    domain.mkdir()
    (domain / "__init__.py").write_text("")
    (domain / "files.py").write_text(
        "from enum import StrEnum\nclass FileType(StrEnum):\n    PNG = 'png'\nclass UnfitError(ValueError):\n    pass\n"
    )
    monkeypatch.setattr(inspection, "_HOME", tmp_path / "home")
    with pytest.raises(UnfitError) as caught:
        await inspect(tmp_path, frozenset({FileType.PNG}))
    text = str(caught.value)
    assert str([384 * 2**20, 20]) in text
    assert "KVOT" not in text
    assert resource.getrlimit(resource.RLIMIT_CPU)[0] != 20
