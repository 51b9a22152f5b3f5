"""Answers in progress: each is written by a thread of its own, so that it outlives reruns, reloads and page switches.

A page reads what is there so far and draws it; any tab that opens the conversation sees the same. One answer at a time
per conversation; how many there are in all is limited by `AnswerService`.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from enum import StrEnum

import structlog

from console.ui.runtime_access import answer_run
from services.chat.answer_stream import AnswerStream
from services.chat.types import AnswerEvent, Citation, Finished, Retrieved, Token, Waiting
from services.core.errors import ConflictError, MillpondError
from services.core.i18n import _

log = structlog.get_logger(__name__)
_KEPT = 64  # failures that wait for their conversation to be opened


class QuestionMode(StrEnum):
    """How a question came about: new, in place of the last one, or the last one again."""

    NEW = "new"
    EDITED = "edited"
    AGAIN = "again"


@dataclass(frozen=True, slots=True)
class LiveDraft:
    """An answer as far as it is written. `position` in the queue counts from 1, 0 when it does not wait."""

    text: str = ""
    citations: tuple[Citation, ...] = ()
    relevant: bool = True
    retrieved: bool = False
    position: int = 0
    stopping: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an answer did not come about, and the question that it was for."""

    question: str
    message: str
    hint: str


class LiveAnswer:
    """One answer being written. `draft` and `done` may be read from any thread."""

    def __init__(self, question: str, answer: AnswerStream, asked: QuestionMode = QuestionMode.NEW) -> None:
        self.question = question
        self.asked = asked
        self.done = threading.Event()
        self.failure: Failure | None = None
        self._answer = answer
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._pieces: list[str] = []
        self._citations: tuple[Citation, ...] = ()
        self._relevant = True
        self._retrieved = False
        self._position = 0

    def draft(self) -> LiveDraft:
        """Return what is there now."""
        with self._lock:
            if len(self._pieces) > 1:
                self._pieces = ["".join(self._pieces)]
            text = self._pieces[0] if self._pieces else ""
            return LiveDraft(
                text, self._citations, self._relevant, self._retrieved, self._position, self._stop.is_set()
            )

    def stop(self) -> None:
        """Ask the answer to end; what is written so far is kept."""
        self._stop.set()
        self._answer.cancel()

    def run(self) -> bool:
        """Write the answer (the thread's body); return whether it came about."""
        try:
            with self._answer:
                for event in self._answer:
                    self._take(event)
        except MillpondError as error:
            self.failure = Failure(self.question, error.message, error.hint)
        except Exception as error:
            reference = secrets.token_hex(4)
            log.exception("defect", reference=reference)
            del error
            self.failure = Failure(
                self.question,
                _("Something went wrong that should not have."),
                _("The reference is {reference}; the log has the details.").format(reference=reference),
            )
        return self.failure is None

    def _take(self, event: AnswerEvent) -> None:
        with self._lock:
            match event:
                case Waiting(position=position):
                    self._position = position
                case Retrieved(citations=citations, relevant=relevant):
                    self._position, self._citations, self._relevant, self._retrieved = 0, citations, relevant, True
                case Token(text=text):
                    self._position = 0
                    self._pieces.append(text)
                case Finished():
                    pass


class LiveAnswers:
    """The answers in progress of this process, by conversation."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: dict[str, LiveAnswer] = {}
        self._failures: dict[str, Failure] = {}

    def start(
        self, conversation_id: str, question: str, writing: AnswerStream, asked: QuestionMode = QuestionMode.NEW
    ) -> LiveAnswer:
        """Begin an answer in the background.

        Raises:
            ConflictError: the conversation's last answer is still being written.
        """
        answer = LiveAnswer(question, writing, asked)
        with self._lock:
            if conversation_id in self._live:
                raise ConflictError(
                    _("The last answer of this conversation is still being written."), _("Wait for it or stop it.")
                )
            self._live[conversation_id] = answer
            self._failures.pop(conversation_id, None)
        threading.Thread(
            target=self._write, args=(conversation_id, answer), name="millpond-answer", daemon=True
        ).start()
        return answer

    def get(self, conversation_id: str) -> LiveAnswer | None:
        """Return the conversation's answer in progress."""
        with self._lock:
            return self._live.get(conversation_id)

    def failure(self, conversation_id: str) -> Failure | None:
        """Return, once, why the conversation's last answer did not come about."""
        with self._lock:
            return self._failures.pop(conversation_id, None)

    def _write(self, conversation_id: str, answer: LiveAnswer) -> None:
        try:
            answer_run(answer.run)
        finally:
            with self._lock:
                del self._live[conversation_id]
                if answer.failure is not None:
                    self._failures[conversation_id] = answer.failure
                    while len(self._failures) > _KEPT:
                        del self._failures[next(iter(self._failures))]
            answer.done.set()


live_answers = LiveAnswers()
