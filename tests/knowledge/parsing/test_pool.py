from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from services.errors import CancelledError, MillpondError, StorageError, TimedOutError, UnavailableError
from services.knowledge.parsing import ParsedFile, ParserPool, limits, spool
from services.knowledge.parsing.child import MOST_JOBS
from services.knowledge.parsing.process import HelperProcess
from services.knowledge.types import Progress
from tests.knowledge.parsing import samples
from tests.knowledge.parsing.conftest import TOKENIZER, pool_with

SLOW = ("# Title\n\nSome words in a sentence. " * 400_000).encode()


def until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Wait for a condition, return whether it came true."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    return condition()


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has not been seen off."""
    return not psutil.pid_exists(pid)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small"
    path.write_text("Nothing special in here.")
    return path


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A file that takes many seconds."""
    path = tmp_path / "slow"
    path.write_bytes(SLOW)
    return path


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ParserPool]:
    pool = pool_with(tmp_path)
    yield pool
    pool.close()


def run(pool: ParserPool, path: Path, name: str = "a.md", **options: object) -> ParsedFile:
    return pool.parse(path, name, **{"chunk_tokens": 200, "overlap": 24, **options})  # type: ignore[arg-type]


def test_the_helper_has_nothing_heavy_in_it() -> None:
    """What every child inherits is small: no torch, no Streamlit, no database, no settings."""
    code = (
        "import sys, services.knowledge.parsing.helper;"
        "import services.knowledge.text.chunking, services.knowledge.text.segmentation;"
        "heavy = {'torch', 'transformers', 'streamlit', 'sqlalchemy', 'pydantic', 'structlog', 'numpy', 'markitdown',"
        " 'pandas', 'langchain_core', 'subprocess', 'tempfile', 'services.settings', 'services.database'}"
        " & set(sys.modules);"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_converters_come_without_their_dead_weight() -> None:
    """Loading them starts no thread (a fork would lose it) and leaves out the file-type network and pandas."""
    code = (
        "import sys, threading; from services.knowledge.parsing import office; office.load(); import openpyxl;"
        "sys.exit(repr([n for n in ('onnxruntime', 'pandas', 'torch') if sys.modules.get(n)]"
        " + [t for t in open('/proc/self/status').read().splitlines() if t.startswith('Threads')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        env=limits.minimal_environment(str(Path(__file__).parents[3])),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip() == "['Threads:\\t1']"


def test_secrets_do_not_reach_the_helper(own: ParserPool, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the helper nor its children see keys that are in the service's environment."""
    monkeypatch.setenv("MILLPOND_OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "also secret")
    run(own, small)
    environment = psutil.Process(own.pids()[0]).environ()
    assert "secret" not in str(environment)
    assert set(environment) <= {*limits._KEPT, *limits._FIXED, "PYTHONPATH", "LC_CTYPE"}


def test_a_child_is_bound_by_its_limits(own: ParserPool, slow: Path) -> None:
    """The operating system reports the limits, the niceness and the few open files of a running child."""
    stop = threading.Event()
    thread = threading.Thread(target=lambda: _expect(CancelledError, lambda: run(own, slow, cancelled=stop.is_set)))
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


def _expect(kind: type[Exception], action: Callable[[], object]) -> None:
    with pytest.raises(kind):
        action()


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
        threading.Thread(target=lambda: _expect(CancelledError, lambda: run(own, slow, cancelled=stop.is_set)))
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
        with pytest.raises(TimedOutError, match="1 s of processor time"):
            run(pool, slow)
    finally:
        pool.close()


def test_an_error_while_reporting_ends_the_child(own: ParserPool, slow: Path) -> None:
    """A defect in whoever listens to the progress leaves no child behind."""

    def broken(_progress: Progress) -> None:
        raise RuntimeError("listener")

    path = slow.with_name("pages")
    path.write_bytes(samples.pdf([["Text"]] * 300))
    with pytest.raises(RuntimeError, match="listener"):
        run(own, path, on_progress=broken)
    assert until(lambda: len(psutil.Process(own.pids()[0]).children()) == 0)


def test_a_dead_helper_is_replaced(own: ParserPool, small: Path) -> None:
    """Killing the helper between files is not noticed."""
    run(own, small)
    before = own.pids()[0]
    os.kill(before, signal.SIGKILL)
    run(own, small)
    assert own.pids()[0] != before
    assert until(lambda: gone(before))


def test_a_helper_killed_at_work_is_replaced_once(own: ParserPool, slow: Path) -> None:
    """The file is read again on a new helper; a second loss is an error with a hint, not an endless loop."""
    killed: list[int] = []

    def cancelled() -> bool:
        pids = own.pids()
        if len(pids) == 2 and pids[0] not in killed:
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)
        return False

    with pytest.raises(UnavailableError):
        run(own, slow, cancelled=cancelled)
    assert len(killed) == 2
    assert all(until(lambda pid=pid: gone(pid)) for pid in killed)


def test_children_die_with_a_killed_helper(own: ParserPool, slow: Path) -> None:
    """A kill of the helper takes the child with it."""
    stop = threading.Event()
    children: list[int] = []

    def cancelled() -> bool:
        if len(own.pids()) == 2 and not children:
            helper, child = own.pids()
            children.append(child)
            os.kill(helper, signal.SIGKILL)
            stop.set()
        return stop.is_set()

    with pytest.raises(MillpondError):
        run(own, slow, cancelled=cancelled)
    assert until(lambda: gone(children[0]))


def test_a_crash_of_the_parser_costs_one_file(own: ParserPool, slow: Path, small: Path) -> None:
    """A child that ends by a signal is one failed file; the helper stays."""
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


def test_an_idle_helper_goes_away_and_comes_back(tmp_path: Path, small: Path) -> None:
    """When nothing is read the helper's memory is given back, without a zombie; the next file starts another."""
    pool = pool_with(tmp_path, idle_seconds=0.1)
    try:
        run(pool, small)
        (first,) = pool.pids() or [0]
        assert until(lambda: not pool.pids())
        assert first == 0 or gone(first)
        run(pool, small)
    finally:
        pool.close()


def test_the_helper_dies_with_its_parent(small: Path) -> None:
    """After `kill -9` of the service neither helper nor children stay."""
    code = f"""
import os, signal
from pathlib import Path
from tests.knowledge.parsing.conftest import pool_with
pool = pool_with(Path({str(small.parent)!r}))
pool.parse(Path({str(small)!r}), "a.txt", chunk_tokens=200, overlap=0)
print(*pool.pids(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )
    (helper,) = map(int, done.stdout.split())
    assert until(lambda: gone(helper))


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
        _expect(MillpondError, lambda: run(pool, bad, "bad.docx"))
        _expect(CancelledError, lambda: run(pool, small, cancelled=lambda: True))
    helper = psutil.Process(pool.pids()[0])
    assert until(lambda: helper.children() == [])
    assert helper.num_fds() <= 10
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


def test_a_helper_that_cannot_start_is_an_error(own: ParserPool, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No process to be had: a message with a hint, not a traceback."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(UnavailableError, match="cannot be started"):
        run(own, small)


def test_a_helper_without_a_tokenizer_is_an_error(tmp_path: Path, small: Path) -> None:
    """A helper that ends at once is tried twice, then reported."""
    from services.settings import Settings

    pool = ParserPool(Settings(data_dir=tmp_path), tmp_path / "missing.json", 256)
    try:
        with pytest.raises(UnavailableError, match="ended unexpectedly"):
            run(pool, small)
    finally:
        pool.close()


def test_small_texts_share_a_child(tmp_path: Path, small: Path) -> None:
    """One child reads a stream of small texts; bad ones among them do no harm; other files get a child of their own."""
    pool = pool_with(tmp_path, warm_seconds=60.0)
    empty = tmp_path / "empty"
    empty.touch()
    page = tmp_path / "page"
    page.write_bytes(samples.pdf([["Text"]]))
    try:
        run(pool, small)
        helper = psutil.Process(pool.pids()[0])
        (child,) = helper.children()
        for number in range(30):
            small.write_text(f"Text {number}")
            assert run(pool, small).chunks[0].text == f"Text {number}"
            _expect(MillpondError, lambda: run(pool, empty))
            assert child in helper.children()
        assert pool.parse(page, "p.pdf", chunk_tokens=50, overlap=0).pages == 1
        assert until(lambda: helper.children() == [child])
        assert child.num_fds() <= 6
    finally:
        pool.close()
    assert until(lambda: gone(child.pid))


def test_a_child_that_has_done_enough_makes_room(tmp_path: Path, small: Path) -> None:
    """A child does not live for ever: after a number of files another one takes over, and no file is lost."""
    pool = pool_with(tmp_path, warm_seconds=60.0)
    try:
        run(pool, small)
        helper = psutil.Process(pool.pids()[0])
        (first,) = helper.children()
        for number in range(MOST_JOBS + 20):
            small.write_text(f"Text {number}")
            assert run(pool, small).chunks[0].text == f"Text {number}"
        assert until(lambda: first not in helper.children())
        assert len(helper.children()) == 1
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
    monkeypatch.setattr(spool, "IN_MEMORY_BYTES", 10_000)
    run(own, path)  # starts the helper
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
    monkeypatch.setattr(spool, "IN_MEMORY_BYTES", 10_000)

    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(StorageError, match="No space left") as caught:
        run(own, path, "large.txt")
    assert caught.value.hint
    assert len(own.pids()) == 1


def test_systems_without_fork_read_files_one_process_each(
    own: ParserPool, small: Path, slow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There a file costs a process, cancelling ends it, a page is drawn, and what is not limited is named."""
    monkeypatch.setattr(limits, "resource", None)
    assert limits.unlimited() == ("memory", "processor time", "open files")
    me = psutil.Process()
    before, children = me.num_fds(), me.children()
    found = own.parse(small, "a.txt", chunk_tokens=50, overlap=0)
    assert found.chunks[0].text == "Nothing special in here."
    assert own.pids() == []
    bad = small.with_name("bad")
    bad.write_bytes(b"")
    _expect(MillpondError, lambda: run(own, bad))
    _expect(MillpondError, lambda: run(own, small.with_name("missing")))
    tries = iter(range(10))
    _expect(CancelledError, lambda: run(own, slow, cancelled=lambda: next(tries) > 5))
    page = small.with_name("page")
    page.write_bytes(samples.pdf([["Text"]]))
    assert own.render_page(page, 1, 100).startswith(b"\x89PNG")
    assert me.children() == children
    assert me.num_fds() == before


def test_the_package_imports_without_posix() -> None:
    """What only Unix has is asked for when it is used, not on import."""
    code = (
        "import sys, os, signal, select, socket;"
        "sys.modules['resource'] = None;"
        "[delattr(m, n) for m, n in ((os, 'fork'), (os, 'setpriority'), (os, 'wait4'), (os, 'pread'),"
        " (signal, 'SIGCHLD'), (signal, 'SIGXCPU'), (signal, 'SIGKILL'), (select, 'poll'), (socket, 'AF_UNIX'),"
        " (socket, 'send_fds'), (socket, 'recv_fds'))];"
        "import services.knowledge.parsing.helper, services.knowledge.parsing.pool as pool;"
        "from services.knowledge.parsing import limits; assert len(limits.unlimited()) == 3"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_messages_may_arrive_in_pieces(tmp_path: Path) -> None:
    """Jobs that are sent faster than the helper reads them keep their descriptors apart."""
    helper = HelperProcess({"tokenizer": str(TOKENIZER), "language": "en", "idle_seconds": 30.0, "warm_seconds": 0.5})
    request = {
        "do": "parse", "name": "a", "chunk_tokens": 50, "overlap": 0, "memory_mb": 512, "cpu_seconds": 9, "output_mb": 1
    }  # fmt: skip
    pipes = []
    try:
        for job in range(20):
            path = tmp_path / str(job)
            path.write_text(f"number {job}")
            output, status = os.pipe(), os.pipe()
            with path.open("rb") as file:
                assert helper.send({**request, "job": job}, [file.fileno(), output[1], status[1]])
            assert helper.send({"kill": 1000 + job})
            os.close(output[1])
            os.close(status[1])
            pipes.append((output[0], status[0]))
        for job, (output_end, status_end) in enumerate(pipes):
            with os.fdopen(output_end, "rb") as output_file, os.fdopen(status_end, "rb") as status_file:
                assert f"number {job}".encode() in output_file.read()
                assert b'["exit",0,' in status_file.read()
    finally:
        helper.close()
    assert gone(helper.pid)
