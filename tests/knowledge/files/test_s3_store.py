"""What is special about a bucket: a cache, other nodes, and a server that is away."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.core.errors import NotFoundError, StorageError
from services.knowledge.files import s3_store
from services.knowledge.files.original_cache import OriginalCache
from services.knowledge.files.stored_file import FilesUnavailableError
from tests.knowledge.files.conftest import Place, content, take
from tests.s3_server import S3Server, objects, s3_server
from tests.servers import eventually

MEGABYTE = 1024 * 1024


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def cached(bucket: Place, node: str = "node") -> set[str]:
    return {path.name for path in (bucket.folder / node / "originals" / "cache").iterdir()}


@pytest.fixture
def away() -> Iterator[S3Server]:
    """The server, for tests that stop it: it is there again afterwards."""
    server = s3_server()
    yield server
    server.go_on()
    server.start()


def test_large_file_goes_in_parts_and_comes_back_whole(bucket: Place) -> None:
    """A file of several parts is the same on another node, also read from its middle; nothing is left on the disk."""
    data = secrets.token_bytes(12 * MEGABYTE + 1)
    stored = take(bucket.open(), data)
    assert content(bucket.open("another"), stored, sha256(data)) == data
    assert bucket.open("third").read(stored, 11 * MEGABYTE, 10) == data[11 * MEGABYTE : 11 * MEGABYTE + 10]
    assert not list((bucket.folder / "another" / "originals" / "incoming").iterdir())


def test_copy_is_checked_and_fetched_anew(bucket: Place) -> None:
    """A damaged copy on the local disk is not handed out: the original is fetched again."""
    files, data = bucket.open(), b"sound " * 100
    stored = take(files, data)
    copy = bucket.folder / "node" / "originals" / "cache" / stored
    copy.write_bytes(b"other " * 100)
    assert content(files, stored, sha256(data)) == data
    files.close()
    copy.write_bytes(b"later " * 100)
    assert content(bucket.open(), stored, sha256(data)) == data


def test_cache_keeps_what_was_used_last(tmp_path: Path) -> None:
    """Over the limit the file goes that was not used for longest; one in use stays, and so does one just found."""
    now = time.time()
    folder = tmp_path / "cache"

    def put(cache: OriginalCache, name: str, size: int = 400) -> None:
        (tmp_path / name).write_bytes(b"x" * size)
        cache.adopt(tmp_path / name, name)

    def names() -> set[str]:
        return {path.name for path in folder.iterdir()}

    cache = OriginalCache(folder, 1000, clock=lambda: now)
    put(cache, "a")
    put(cache, "b")
    now += 100
    assert cache.sound("a", sha256(b"x" * 400)) is not None
    now += 100
    put(cache, "c")
    assert names() == {"a", "c"}
    now += 100
    with cache.using("a"):
        put(cache, "d")
        assert names() == {"a", "d"}
        put(cache, "e")  # d may just be opened
        assert names() == {"a", "d", "e"}
        assert cache.size == 1200
    assert names() == {"d", "e"}
    now += 100
    cache = OriginalCache(folder, 500, clock=lambda: now)
    assert len(names()) == 1
    assert cache.size == 400


def test_sweep_spares_what_others_are_storing(bucket: Place) -> None:
    """What is younger than an hour may be named in a moment, by any node: it stays."""
    files, other = bucket.open(), bucket.open("another")
    stored = take(other, b"another node has just stored this")
    assert files.sweep(lambda _names: set()) == 0
    assert bucket.names() == {stored}


def test_sweep_leaves_what_is_no_original(bucket: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects of other names below the prefix are somebody else's."""
    monkeypatch.setattr(s3_store, "SPARED_SECONDS", -60.0)
    files = bucket.open()
    take(files, b"stray")
    foreign = {"report.txt", "0123456789abcdef0123456789abcdef"}  # the second is of the form, but in another place
    for name in foreign:
        objects(bucket.settings).put(f"elsewhere/{name}", b"theirs")
    assert files.sweep(lambda _names: set()) == 1
    assert bucket.names() == foreign


def test_server_that_is_away_is_said_and_comes_back(bucket: Place, away: S3Server) -> None:
    """Without the server nothing is stored or fetched, which is said at once; copies can be read, and deletions are
    done when it is back.
    """
    files = bucket.open()
    kept, unneeded = take(files, b"kept"), take(files, b"unneeded")
    reader = bucket.open("another")
    away.stop()
    with pytest.raises(FilesUnavailableError, match="does not answer") as failed, reader.opened(kept, sha256(b"kept")):
        pass
    assert "What was stored before is kept" in failed.value.message
    assert failed.value.hint
    assert "does not answer" in reader.outage()
    with pytest.raises(FilesUnavailableError):  # what was said to have been received would be lost
        take(files, b"new")
    assert content(files, kept, sha256(b"kept")) == b"kept", "a copy needs no server"
    files.remove([unneeded])
    began = time.monotonic()
    with pytest.raises(FilesUnavailableError):
        files.create()
    assert time.monotonic() - began < 0.5, "an outage that is known costs no time"
    assert not list((bucket.folder / "node" / "originals" / "incoming").iterdir())
    away.start()
    eventually(lambda: not files.outage() and not reader.outage(), seconds=20, what="the end of the outage")
    assert content(reader, kept, sha256(b"kept")) == b"kept"
    eventually(lambda: bucket.names() == {kept}, seconds=10, what="the deletion")


def test_server_that_is_held_up_costs_a_limited_time(bucket: Place, away: S3Server) -> None:
    """A server that takes connections and answers nothing is given up after some time, then left alone."""
    files = bucket.open(files_seconds=2)
    stored = take(files, b"stored")
    reader = bucket.open("another", files_seconds=2)
    large = take(files, secrets.token_bytes(30 * MEGABYTE))
    with pytest.raises(FilesUnavailableError, match="does not answer"):  # in the middle of a file
        bucket.open("third", files_seconds=2)._bucket.get(f"{large[:2]}/{large}", lambda _piece: away.hold_up())
    began = time.monotonic()
    with pytest.raises(FilesUnavailableError, match="does not answer"), reader.opened(stored, sha256(b"stored")):
        pass
    with pytest.raises(FilesUnavailableError, match="does not answer"):
        take(files, b"new")
    assert time.monotonic() - began < 12
    away.go_on()
    eventually(lambda: not files.outage(), seconds=20, what="the end of the outage")
    assert content(files, take(files, b"new"), sha256(b"new")) == b"new"


def test_wrong_secret_is_said(bucket: Place) -> None:
    """A refused key is an outage with that reason, not damage of files."""
    files = bucket.open(files_secret_key="wrong")
    eventually(files.outage, seconds=10, what="the outage")
    assert "refuses the access key" in files.outage()
    with pytest.raises(FilesUnavailableError, match="refuses the access key"):
        files.create()


def test_lost_object_is_not_an_outage(bucket: Place) -> None:
    """An original that somebody has removed from the bucket is gone; others can be had."""
    files = bucket.open()
    lost, kept = take(files, b"lost"), take(files, b"kept")
    objects(bucket.settings).delete(f"{lost[:2]}/{lost}")
    reader = bucket.open("another")
    with pytest.raises(NotFoundError), reader.opened(lost, sha256(b"lost")):
        pass
    assert not reader.exists(lost)
    assert not reader.outage()
    assert content(reader, kept, sha256(b"kept")) == b"kept"


def test_full_disk_is_no_fault_of_the_server(bucket: Place) -> None:
    """Where the local disk has no room for a copy, that is said; the server is not blamed."""
    stored = take(bucket.open(), b"stored")
    reader = bucket.open("another", free_disk_mb=10**9)
    with pytest.raises(StorageError, match="kept in reserve"), reader.opened(stored, sha256(b"stored")):
        pass
    assert not reader.outage()


def test_shared_folder_is_swept_by_age(tmp_path: Path) -> None:
    """In a folder that is named, another node may be storing: only what is older than an hour is left over."""
    place = Place(tmp_path, {})
    files = place.open(files_url=str(tmp_path / "shared"))
    old, young = take(files, b"old"), take(files, b"young")
    hours_ago = time.time() - 2 * 3600
    os.utime(tmp_path / "shared" / old[:2] / old, (hours_ago, hours_ago))
    half = tmp_path / "shared" / "incoming" / "half of an upload"
    half.write_bytes(b"half")
    assert files.sweep(lambda _names: set()) == 1
    assert place.names() == {young, half.name}
