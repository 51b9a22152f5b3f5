from __future__ import annotations

import threading

import pytest

from services.knowledge.embedding import weights
from services.knowledge.embedding.weights import Priority

DEADLINE_SECONDS = 30


def test_a_batch_passes_when_nobody_asks() -> None:
    """Without a question a batch never waits."""
    Priority().new_turn().yield_to_questions()


def test_a_batch_waits_for_all_questions() -> None:
    """A batch goes on only when the last of several questions is done."""
    line, passed = Priority(), threading.Event()

    def work() -> None:
        line.new_turn().yield_to_questions()
        passed.set()

    first, second = line.urgent(), line.urgent()
    first.__enter__()
    second.__enter__()
    worker = threading.Thread(target=work)
    worker.start()
    first.__exit__(None, None, None)
    assert not passed.wait(0.05)
    second.__exit__(None, None, None)
    assert passed.wait(DEADLINE_SECONDS)
    worker.join()


def test_a_flood_of_questions_does_not_stop_a_batch_for_good() -> None:
    """A batch's patience is bounded over all its waits; then it goes on although a question is under way."""
    line = Priority()
    batch = line.new_turn()
    batch._patience_seconds = 0.05
    with line.urgent():
        batch.yield_to_questions()
        batch.yield_to_questions()
    assert batch._patience_seconds <= 0
    assert weights.PATIENCE_SECONDS < 10


def test_a_failed_question_lets_batches_go_on() -> None:
    """A question that ends in an error does not hold ingestion up."""
    line = Priority()
    with pytest.raises(ZeroDivisionError), line.urgent():
        _ = 1 / 0
    assert line.wait(DEADLINE_SECONDS) == 0.0
