"""Questions of one moment are computed together, none waits long for others, and none fails for another."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from services.core.errors import UnavailableError
from services.knowledge.embedding.question_batches import MOST_TOGETHER, QuestionBatches

SECONDS = 30.0


class Computer:
    """Returns the length of each text as its vector; a text that begins with "hold" is computed until `release`."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.holding = threading.Semaphore(0)
        self.release = threading.Event()

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.batches.append(list(texts))
        if any(text.startswith("hold") for text in texts):
            self.holding.release()
            assert self.release.wait(SECONDS)
        if any(text.startswith("fail") for text in texts):
            raise ValueError("cannot be computed")
        return np.array([[len(text)] for text in texts], dtype=np.float32)


@pytest.fixture
def computer() -> Computer:
    return Computer()


@pytest.fixture
def alone(computer: Computer) -> Iterator[QuestionBatches]:
    """Computes in one thread."""
    batches = QuestionBatches(computer, 1)
    yield batches
    computer.release.set()
    batches.close()


def test_what_comes_while_others_are_computed_is_computed_together(alone: QuestionBatches, computer: Computer) -> None:
    """One pass for all that wait, each text once, and everybody gets the vector of their own."""
    (first,) = alone.submit(["hold"])
    assert computer.holding.acquire(timeout=SECONDS)
    texts = ["one", "three", "one", "fourteen"]
    waiting = [alone.submit([text])[0] for text in texts]
    computer.release.set()
    assert [int(each.result(SECONDS)[0]) for each in waiting] == [len(text) for text in texts]
    assert int(first.result(SECONDS)[0]) == len("hold")
    assert computer.batches == [["hold"], ["one", "three", "fourteen"]]


def test_a_batch_has_an_end(alone: QuestionBatches, computer: Computer) -> None:
    """A flood is not computed all at once, so that the first does not wait for the last."""
    alone.submit(["hold"])
    assert computer.holding.acquire(timeout=SECONDS)
    waiting = alone.submit([f"text {number}" for number in range(MOST_TOGETHER + 3)])
    computer.release.set()
    for each in waiting:
        each.result(SECONDS)
    assert [len(batch) for batch in computer.batches] == [1, MOST_TOGETHER, 3]


def test_nobody_waits_for_the_end_of_another_batch(computer: Computer) -> None:
    """With a second core, a question is answered while another one is still computed."""
    batches = QuestionBatches(computer, 2)
    (held,) = batches.submit(["hold"])
    assert computer.holding.acquire(timeout=SECONDS)
    assert int(batches.submit(["meanwhile"])[0].result(SECONDS)[0]) == len("meanwhile")
    assert not held.done()
    computer.release.set()
    batches.close()
    assert held.done()


def test_one_that_fails_does_not_fail_the_others(alone: QuestionBatches, computer: Computer) -> None:
    """Who shares a batch with a text that cannot be computed gets an answer all the same."""
    alone.submit(["hold"])
    assert computer.holding.acquire(timeout=SECONDS)
    good, bad, last = alone.submit(["good", "fail", "better"])
    computer.release.set()
    assert int(good.result(SECONDS)[0]) == len("good")
    assert int(last.result(SECONDS)[0]) == len("better")
    with pytest.raises(ValueError, match="cannot be computed"):
        bad.result(SECONDS)


def test_the_end_answers_what_waits_and_refuses_the_rest(computer: Computer) -> None:
    """Closing loses no question that was taken; a later one is told so and does not wait for ever."""
    batches = QuestionBatches(computer, 1)
    batches.submit(["hold"])
    assert computer.holding.acquire(timeout=SECONDS)
    (waiting,) = batches.submit(["last"])
    computer.release.set()
    batches.close()
    assert int(waiting.result(0)[0]) == len("last")
    with pytest.raises(UnavailableError):
        batches.submit(["too late"])
