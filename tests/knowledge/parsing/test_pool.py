from __future__ import annotations

import gc
import os
import signal
import tempfile
import threading
from pathlib import Path

import psutil
import pytest

from services.core.errors import CancelledError, MillpondError, StorageError, TimedOutError, UnavailableError
from services.knowledge.parsing import limits, results
from services.knowledge.parsing.pool import ParserPool
from services.knowledge.parsing.worker import MAX_JOBS
from services.knowledge.types import JobProgress
from tests.knowledge.parsing import samples
from tests.knowledge.parsing.pools import expect, gone, pool_with, run, until


def test_a_child_is_bound_by_its_limits(own: ParserPool, slow: Path) -> None:
    """The operating system reports the limits, the niceness and the few open files of a running child."""
    stop = threading.Event()
    thread = threading.Thread(target=lambda: expect(CancelledError, lambda: run(own, slow, cancelled=stop.is_set)))
    thread.start()
    assert until(lambda: len(own.pids()) == 2)
    child = psutil.Process(own.pids()[1])
    assert until(lambda: child.rlimit(psutil.RLIMIT_CORE) == (0, 0))
    assert until(lambda: child.nice() == limits.NICENESS)
    assert child.rlimit(psutil.RLIMIT_AS) == (1024 * 1024 * 1024,) * 2
    assert child.rlimit(psutil.RLIMIT_CPU)[0] == 120
    assert child.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
    assert child.rlimit(psutil.RLIMIT_NOFILE) == (limits.OPEN_FILES,) * 2
    assert child.num_fds() <= 6
    stop.set()
    thread.join()


def test_cancelling_ends_the_child(own: ParserPool, slow: Path) -> None:
    """Once cancelled, the child is gone when the call returns, and the pool goes on."""
    seen: list[int] = []

    def cancelled() -> bool:
        seen.extend(own.pids()[1:])
        return bool(seen)

    with pytest.raises(CancelledError):
        run(own, slow, cancelled=cancelled)
    assert until(lambda: gone(seen[0]), 2)
    assert len(own.pids()) == 1


def test_waiting_for_a_slot_can_be_cancelled(own: ParserPool, slow: Path, small: Path) -> None:
    """A file behind two long ones does not have to wait for them to be given up, and a page is drawn at once."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=lambda: expect(CancelledError, lambda: run(own, slow, cancelled=stop.is_set)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    assert until(lambda: len(own.pids()) == 3)
    with pytest.raises(CancelledError):
        run(own, small, cancelled=lambda: True)
    page = small.with_name("page")
    page.write_bytes(samples.pdf([["Text"]]))
    assert own.render_page(page, 1, 100).startswith(b"\x89PNG")
    stop.set()
    for thread in threads:
        thread.join()


def test_the_time_limit_ends_the_child(tmp_path: Path, slow: Path) -> None:
    """A file that takes too long fails with a hint, and its child is gone."""
    pool = pool_with(tmp_path, parser_wall_seconds=1)
    try:
        with pytest.raises(TimedOutError, match="more than 1 s") as caught:
            run(pool, slow)
        assert "MILLPOND_PARSER_WALL_SECONDS" in caught.value.hint
        assert until(lambda: len(pool.pids()) == 1)
    finally:
        pool.close()


def test_the_limit_of_processor_time_is_named(tmp_path: Path, slow: Path) -> None:
    """A child that computes for too long is ended by the system; the message says what it was."""
    pool = pool_with(tmp_path, parser_cpu_seconds=1)
    try:
        with pytest.raises(TimedOutError, match="1 s of CPU time"):
            run(pool, slow)
    finally:
        pool.close()


def test_an_error_while_reporting_ends_the_child(own: ParserPool, slow: Path) -> None:
    """A defect in whoever listens to the progress leaves no child behind."""

    def broken(_progress: JobProgress) -> None:
        raise RuntimeError("listener")

    path = slow.with_name("pages")
    path.write_bytes(samples.pdf([["Text"]] * 300))
    with pytest.raises(RuntimeError, match="listener"):
        run(own, path, on_progress=broken)
    assert until(lambda: len(psutil.Process(own.pids()[0]).children()) == 0)


def test_a_crash_of_the_parser_costs_one_file(own: ParserPool, slow: Path, small: Path) -> None:
    """A child that ends by a signal is one failed file; the server stays."""
    done = threading.Event()

    def cancelled() -> bool:
        if len(own.pids()) == 2 and not done.is_set():
            done.set()
            os.kill(own.pids()[1], signal.SIGSEGV)
        return False

    with pytest.raises(MillpondError, match="crash"):
        run(own, slow, cancelled=cancelled)
    before = own.pids()
    run(own, small)
    assert own.pids() == before


def test_nothing_is_left_behind(tmp_path: Path, small: Path) -> None:
    """After many files, good, bad and cancelled, and a close: no descriptor, thread, process or zombie more."""
    bad = tmp_path / "bad"
    bad.write_bytes(samples.docx("x")[:500])
    me = psutil.Process()
    gc.collect()
    descriptors, threads, children = me.num_fds(), threading.active_count(), len(me.children())
    pool = pool_with(tmp_path)
    for _ in range(10):
        run(pool, small)
        expect(MillpondError, lambda: run(pool, bad, "bad.docx"))
        expect(CancelledError, lambda: run(pool, small, cancelled=lambda: True))
    server = psutil.Process(pool.pids()[0])
    assert until(lambda: server.children() == [])
    assert server.num_fds() <= 10
    pool.close()
    assert me.num_fds() == descriptors
    assert threading.active_count() == threads
    assert len(me.children()) == children


def test_closing_ends_what_is_being_read(own: ParserPool, slow: Path) -> None:
    """A pool that closes ends its children, and says so to whoever waits."""
    errors: list[MillpondError] = []

    def read() -> None:
        try:
            run(own, slow)
        except MillpondError as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    assert until(lambda: len(own.pids()) == 2)
    pids = own.pids()
    own.close()
    thread.join()
    assert isinstance(errors[0], UnavailableError)
    assert all(until(lambda pid=pid: gone(pid)) for pid in pids)
    with pytest.raises(UnavailableError, match="closing"):
        run(own, slow)


def test_many_threads_share_the_pool(own: ParserPool, small: Path) -> None:
    """Results do not get mixed up between files that are read at once."""
    found: dict[int, str] = {}

    def read(number: int) -> None:
        path = small.with_name(f"n{number}")
        path.write_text(f"Document number {number}.")
        found[number] = own.parse(path, "n.txt", chunk_tokens=50, overlap=0).chunks[0].text

    threads = [threading.Thread(target=read, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: f"Document number {number}." for number in range(24)}


def test_small_texts_share_a_child(tmp_path: Path, small: Path) -> None:
    """One child reads a stream of small texts; bad ones among them do no harm; other files get a child of their own."""
    pool = pool_with(tmp_path, warm_seconds=60.0)
    empty = tmp_path / "empty"
    empty.touch()
    page = tmp_path / "page"
    page.write_bytes(samples.pdf([["Text"]]))
    try:
        run(pool, small)
        server = psutil.Process(pool.pids()[0])
        (child,) = server.children()
        for number in range(30):
            small.write_text(f"Text {number}")
            assert run(pool, small).chunks[0].text == f"Text {number}"
            expect(MillpondError, lambda: run(pool, empty))
            assert child in server.children()
        assert pool.parse(page, "p.pdf", chunk_tokens=50, overlap=0).pages == 1
        assert until(lambda: server.children() == [child])
        assert child.num_fds() <= 6
    finally:
        pool.close()
    assert until(lambda: gone(child.pid))


def test_a_child_that_has_done_enough_makes_room(tmp_path: Path, small: Path) -> None:
    """A child does not live for ever: after a number of files another one takes over, and no file is lost."""
    pool = pool_with(tmp_path, warm_seconds=60.0)
    try:
        run(pool, small)
        server = psutil.Process(pool.pids()[0])
        (first,) = server.children()
        for number in range(MAX_JOBS + 20):
            small.write_text(f"Text {number}")
            assert run(pool, small).chunks[0].text == f"Text {number}"
        assert until(lambda: first not in server.children())
        assert len(server.children()) == 1
    finally:
        pool.close()


def test_a_warm_child_that_is_killed_is_replaced(tmp_path: Path, small: Path) -> None:
    """The next file does not notice."""
    pool = pool_with(tmp_path, warm_seconds=60.0)
    try:
        for _ in range(5):
            run(pool, small)
            (child,) = psutil.Process(pool.pids()[0]).children()
            child.kill()
            assert until(lambda pid=child.pid: gone(pid))
    finally:
        pool.close()


def test_large_results_are_on_disk_until_they_are_read(
    own: ParserPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text of a large file is not held in RAM: it is in a file without a name, gone when nobody needs it."""
    path = tmp_path / "large"
    path.write_text("Small.")
    monkeypatch.setattr(results, "IN_MEMORY_BYTES", 10_000)
    run(own, path)  # starts the server
    path.write_text("A sentence with several words in it. " * 6_000)
    me = psutil.Process()
    gc.collect()
    descriptors = me.num_fds()
    found = own.parse(path, "large.txt", chunk_tokens=200, overlap=24)
    assert me.num_fds() == descriptors + 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["large"]
    again = list(found.chunks)
    assert found.chunks[-1] == again[-1]
    assert found.chunks[2:5] == again[2:5]
    assert len(again) == len(found.chunks)
    assert sum(chunk.text.count("several") for chunk in again) >= 6_000
    with pytest.raises(IndexError):
        found.chunks[len(again)]
    del found
    gc.collect()
    assert me.num_fds() == descriptors


def test_a_full_disk_is_an_error_with_a_hint(own: ParserPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Running out of space while a large file is read fails that file, and leaves no child."""
    path = tmp_path / "large"
    path.write_text("A sentence with several words in it. " * 6_000)
    monkeypatch.setattr(results, "IN_MEMORY_BYTES", 10_000)

    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(StorageError, match="No space left") as caught:
        run(own, path, "large.txt")
    assert caught.value.hint
    assert len(own.pids()) == 1
