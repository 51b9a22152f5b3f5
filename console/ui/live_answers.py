"""Answers in progress: each is generated in a thread of its own, so that it outlives reruns, reloads and page switches.

A page draws the draft; every tab that opens the conversation sees the same. One answer at a time per conversation;
`AnswerService` limits their total number.
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
_MOST_FAILURES = 64  # that wait for their conversation to be opened


class QuestionMode(StrEnum):
    """How a question was asked: new, edited in place of the last one, or the last one again."""

    NEW = "new"
    EDITED = "edited"
    AGAIN = "again"


@dataclass(frozen=True, slots=True)
class LiveDraft:
    """An answer as generated so far. `position` in the queue counts from 1; 0 when it is not queued."""

    text: str = ""
    citations: tuple[Citation, ...] = ()
    relevant: bool = True
    retrieved: bool = False
    position: int = 0
    stopping: bool = False


@dataclass(frozen=True, slots=True)
class AnswerFailure:
    """Why an answer failed, and its question."""

    question: str
    message: str
    hint: str


class LiveAnswer:
    """One answer being generated. `draft` and `done` may be read from any thread."""

    def __init__(self, question: str, answer: AnswerStream, mode: QuestionMode = QuestionMode.NEW) -> None:
        self.question = question
        self.mode = mode
        self.done = threading.Event()
        self.failure: AnswerFailure | None = None
        self._answer = answer
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._pieces: list[str] = []
        self._citations: tuple[Citation, ...] = ()
        self._relevant = True
        self._retrieved = False
        self._position = 0

    def draft(self) -> LiveDraft:
        """Return the answer so far."""
        with self._lock:
            if len(self._pieces) > 1:
                self._pieces = ["".join(self._pieces)]
            text = self._pieces[0] if self._pieces else ""
            return LiveDraft(
                text, self._citations, self._relevant, self._retrieved, self._position, self._stop.is_set()
            )

    def stop(self) -> None:
        """Stop the answer; the text so far is kept."""
        self._stop.set()
        self._answer.cancel()

    def run(self) -> bool:
        """Generate the answer (the thread's body); return whether it succeeded."""
        try:
            with self._answer:
                for event in self._answer:
                    self._apply(event)
        except MillpondError as error:
            self.failure = AnswerFailure(self.question, error.message, error.hint)
        except Exception as error:
            reference = secrets.token_hex(4)
            log.exception("defect", reference=reference)
            del error
            self.failure = AnswerFailure(
                self.question,
                _("An internal error occurred."),
                _("The reference is {reference}; the log has the details.").format(reference=reference),
            )
        return self.failure is None

    def _apply(self, event: AnswerEvent) -> None:
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
        self._failures: dict[str, AnswerFailure] = {}

    def start(
        self, conversation_id: str, question: str, stream: AnswerStream, mode: QuestionMode = QuestionMode.NEW
    ) -> LiveAnswer:
        """Start an answer in the background.

        Raises:
            ConflictError: the conversation's last answer is not complete yet.
        """
        answer = LiveAnswer(question, stream, mode)
        with self._lock:
            if conversation_id in self._live:
                raise ConflictError(
                    _("The last answer of this conversation is still being written."), _("Wait for it or stop it.")
                )
            self._live[conversation_id] = answer
            self._failures.pop(conversation_id, None)
        threading.Thread(target=self._run, args=(conversation_id, answer), name="millpond-answer", daemon=True).start()
        return answer

    def get(self, conversation_id: str) -> LiveAnswer | None:
        """Return the conversation's answer in progress."""
        with self._lock:
            return self._live.get(conversation_id)

    def failure(self, conversation_id: str) -> AnswerFailure | None:
        """Return, once, why the conversation's last answer failed."""
        with self._lock:
            return self._failures.pop(conversation_id, None)

    def _run(self, conversation_id: str, answer: LiveAnswer) -> None:
        try:
            answer_run(answer.run)
        finally:
            with self._lock:
                del self._live[conversation_id]
                if answer.failure is not None:
                    self._failures[conversation_id] = answer.failure
                    while len(self._failures) > _MOST_FAILURES:
                        del self._failures[next(iter(self._failures))]
            answer.done.set()


live_answers = LiveAnswers()
