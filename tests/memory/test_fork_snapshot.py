from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from services.core.errors import (
    BadInputError,
    BusyError,
    CancelledError,
    NotFoundError,
    TimedOutError,
    TooLargeError,
    UnavailableError,
)
from services.memory import fork_permit, fork_snapshot
from services.memory.fork_snapshot import ForkDefectError, expected_pause_seconds, run_in_fork
from tests.servers import eventually

FORKS = 200


def descriptors() -> list[Path]:
    return sorted(Path("/proc/self/fd").iterdir())


def zombies() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE]


@contextmanager
def busy_threads() -> Iterator[None]:
    """Eight threads that allocate, log, hold locks and work without the interpreter, without a pause."""
    stopping, lock = threading.Event(), threading.Lock()
    logger = logging.getLogger("tests.forked")
    logger.addHandler(logging.FileHandler(os.devnull))
    logger.propagate = False

    def allocate() -> None:
        while not stopping.is_set():
            [{"number": number, "text": str(number) * 9} for number in range(500)]

    def log() -> None:
        while not stopping.is_set():
            logger.warning("a line %s", "of text" * 9)

    def hold() -> None:
        while not stopping.is_set():
            with lock:
                stopping.wait(0.001)

    def without_the_interpreter() -> None:
        while not stopping.is_set():
            bytes(bytearray(3_000_000)).find(b"x")

    threads = [threading.Thread(target=work) for work in (allocate, log, hold, without_the_interpreter) * 2]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)  # more changes of thread, more bad moments to fork at
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        stopping.set()
        for thread in threads:
            thread.join()
        for handler in logger.handlers:
            handler.close()
        logger.handlers.clear()


def test_many_forks_beside_busy_threads() -> None:
    """A child that inherits a held lock would hang; descriptors and zombies would pile up."""
    before = descriptors()
    with busy_threads():
        values = [run_in_fork(lambda number=number: {"square": number**2}, seconds=60).value for number in range(FORKS)]
    assert values == [{"square": number**2} for number in range(FORKS)]
    assert descriptors() == before
    assert zombies() == []


def test_forks_beside_a_multiplication() -> None:
    """OpenBLAS ends its threads at a fork: one in the middle of a multiplication would hang, and the fork with it."""
    stopping, wrong = threading.Event(), []

    def multiply() -> None:
        matrix = np.ones((600, 600))
        while not stopping.is_set():
            if (matrix @ matrix)[0, 0] != 600:
                wrong.append(matrix)

    thread = threading.Thread(target=multiply, daemon=True)
    thread.start()
    assert [run_in_fork(lambda number=number: number, seconds=60).value for number in range(25)] == list(range(25))
    stopping.set()
    thread.join(60)
    assert not thread.is_alive()
    assert not wrong


def test_what_comes_back() -> None:
    """Bytes longer than a pipe and JSON arrive whole, with durations that fit."""
    big = run_in_fork(lambda: b"mill" * 1_000_000, seconds=60)
    assert big.value == b"mill" * 1_000_000
    assert 0 < big.paused < big.took
    assert run_in_fork(lambda: [1, "茶", None], seconds=60).value == [1, "茶", None]
    assert 0 < expected_pause_seconds() < 5


def test_the_child_is_alone() -> None:
    """The child would write on the parent's files and console, run its signal handlers, or outlive it."""

    def inspect() -> dict[str, object]:
        return {
            "files": [str(Path(f"/proc/self/fd/{name}").readlink()) for name in ("0", "1", "2")],
            "open": len(list(Path("/proc/self/fd").iterdir())),
            "int": signal.getsignal(signal.SIGINT) is signal.SIG_DFL,
            "term": signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
            "score": Path("/proc/self/oom_score_adj").read_text().strip(),
            "threads": threading.active_count(),
        }

    with Path("/dev/zero").open("rb"):
        found = run_in_fork(inspect, seconds=60).value
    assert found["files"] == ["/dev/null"] * 3
    assert found["open"] == 5  # those three, the pipe, and the folder just being read
    assert (found["int"], found["term"], found["score"], found["threads"]) == (True, True, "1000", 1)


def test_failures_are_passed_on() -> None:
    """An expected failure keeps its kind and hint; a defect brings the child's traceback."""

    def refuse() -> None:
        raise NotFoundError("No such pond.", "Dig one.")

    def break_down() -> None:
        raise ZeroDivisionError("nothing to divide by")

    with pytest.raises(NotFoundError, match="No such pond") as expected:
        run_in_fork(refuse, seconds=60)
    assert expected.value.hint == "Dig one."
    with pytest.raises(ForkDefectError, match="nothing to divide by"):
        run_in_fork(break_down, seconds=60)
    with pytest.raises(ForkDefectError, match="not JSON serializable"):
        run_in_fork(object, seconds=60)
    with pytest.raises(BadInputError):
        run_in_fork(lambda: (_ for _ in ()).throw(BadInputError("no")), seconds=60)


def test_a_child_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that hangs, dies or says too much ends in a clear message, and nothing of it stays."""
    before = descriptors()
    with pytest.raises(TimedOutError, match=r"longer than 0\.3 s"):
        run_in_fork(threading.Event().wait, seconds=0.3)
    with pytest.raises(UnavailableError, match="status -9"):
        run_in_fork(lambda: os.kill(os.getpid(), signal.SIGKILL), seconds=60)
    monkeypatch.setattr(fork_snapshot, "MAX_RESULT_BYTES", 1000)
    with pytest.raises(TooLargeError):
        run_in_fork(lambda: b"x" * 1001, seconds=60)
    assert descriptors() == before
    assert zombies() == []


def test_a_child_that_never_begins_is_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A fork at the moment when an allocator's lock is held costs one attempt, not the request."""
    settle, mark = fork_snapshot._isolate_child, tmp_path / "tried"

    def hang_once(*arguments: object) -> None:
        if not mark.exists():
            mark.touch()
            threading.Event().wait()
        settle(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(fork_snapshot, "_HELLO_SECONDS", 0.3)
    monkeypatch.setattr(fork_snapshot, "_isolate_child", hang_once)
    assert run_in_fork(lambda: 7, seconds=60).value == 7
    assert mark.exists()


def test_one_copy_at_a_time() -> None:
    """Two copies would need the memory twice: the second waits, and says so when it waited in vain."""
    go, results = threading.Event(), []

    def slow() -> None:
        results.append(run_in_fork(lambda: time.sleep(1.5), seconds=60))
        go.set()

    thread = threading.Thread(target=slow)
    thread.start()
    eventually(fork_permit._permit.locked, what="the first copy")
    with pytest.raises(BusyError):
        run_in_fork(lambda: 1, seconds=0.2)
    thread.join()
    assert len(results) == 1
    assert run_in_fork(lambda: 1, seconds=60).value == 1


def test_what_nobody_waits_for_makes_way() -> None:
    """A census of the watcher would keep a person waiting, on a busy machine for minutes."""
    begun = threading.Event()
    ended: list[BaseException | None] = []

    def in_the_background() -> None:
        try:
            begun.set()
            run_in_fork(lambda: time.sleep(600), seconds=600, gives_way=True)
            ended.append(None)
        except CancelledError as error:
            ended.append(error)

    watcher = threading.Thread(target=in_the_background)
    watcher.start()
    assert begun.wait(60)
    eventually(fork_permit._permit.locked, what="a copy in the background")
    assert run_in_fork(lambda: "asked for", seconds=60).value == "asked for"
    watcher.join(60)
    assert [type(end) for end in ended] == [CancelledError]


def test_the_child_dies_with_the_parent(tmp_path: Path) -> None:
    """A killed server would leave a copy of its whole memory behind."""
    mark = tmp_path / "child"

    def stay() -> None:
        mark.write_text(str(os.getpid()))
        threading.Event().wait()

    parent = os.fork()
    if parent == 0:
        run_in_fork(stay, seconds=60)
        os._exit(0)
    eventually(lambda: mark.exists() and mark.read_text(), what="the child")
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    eventually(lambda: not Path(f"/proc/{mark.read_text()}").exists(), what="the end of the child")


def test_without_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no fork, the message says so instead of an AttributeError."""
    monkeypatch.delattr(os, "fork")
    with pytest.raises(UnavailableError, match="cannot copy"):
        run_in_fork(lambda: 1, seconds=1)
