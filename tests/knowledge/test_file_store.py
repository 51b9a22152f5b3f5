from __future__ import annotations

import hashlib
import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from services.core.errors import NotFoundError, StorageError, TooLargeError
from services.core.settings import Settings
from services.knowledge.file_store import FileStore


def store_in(folder: Path, **settings: object) -> FileStore:
    return FileStore(folder, Settings(data_dir=folder, **settings))  # type: ignore[arg-type]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def take(files: FileStore, data: bytes, before_the_end: Callable[[], object] = bool) -> str:
    with files.create() as incoming:
        for start in range(0, len(data), 50_000):
            incoming.write(data[start : start + 50_000])
        before_the_end()
        return incoming.finish().stored


def test_bytes_arrive_whole_and_hashed(tmp_path: Path) -> None:
    """What was written in parts lies on disk as one, with its size and sha256, readable by its owner alone."""
    files = store_in(tmp_path)
    with files.create() as incoming:
        incoming.write(b"one ")
        incoming.write(b"two")
        stored = incoming.finish()
    path = files.path(stored.stored)
    assert path.read_bytes() == b"one two"
    assert (stored.size_bytes, stored.sha256) == (7, hashlib.sha256(b"one two").hexdigest())
    assert path.stat().st_mode & 0o077 == 0


def test_broken_intake_leaves_nothing(tmp_path: Path) -> None:
    """A file whose sender goes away, or that is not needed after all, is not on disk."""
    files = store_in(tmp_path)
    with pytest.raises(ZeroDivisionError):
        take(files, b"x" * 100_000, lambda: 1 / 0)
    with files.create() as incoming:
        incoming.write(b"never finished")
    with files.create() as incoming:
        incoming.write(b"a duplicate")
        incoming.finish()
        incoming.discard()
    assert names_in(tmp_path) == set()


def test_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    """The first byte beyond the limit ends the intake, and the message names the limit."""
    files = store_in(tmp_path, upload_limit_mb=1)
    take(files, b"x" * 1024 * 1024)
    with pytest.raises(TooLargeError, match="1 MB"):
        take(files, b"x" * 1024 * 1024 + b"x")
    assert len(names_in(tmp_path)) == 1


def test_too_little_free_space_is_said_before_anything_is_written(tmp_path: Path) -> None:
    """With less than the reserve free, files are refused with both figures."""
    files = store_in(tmp_path, free_disk_mb=10**9)
    with pytest.raises(StorageError, match="1000000000 MB are kept in reserve"):
        files.create()
    assert names_in(tmp_path) == set()


def test_disk_that_refuses_is_reported_and_left_clean(tmp_path: Path) -> None:
    """When the system refuses to write on (here: a limit on file size), the message says so and nothing is left."""
    files = store_in(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageError, match="Nothing of it was kept"):
            take(files, b"x" * 200_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert names_in(tmp_path) == set()


def test_sweep_takes_strays_alone(tmp_path: Path) -> None:
    """Files that nobody knows are deleted; known ones and those that are just coming in stay."""
    files = store_in(tmp_path)
    kept = [take(files, content) for content in (b"known", b"stray")]
    with files.create() as incoming:
        incoming.write(b"coming")
        assert files.sweep(lambda: {kept[0]}) == 1
        coming = incoming.finish().stored
    assert names_in(tmp_path) == {kept[0], coming}
    with pytest.raises(NotFoundError, match="does not exist any more"):
        files.path(kept[1])


def test_missing_original_is_not_a_path(tmp_path: Path) -> None:
    """An empty name (the original was not kept) never resolves to the folder itself."""
    with pytest.raises(NotFoundError):
        store_in(tmp_path).path("")


def test_two_intakes_at_once_do_not_meet(tmp_path: Path) -> None:
    """Files that come in side by side get different names and keep their own bytes."""
    files = store_in(tmp_path)
    stored: dict[int, str] = {}

    def send(number: int) -> None:
        with files.create() as incoming:
            for _ in range(50):
                incoming.write(bytes([number]) * 1000)
            stored[number] = incoming.finish().stored

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(stored.values())) == 8
    for number, name in stored.items():
        assert files.path(name).read_bytes() == bytes([number]) * 50_000
