"""Files on our disk and in a machine's folder: whole or not there, whatever ends in between."""

import threading
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.files.store import FileStore, LostFileError, StoreError

CONTENT = b"artwork" * 1000
DIGEST = sha256(CONTENT).hexdigest()


async def a_store(folder: Path) -> FileStore:
    store = FileStore(folder / "files")
    await store.prepare()
    return store


async def kept(store: FileStore) -> str:
    part = store.part("1")
    part.write_bytes(CONTENT)
    stored = await store.keep(part)
    assert (stored.sha256, stored.bytes) == (DIGEST, len(CONTENT))
    return stored.sha256


async def test_a_file_that_came_in_is_named_by_its_content(tmp_path: Path) -> None:
    store = await a_store(tmp_path)
    await kept(store)
    assert [path.name for path in (tmp_path / "files").iterdir()] == [DIGEST]
    assert store.path(DIGEST).read_bytes() == CONTENT
    await kept(store)  # the same again changes nothing


async def test_a_file_is_laid_into_the_folder_byte_by_byte_and_once(tmp_path: Path) -> None:
    store = await a_store(tmp_path)
    await kept(store)
    hot = tmp_path / "hot"
    hot.mkdir()
    await store.deliver(DIGEST, hot, "LUND-1-1-artwork.png")
    laid = hot / "LUND-1-1-artwork.png"
    assert laid.read_bytes() == CONTENT
    assert laid.stat().st_mode & 0o777 == 0o640
    before = laid.stat().st_ino
    await store.deliver(DIGEST, hot, laid.name)
    assert laid.stat().st_ino == before
    assert [path.name for path in hot.iterdir()] == [laid.name]


async def test_what_an_ended_attempt_left_is_written_over(tmp_path: Path) -> None:
    store = await a_store(tmp_path)
    await kept(store)
    hot = tmp_path / "hot"
    hot.mkdir()
    (hot / ".job.png.part").write_bytes(b"half")
    (hot / "job.png").write_bytes(CONTENT[:10])
    await store.deliver(DIGEST, hot, "job.png")
    assert [(path.name, path.read_bytes()) for path in hot.iterdir()] == [("job.png", CONTENT)]


async def test_a_link_laid_into_the_folder_is_not_followed(tmp_path: Path) -> None:
    store = await a_store(tmp_path)
    await kept(store)
    hot, victim = tmp_path / "hot", tmp_path / "victim"
    hot.mkdir()
    victim.write_text("mine")
    (hot / ".job.png.part").symlink_to(victim)
    await store.deliver(DIGEST, hot, "job.png")
    assert victim.read_text() == "mine"
    assert (hot / "job.png").read_bytes() == CONTENT


async def test_a_copy_that_is_gone_or_damaged_is_lost_and_never_delivered(tmp_path: Path) -> None:
    store = await a_store(tmp_path)
    hot = tmp_path / "hot"
    hot.mkdir()
    with pytest.raises(LostFileError):
        await store.deliver(DIGEST, hot, "job.png")
    await kept(store)
    store.path(DIGEST).write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(LostFileError):
        await store.deliver(DIGEST, hot, "job.png")
    assert list(hot.iterdir()) == []


async def test_a_folder_that_is_away_is_a_fault_that_passes(tmp_path: Path) -> None:
    store = await a_store(tmp_path)
    await kept(store)
    with pytest.raises(StoreError, match="No such file"):
        await store.deliver(DIGEST, tmp_path / "away", "job.png")


async def test_a_folder_that_hangs_costs_one_thread_however_often_it_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(tmp_path / "files", deadline_s=0.1)
    await store.prepare()
    go_on, calls = threading.Event(), []

    def hang(*_: object) -> None:
        calls.append(1)
        go_on.wait(10)

    monkeypatch.setattr(FileStore, "_deliver", hang)
    with pytest.raises(StoreError, match="does not answer within"):
        await store.deliver(DIGEST, tmp_path, "job.png")
    with pytest.raises(StoreError, match="still does not answer"):
        await store.deliver(DIGEST, tmp_path, "job.png")
    assert calls == [1]
    go_on.set()
    for thread in threading.enumerate():
        if thread.name.startswith("files "):
            thread.join(10)
    await store.deliver(DIGEST, tmp_path, "job.png")
    assert calls == [1, 1]


async def test_a_mistake_of_ours_is_raised_where_it_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await a_store(tmp_path)
    monkeypatch.setattr(FileStore, "_keep", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        await store.keep(store.part("1"))


async def test_what_nothing_refers_to_is_swept_away(tmp_path: Path) -> None:
    store = await a_store(tmp_path)
    await kept(store)
    for name in ("0" * 64, "7.part", "8.part"):
        (tmp_path / "files" / name).write_bytes(b"")
    await store.sweep({DIGEST, "8.part"})
    assert {path.name for path in (tmp_path / "files").iterdir()} == {DIGEST, "8.part"}
    await store.drop(store.part("8"))
    await store.drop(store.part("8"))
