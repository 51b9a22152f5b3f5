from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Self, cast

import pytest

from console.ui.live_answers import LiveAnswers
from services.chat.answer_stream import AnswerStream
from services.chat.types import AnswerEvent, Citation, Retrieved, Token, Waiting
from services.core.errors import BusyError, ConflictError

SECONDS = 10.0


class Scripted:
    """An answer that goes on when it is told to."""

    def __init__(self, *events: AnswerEvent, error: Exception | None = None, held: bool = False) -> None:
        self.events = events
        self.error = error
        self.go = threading.Event()
        self.closed = threading.Event()
        if not held:
            self.go.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()

    def __iter__(self) -> Iterator[AnswerEvent]:
        yield from self.events
        assert self.go.wait(SECONDS)
        if self.error:
            raise self.error

    def cancel(self) -> None:
        self.go.set()


def scripted(*events: AnswerEvent, **options: Any) -> AnswerStream:
    return cast("AnswerStream", Scripted(*events, **options))


def test_a_draft_grows_with_its_events() -> None:
    """Place in the queue, sources and text are there for whoever looks, in any thread."""
    answers = LiveAnswers()
    sources = (Citation(1, 5, 2, "a.pdf"),)
    writing = scripted(Waiting(2), Retrieved(sources, relevant=True), Token("Every "), Token("year"), held=True)
    live = answers.start("c", "How often?", writing)
    deadline = threading.Event()
    for _attempt in range(1000):
        if live.draft().text == "Every year":
            break
        deadline.wait(0.01)
    draft = live.draft()
    assert (draft.text, draft.citations, draft.position, draft.retrieved) == ("Every year", sources, 0, True)
    live.stop()
    assert live.done.wait(SECONDS)
    assert live.draft().stopping
    assert cast("Scripted", writing).closed.is_set()
    assert answers.get("c") is None


def test_a_conversation_has_one_answer_at_a_time() -> None:
    """A second tab cannot start another answer below the one that is being written."""
    answers = LiveAnswers()
    live = answers.start("c", "one", scripted(held=True))
    with pytest.raises(ConflictError):
        answers.start("c", "two", scripted())
    other = answers.start("d", "other conversation", scripted())
    assert other.done.wait(SECONDS)
    live.stop()
    assert live.done.wait(SECONDS)
    assert answers.start("c", "three", scripted()).done.wait(SECONDS)


def test_a_failure_is_told_once_with_its_question() -> None:
    """The page shows message and hint, and can put the question back into its field."""
    answers = LiveAnswers()
    live = answers.start("c", "How often?", scripted(error=BusyError("All busy.", "Ask again.")))
    assert live.done.wait(SECONDS)
    failure = answers.failure("c")
    assert failure is not None
    assert (failure.question, failure.message, failure.hint) == ("How often?", "All busy.", "Ask again.")
    assert answers.failure("c") is None


def test_a_defect_gets_a_reference_not_a_traceback() -> None:
    """What nobody foresaw is shown by a reference id; its text stays in the log."""
    answers = LiveAnswers()
    live = answers.start("c", "How often?", scripted(error=ZeroDivisionError("secret detail")))
    assert live.done.wait(SECONDS)
    failure = answers.failure("c")
    assert failure is not None
    assert "secret detail" not in failure.message + failure.hint
    assert "reference" in failure.hint
