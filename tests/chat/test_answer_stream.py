from __future__ import annotations

import asyncio
import threading
import time

import pytest

from services.chat.answer_stream import QUEUE_SIZE, StreamWorker
from services.core.errors import TimedOutError

DEADLINE = 20.0


def later() -> float:
    return time.monotonic() + DEADLINE


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_writer_waits_for_a_slow_reader(asynchronous: bool) -> None:
    """What is between them is bounded; a stop ends the writer although the buffer is full."""
    written: list[int] = []
    full = threading.Event()

    async def write_async(worker: StreamWorker[int]) -> None:
        for number in range(QUEUE_SIZE * 10):
            if number == QUEUE_SIZE:
                full.set()
            await worker.put_async(number)
            written.append(number)

    def write(worker: StreamWorker[int]) -> None:
        if asynchronous:
            worker.run(write_async(worker))
            return
        for number in range(QUEUE_SIZE * 10):
            if number == QUEUE_SIZE:
                full.set()
            worker.put(number)
            written.append(number)

    worker = StreamWorker(write, "answer")
    assert full.wait(DEADLINE)
    assert [worker.next(later()) for _ in range(3)] == [0, 1, 2]
    worker.stop()
    assert worker.join()
    assert len(written) <= QUEUE_SIZE + 4


def test_events_come_in_order_and_end() -> None:
    """Nothing is lost between a fast writer and a reader that keeps up."""

    def write(worker: StreamWorker[int]) -> None:
        for number in range(1, QUEUE_SIZE * 3):
            worker.put(number)

    worker = StreamWorker(write, "answer")
    read = []
    while (event := worker.next(later())) is not None:
        read.append(event)
    assert read == list(range(1, QUEUE_SIZE * 3))
    assert worker.join()


def test_what_the_thread_raises_reaches_the_reader() -> None:
    """An error in the thread is not lost, and the thread ends."""

    def write(worker: StreamWorker[int]) -> None:
        worker.put(1)
        raise ZeroDivisionError

    worker = StreamWorker(write, "answer")
    assert worker.next(later()) == 1
    with pytest.raises(ZeroDivisionError):
        worker.next(later())
    assert worker.join()


def test_a_stop_wakes_the_reader_and_the_coroutine() -> None:
    """Both sides may be waiting for something that never comes."""
    waiting = threading.Event()
    cancelled: list[bool] = []

    async def wait() -> None:
        waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    worker = StreamWorker[int](lambda worker: worker.run(wait()), "answer")
    read: list[int | None] = []
    reader = threading.Thread(target=lambda: read.append(worker.next(later())))
    reader.start()
    assert waiting.wait(DEADLINE)
    worker.stop()
    reader.join(DEADLINE)
    assert worker.join()
    assert (read, cancelled) == ([None], [True])


def test_a_stop_before_the_coroutine_starts_is_not_lost() -> None:
    """The coroutine is not even begun."""
    stopped = threading.Event()
    begun: list[bool] = []

    async def begin() -> None:
        begun.append(True)

    def write(worker: StreamWorker[int]) -> None:
        assert stopped.wait(DEADLINE)
        worker.run(begin())

    worker = StreamWorker(write, "answer")
    worker.stop()
    stopped.set()
    assert worker.join()
    assert begun == []


def test_the_deadline_is_kept_while_nothing_comes() -> None:
    """The reader is not held by a thread that is silent."""
    release = threading.Event()
    worker = StreamWorker[int](lambda _worker: release.wait(DEADLINE) and None, "answer")
    with pytest.raises(TimedOutError):
        worker.next(time.monotonic() + 0.05)
    worker.stop()
    release.set()
    assert worker.join()
