from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.core.admission import (
    LONG_CHARACTERS,
    LONG_QUESTION_BYTES,
    LOW_MEMORY_BYTES,
    Admission,
    Gate,
    MemoryHeadroom,
    Refusal,
)
from services.core.errors import UnavailableError
from services.core.machine import MEGABYTE


class Process:
    """What is used, as a process would say it."""

    def __init__(self, used: int = 300, ceiling: int = 500) -> None:
        self.used, self.ceiling = used * MEGABYTE, ceiling * MEGABYTE
        self.admission = Admission()
        self.admission.set_headroom_source(lambda: MemoryHeadroom(self.used, self.ceiling))


def test_gates_close_and_open_for_each_who_closes_them() -> None:
    """A drain that ends would open what the budget had closed."""
    admission = Admission()
    admission.close(Gate.UPLOADS, "budget", "short of memory", "later")
    admission.close(Gate.UPLOADS, "restart", "restarting", "in a minute")
    admission.open(Gate.UPLOADS, "budget")
    with pytest.raises(UnavailableError, match="restarting"):
        admission.check(Gate.UPLOADS)
    admission.open(Gate.UPLOADS, "restart")
    admission.open(Gate.UPLOADS, "restart")
    admission.check(Gate.UPLOADS)
    assert admission.closed() == {}


def test_long_questions_are_refused_before_short_ones() -> None:
    """A short question costs next to nothing and would be refused with the long ones."""
    admission = Admission()
    admission.close(Gate.LONG_QUESTIONS, "budget", "short of memory", "later")
    admission.check_question(LONG_CHARACTERS)
    with pytest.raises(UnavailableError):
        admission.check_question(LONG_CHARACTERS + 1)
    admission.close(Gate.QUESTIONS, "restart", "restarting", "in a minute")
    with pytest.raises(UnavailableError):
        admission.check_question(1)
    assert admission.refusal_counts() == {"uploads": 0, "long_questions": 1, "questions": 1, "room": 0}


def test_work_that_does_not_fit_is_refused_with_its_figures() -> None:
    """A refusal without figures explains nothing; one that reserves all the same keeps the memory for ever."""
    process = Process(used=300, ceiling=500)
    with pytest.raises(UnavailableError, match=r"The model needs about 201 MB.*300 MB are used.*500 MB") as caught:
        process.admission.reserve(201 * MEGABYTE, "The model")
    assert caught.value.hint
    assert process.admission.reserved == 0
    assert process.admission.free_bytes() == 200 * MEGABYTE
    process.admission.require(200 * MEGABYTE, "The model")
    assert process.admission.reserved == 0


def test_promised_room_is_promised_once() -> None:
    """Two works that begin at the same moment would both get the memory of one."""
    process = Process(used=300, ceiling=500)
    with process.admission.reserve(150 * MEGABYTE, "One"):
        assert process.admission.try_reserve(100 * MEGABYTE, "Another") is None
        assert "150 MB reserved" in process.admission.shortage(100 * MEGABYTE, "Another")
    assert process.admission.try_reserve(100 * MEGABYTE, "Another") is not None


def test_many_at_once_never_get_more_than_there_is() -> None:
    """A race between looking and reserving."""
    process = Process(used=0, ceiling=100)
    most, lock, start = [0], threading.Lock(), threading.Barrier(8)

    def work() -> int:
        start.wait()
        done = 0
        for _number in range(200):
            reservation = process.admission.try_reserve(30 * MEGABYTE, "Work")
            if reservation is not None:
                with reservation, lock:
                    most[0] = max(most[0], process.admission.reserved)
                done += 1
        return done

    with ThreadPoolExecutor(8) as pool:
        assert sum(each.result() for each in [pool.submit(work) for _number in range(8)])
    assert 0 < most[0] <= 90 * MEGABYTE
    assert process.admission.reserved == 0


def test_work_that_ends_badly_gives_its_room_back() -> None:
    """Room that an error or a dropped object keeps is lost until the process ends."""
    process = Process()

    def broken() -> None:
        with process.admission.reserve(MEGABYTE, "Work"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    dropped = process.admission.reserve(MEGABYTE, "Work")
    del dropped
    gc.collect()
    released = process.admission.reserve(MEGABYTE, "Work")
    released.release()
    released.release()
    assert process.admission.reserved == 0


def test_without_a_limit_everything_fits() -> None:
    """A process whose budget is off, or in a dry run, must refuse nothing."""
    admission = Admission()
    admission.set_headroom_source(lambda: None)
    with admission.reserve(1 << 60, "Everything"):
        assert admission.free_bytes() is None
        assert not admission.low_memory


def test_a_long_question_needs_memory() -> None:
    """Over the hard watermark a long question would be let in until the budget has come to its doors."""
    process = Process(used=500, ceiling=500)
    process.admission.check_question(LONG_CHARACTERS)
    with pytest.raises(UnavailableError, match="A long question"):
        process.admission.check_question(LONG_CHARACTERS + 1)
    process.used -= LONG_QUESTION_BYTES
    process.admission.check_question(LONG_CHARACTERS + 1)
    assert process.admission.reserved == 0


def test_memory_is_low_when_slowed_down_or_short() -> None:
    """Large portions would be taken just when memory is short."""
    process = Process(used=0, ceiling=500)
    assert not process.admission.low_memory
    process.admission.slow_ingestion(2.0)
    assert process.admission.low_memory
    process.admission.slow_ingestion(0.0)
    process.used = process.ceiling - LOW_MEMORY_BYTES + 1
    assert process.admission.low_memory


def test_refusals_are_reported() -> None:
    """Nobody would hear that people are turned away, nor whether the budget or a restart does it."""
    process = Process(used=500, ceiling=500)
    refusals: list[Refusal] = []
    process.admission.add_listener(refusals.append)
    process.admission.close(Gate.UPLOADS, "restart", "restarting", "")
    with pytest.raises(UnavailableError):
        process.admission.check(Gate.UPLOADS)
    with pytest.raises(UnavailableError):
        process.admission.reserve(5, "The model")
    assert process.admission.try_reserve(5, "A document") is None
    assert refusals == [Refusal("A new file", Gate.UPLOADS, "restart"), Refusal("The model", bytes=5)]
