"""What holds wherever originals are kept."""

from __future__ import annotations

import base64
import hashlib
import resource
import signal
import threading
from contextlib import suppress

import pytest

from services.core.errors import DamagedError, NotFoundError, StorageError, TooLargeError
from services.knowledge.files import incoming, s3_store
from tests.knowledge.files.conftest import Place, content, take
from tests.servers import eventually


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def only(place: Place, *names: str) -> bool:
    """Whether nothing else is there, soon: what is deleted may go in the background."""
    eventually(lambda: place.names() == set(names), seconds=10, what=f"only {names}, not {place.names()},")
    return True


def test_bytes_arrive_whole_and_hashed(place: Place) -> None:
    """What was written in parts is there as one, with its size and sha256, readable by its owner alone."""
    files = place.open()
    with files.create() as incoming:
        incoming.write(b"one ")
        incoming.write(b"two")
        stored = incoming.finish()
    assert (stored.size_bytes, stored.sha256) == (7, sha256(b"one two"))
    with files.opened(stored.stored, stored.sha256) as path:
        assert path.read_bytes() == b"one two"
        assert path.stat().st_mode & 0o077 == 0
    assert files.exists(stored.stored)
    assert files.read(stored.stored, 0, 5) == b"one t"
    assert files.read(stored.stored, 5, 5) == b"wo"
    assert files.read(stored.stored, 7, 5) == b""
    assert only(place, stored.stored)


def test_name_is_the_content_and_never_the_same_twice(place: Place) -> None:
    """Two intakes of the same bytes have names of their own: who deletes one does not delete the other."""
    files = place.open()
    first, second = take(files, b"same"), take(files, b"same")
    assert first != second
    assert len(first) <= 64  # the column
    for name in (first, second):
        assert base64.b32decode(name.partition("-")[0].upper() + "====").hex() == sha256(b"same")
    files.remove([first])
    assert only(place, second)
    assert content(files, second, sha256(b"same")) == b"same"
    assert not files.exists(first)


def test_original_of_an_earlier_version_goes_on_working(place: Place) -> None:
    """Random names, as they were given before, are read, checked, and deleted."""
    files, old = place.open(), "0123456789abcdef0123456789abcdef"
    place.put(old, b"from before")
    assert content(files, old, sha256(b"from before")) == b"from before"
    files.remove([old])
    assert only(place)


def test_broken_intake_leaves_nothing(place: Place) -> None:
    """A file whose sender goes away, or that is not needed after all, is not kept."""
    files = place.open()
    with suppress(ZeroDivisionError), files.create() as incoming:
        incoming.write(b"x" * 100_000)
        raise ZeroDivisionError
    with files.create() as incoming:
        incoming.write(b"never finished")
    with files.create() as incoming:
        incoming.write(b"a duplicate")
        incoming.finish()
        incoming.discard()
    assert only(place)


def test_file_over_the_limit_is_refused(place: Place) -> None:
    """The first byte beyond the limit ends the intake, and the message names the limit."""
    files = place.open(upload_limit_mb=1)
    kept = take(files, b"x" * 1024 * 1024)
    with pytest.raises(TooLargeError, match="1 MB"):
        take(files, b"x" * 1024 * 1024 + b"x")
    assert only(place, kept)


def test_too_little_free_space_is_said_before_anything_is_written(place: Place) -> None:
    """With less than the reserve free, files are refused with both figures."""
    files = place.open(free_disk_mb=10**9)
    with pytest.raises(StorageError, match="1000000000 MB are kept in reserve"):
        files.create()
    assert only(place)


def test_disk_that_refuses_is_reported_and_left_clean(place: Place) -> None:
    """When the system refuses to write on (here: a limit on file size), the message says so and nothing is left."""
    files = place.open()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageError, match="Nothing of it was kept"):
            take(files, b"x" * 200_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert only(place)


def test_sweep_takes_strays_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that nobody knows are deleted; known ones and those that are just coming in stay."""
    monkeypatch.setattr(s3_store, "SPARED_SECONDS", -60.0)
    files = place.open()
    kept, stray = take(files, b"known"), take(files, b"stray")
    with files.create() as incoming:
        incoming.write(b"coming")
        coming = incoming.finish().stored
        assert files.sweep({kept}.intersection) == 1
    assert only(place, kept, coming)
    with pytest.raises(NotFoundError, match="does not exist any more"), files.opened(stray, sha256(b"stray")):
        pass
    with pytest.raises(FileNotFoundError):
        files.read(stray, 0, 10)


def test_sweep_asks_for_some_names_at_a_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many originals there are, they are not all in RAM: whoever knows is asked for some."""
    monkeypatch.setattr(incoming, "NAMES_AT_ONCE", 2)
    monkeypatch.setattr(s3_store, "SPARED_SECONDS", -60.0)
    files = place.open()
    stored = {take(files, b"%d" % number) for number in range(5)}
    asked: list[set[str]] = []
    assert files.sweep(lambda names: asked.append(set(names)) or names) == 0
    assert {len(names) for names in asked} == {1, 2}
    assert set().union(*asked) == stored


def test_missing_original_is_not_a_path(place: Place) -> None:
    """An empty name (the original was not kept) never resolves to the folder itself."""
    files = place.open()
    with pytest.raises(NotFoundError), files.opened("", sha256(b"")):
        pass
    assert not files.exists("")


def test_damage_is_found_when_it_is_read(place: Place) -> None:
    """An original with other bytes than were stored is refused, and left as it is."""
    files = place.open()
    stored = take(files, b"sound")
    place.put(stored, b"other")
    reader = place.open("another" if place.is_s3 else "node")
    with pytest.raises(DamagedError, match="is damaged"), reader.opened(stored, sha256(b"sound")):
        pass
    assert only(place, stored)
    place.put(stored, b"sound")
    assert content(reader, stored, sha256(b"sound")) == b"sound"


def test_two_intakes_at_once_do_not_meet(place: Place) -> None:
    """Files that come in side by side get different names and keep their own bytes."""
    files = place.open()
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
        expected = bytes([number]) * 50_000
        assert content(files, name, sha256(expected)) == expected


def test_pond_that_came_first_owns_the_place(place: Place) -> None:
    """A second pond is told that it is not the first one; the first one goes on being it."""
    files = place.open()
    assert [files.owner("a"), files.owner("b"), files.owner("a")] == ["a", "a", "a"]
