from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from services.core.actor import SERVICE
from services.core.errors import TimedOutError
from services.knowledge.parsing import forkserver_client
from services.knowledge.parsing.forkserver_client import Watchdog
from services.knowledge.parsing.pool import ParserPool
from services.knowledge.types import DocumentStatus
from tests.knowledge.barriers import status_of
from tests.knowledge.library_harness import LibraryHarness, pdf, text_about
from tests.knowledge.parsing.pools import gone, pool_with, run, until

Signal = Callable[[signal.Signals, int], list[int]]


@pytest.fixture
def signal_readers(harness: LibraryHarness, monkeypatch: pytest.MonkeyPatch) -> Signal:
    """Send a signal to so many of the next processes that read a file, as soon as they have begun."""

    def begin(number: signal.Signals, times: int) -> list[int]:
        record = harness.parser._record
        hit: list[int] = []

        def recorded(job: int, pid: int) -> None:
            record(job, pid)
            if len(hit) < times:
                hit.append(pid)
                os.kill(pid, number)

        monkeypatch.setattr(harness.parser, "_record", recorded)
        return hit

    return begin


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGSEGV])
def test_a_reader_that_dies_costs_no_file(
    harness: LibraryHarness, signal_readers: Signal, number: signal.Signals
) -> None:
    """Whoever ends or stops the process that reads a good file would have the file called damaged, or too heavy."""
    hit = signal_readers(number, 2)
    document = harness.ready("good.pdf", pdf(40))
    assert (document.status, document.error, document.hint) == (DocumentStatus.READY, "", "")
    assert len(hit) == 2
    assert all(until(lambda pid=pid: gone(pid)) for pid in hit)  # type: ignore[misc]
    assert harness.library.jobs.recent(SERVICE)[0].attempts == 3
    harness.check()


@pytest.mark.parametrize(
    ("number", "told"),
    [(signal.SIGKILL, "ended from outside .* 3 times .*SIGKILL"), (signal.SIGSEGV, "crash 3 times .*SIGSEGV")],
)
def test_a_file_with_which_every_reader_dies_is_given_up(
    harness: LibraryHarness, signal_readers: Signal, number: signal.Signals, told: str
) -> None:
    """It would be tried for ever; or one would not learn what was seen. A file whose readers were killed is kept."""
    hit = signal_readers(number, 3)
    document = harness.ready("bad.pdf", pdf(40))
    assert len(hit) == 3
    other = harness.ready("other.txt", text_about("bystanders"))
    assert other.status is DocumentStatus.READY
    assert document.status is DocumentStatus.FAILED
    assert re.search(told, document.error), document.error
    assert document.hint
    kept = number is signal.SIGKILL
    assert len(harness.stored_files()) == 1 + kept
    if kept:
        harness.library.jobs.retry(SERVICE, document.job_id or 0)
        harness.idle()
        assert status_of(harness, document.id) is DocumentStatus.READY
    harness.check()


def test_a_stopped_fork_server_is_replaced(harness: LibraryHarness) -> None:
    """Files would wait for a process that somebody has stopped, and then be said to take too long."""
    harness.ready("first.txt", text_about("firsts"))
    server = harness.parser.pids()[0]
    os.kill(server, signal.SIGSTOP)
    added = [harness.add(f"{number}.pdf", pdf(number + 1)).document.id for number in range(3)]
    added.append(harness.add("note.txt", text_about("notes")).document.id)
    assert harness.ingestion.board.wait(
        lambda: all(status_of(harness, one) is DocumentStatus.READY for one in added), 20.0
    )
    assert harness.parser.pids()[0] != server
    assert until(lambda: gone(server))
    harness.check()


def test_a_fork_server_stopped_at_work_loses_nothing(harness: LibraryHarness, signal_readers: Signal) -> None:
    """Its children go on reading, and the files after them go to another server."""
    hit = signal_readers(signal.SIGCONT, 1)
    first = harness.add("first.pdf", pdf(60)).document.id
    assert until(lambda: bool(hit))
    os.kill(harness.parser.pids()[0], signal.SIGSTOP)
    second = harness.add("second.pdf", pdf(2)).document.id
    harness.idle()
    assert {status_of(harness, one) for one in (first, second)} == {DocumentStatus.READY}
    harness.check()


def test_a_stopped_child_that_waits_for_work_is_replaced(tmp_path: Path) -> None:
    """The next text would go to it and never come back."""
    path = tmp_path / "small"
    path.write_text("Nothing special in here.")
    pool: ParserPool = pool_with(tmp_path, warm_seconds=60.0)
    try:
        run(pool, path)
        server = psutil.Process(pool.pids()[0])
        (child,) = server.children()
        child.suspend()
        assert run(pool, path).chunks[0].text == "Nothing special in here."
        assert pool.pids()[0] == server.pid
        assert until(lambda: gone(child.pid))
    finally:
        pool.close()


def test_time_in_which_the_service_itself_was_stopped_hardly_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a pause of the whole service all files at work would be said to have taken too long."""
    clock = [0.0]
    monkeypatch.setattr(forkserver_client.time, "monotonic", lambda: clock[0])
    watchdog = Watchdog(lambda: False, 60.0, "")
    for _pause in range(3):
        clock[0] += 3600.0
        watchdog.check()
    with pytest.raises(TimedOutError):  # noqa: PT012 - it is a matter of time
        for _step in range(60):
            clock[0] += 1.0
            watchdog.check()
