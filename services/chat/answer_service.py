"""Answering: limits, the answer's life from question to stored message, what it cost.

What becomes of a question before it is answered: checked, stored, put behind the turns before it.

One answer at a time in each conversation.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from services.chat.answer_cache import AnswerCache
from services.chat.answer_draft import AnswerDraft, Task
from services.chat.answer_generator import AnswerGenerator, Step
from services.chat.answer_stream import AnswerStream, StreamWorker
from services.chat.citations import is_blank, storable
from services.chat.conversations import Conversations
from services.chat.history_window import CHARACTERS, Turn
from services.chat.models import ChatModels
from services.chat.types import (
    AnswerEvent,
    AnswerState,
    Finished,
    KnowledgeSource,
    Message,
    MessageRole,
    Waiting,
)
from services.core.admission import Admission
from services.core.errors import BadInputError, ConflictError, MillpondError, TooLargeError, UnavailableError
from services.core.events import Counter, EventSink, NullEventSink, Timer
from services.core.i18n import _, plural
from services.core.requests import RequestKind, RequestRegistry, RequestScope
from services.core.requests.request import Cancellation
from services.core.settings import Settings

log = structlog.get_logger(__name__)

_COUNTED = {
    AnswerState.COMPLETE: Counter.ANSWERS_COMPLETE,
    AnswerState.STOPPED: Counter.ANSWERS_STOPPED,
    AnswerState.FAILED: Counter.ANSWERS_FAILED,
}
LEAVING_SECONDS = 2.0  # a question waits so long for a stopped answer to be stored


class AnswerService:
    """Answers questions, within limits, one at a time in each conversation."""

    def __init__(
        self,
        conversations: Conversations,
        models: ChatModels,
        source: KnowledgeSource,
        settings: Settings,
        rss: Callable[[], int],
        *,
        reporter: EventSink | None = None,
        admission: Admission | None = None,
        scopes: RequestRegistry | None = None,
        cache: AnswerCache | None = None,
    ) -> None:
        self._conversations = conversations
        self._models = models
        self._settings = settings
        self._rss = rss
        self._reporter = reporter or NullEventSink()
        self._admission = admission or Admission()
        self._writer = AnswerGenerator(source, models.backend, rss, cache, models.breakers)
        self._cache = cache
        self._scopes = scopes or RequestRegistry(settings, rss)
        # Reentrant, like the other locks here: an answer that was dropped may be closed by the garbage collector at any
        # moment, also while its thread holds the lock.
        self._lock = threading.RLock()
        self._closed = False
        self._claims = ConversationLocks()
        self._answers: weakref.WeakSet[AnswerStream] = weakref.WeakSet()

    def ask(self, conversation_id: str, question: str, *, user: str = "local") -> AnswerStream:
        """Answer `question` in a conversation; the question is stored at once, the answer when it ends, however.

        Raises (from the iterator):
            BadInputError, TooLargeError: the question is empty or too long; nothing was stored.
            ConflictError: the conversation is being answered already; nothing was stored.
            NotFoundError: there is no such conversation.
            BusyError, TimedOutError, UnavailableError: no answer; the question and the failure are stored.
        """

        def task() -> Task:
            text = self._checked(question)
            conversation = self._conversations.conversation(conversation_id)
            turns = self._conversations.turns(conversation)
            self._conversations.add_question(asked_now(conversation_id, text))
            return Task(text, user, turns, conversation.collection_ids, conversation_id)

        return self._answer(task, conversation_id)

    def regenerate(self, conversation_id: str, *, user: str = "local") -> AnswerStream:
        """Answer the last question again. The old answer is replaced when a new one is there, and kept otherwise."""

        def task() -> Task:
            conversation = self._conversations.conversation(conversation_id)
            question, answer = self._conversations.last_question(conversation_id)
            self._admission.check_question(len(question.text))
            turns = self._conversations.turns(conversation)
            if answer is not None and answer.state is not AnswerState.FAILED and answer.text:
                turns = turns[:-1]
            return Task(question.text, user, turns, conversation.collection_ids, conversation_id, answer, fresh=True)

        return self._answer(task, conversation_id)

    def edit(self, conversation_id: str, question: str, *, user: str = "local") -> AnswerStream:
        """Put `question` in place of the last question and its answer, and answer it."""

        def task() -> Task:
            text = self._checked(question)
            conversation = self._conversations.conversation(conversation_id)
            old, _answer = self._conversations.last_question(conversation_id)
            self._conversations.replace_question(old, asked_now(conversation_id, text))
            turns = self._conversations.turns(conversation)
            return Task(text, user, turns, conversation.collection_ids, conversation_id)

        return self._answer(task, conversation_id)

    def complete(
        self,
        messages: Sequence[tuple[MessageRole, str]],
        *,
        user: str = "local",
        model: str | None = None,
        collection_ids: Sequence[int] = (),
        fresh: bool = False,
    ) -> AnswerStream:
        """Answer the last of `messages`, which is the user's, without a conversation; nothing is stored.

        `fresh`: an answer that was given before will not do.
        """

        def task() -> Task:
            self._models.check_name(model)
            if not messages or messages[-1][0] is not MessageRole.USER:
                raise BadInputError(_("The last message is not a question."), _("End with a message of the user."))
            text = self._checked(messages[-1][1])
            turns = turns_of(messages[:-1])[-self._settings.history_turns :] if self._settings.history_turns else ()
            return Task(text, user, tuple(turns), tuple(collection_ids), fresh=fresh)

        return self._answer(task, "")

    def stop(self, conversation_id: str) -> bool:
        """Stop the answer that is being written in a conversation; return whether there was one."""
        return self._claims.stop(conversation_id)

    def slots(self) -> tuple[int, int]:
        """Return how many answers run and how many questions wait."""
        return self._scopes.counts(RequestKind.ANSWER)

    def close(self) -> None:
        """Stop all answers and take no more questions."""
        with self._lock:
            self._closed = True
            answers = list(self._answers)
        for answer in answers:
            answer.close()

    def _answer(self, task: Callable[[], Task], conversation_id: str) -> AnswerStream:
        cancellation = Cancellation()
        answer = AnswerStream(self._in_turn(task, conversation_id, cancellation), cancellation)
        with self._lock:
            self._answers.add(answer)
        return answer

    def _in_turn(
        self, task: Callable[[], Task], conversation_id: str, cancellation: Cancellation
    ) -> Generator[AnswerEvent, None, None]:
        """One at a time in a conversation."""
        if cancellation.event.is_set():
            return
        if self._closed:
            raise UnavailableError(_("Millpond is being closed."), _("Ask again when it has started."))
        if not conversation_id:
            yield from self._recorded(task(), cancellation)
            return
        self._claims.take(conversation_id, cancellation)
        try:
            yield from self._recorded(task(), cancellation)
        finally:
            self._claims.release(conversation_id, cancellation)

    def _recorded(self, task: Task, cancellation: Cancellation) -> Generator[AnswerEvent, None, None]:
        """Answer within a scope that covers everything up to the stored message."""
        draft = AnswerDraft(time.monotonic(), self._rss())
        scope: RequestScope | None = None
        try:
            try:
                scope = self._scopes.open(RequestKind.ANSWER, detail(task), user=task.user, cancellation=cancellation)
                yield from self._limited(task, draft, scope)
            except GeneratorExit:
                self._store(task, draft, AnswerState.STOPPED)
                raise
            except MillpondError as error:
                self._store(task, draft, AnswerState.FAILED, error.message, error.hint)
                raise
            except BaseException:
                self._store(task, draft, AnswerState.FAILED, _("The answer failed for a reason that was not foreseen."))
                raise
            state = AnswerState.STOPPED if cancellation.event.is_set() else AnswerState.COMPLETE
            message = self._store(task, draft, state)
            if state is AnswerState.COMPLETE:
                self._remember(draft, message)
        except BaseException as error:
            if scope is not None:
                scope.close(error)
            raise
        # Before the reader is told: whoever has the whole answer finds the slot and the conversation free.
        scope.close()
        self._claims.release(task.conversation_id, cancellation)
        if state is AnswerState.COMPLETE:
            yield Finished(message)

    def _limited(self, task: Task, draft: AnswerDraft, scope: RequestScope) -> Generator[AnswerEvent, None, None]:
        """Wait for a slot, then pass the worker's steps on until it ends, is cancelled, or time is up."""
        self._log("queued", rss_before=draft.rss, waits=not scope.taken)
        for position in scope.positions():
            yield Waiting(position)
        if scope.cancelled:
            return
        asked, draft.began = draft.began, time.monotonic()
        self._reporter.observe(Timer.ANSWER_WAIT, draft.began - asked)
        self._log("began", waited_ms=round((draft.began - asked) * 1000, 1))
        worker = StreamWorker[Step](
            lambda worker: self._writer.write(worker, task.question, task.turns, task.collection_ids, fresh=task.fresh),
            "answer",
        )
        try:
            scope.on_cancel(worker.stop)
            while (step := worker.next(scope.deadline)) is not None:
                event = draft.take(step)
                if event is not None:
                    yield event
        finally:
            worker.stop()
            if not worker.join():
                log.warning("the thread of an ended answer is still busy", question_characters=len(task.question))

    def _store(self, task: Task, draft: AnswerDraft, state: AnswerState, error: str = "", hint: str = "") -> Message:
        rss = self._rss()
        self._reporter.count(_COUNTED[state])
        if draft.first_token_ms is not None:
            self._reporter.observe(Timer.FIRST_TOKEN, draft.first_token_ms / 1000)
            self._reporter.observe(Timer.ANSWER, time.monotonic() - draft.began)
        message = replace(draft.message(task, state, rss), error=error, hint=hint)
        log.info(
            "answer",
            stage="done",
            state=state.value,
            cached=message.cost.cached,
            ms=message.cost.total_ms,
            rss_before=draft.rss,
            rss_bytes=rss,
            **({"error": error} if error else {}),
        )
        if not task.conversation_id or (_is_worse(message) and task.replaces and not _is_worse(task.replaces)):
            return message
        first = task.replaces.id if task.replaces else None
        return self._conversations.replace_from(first, message, question=task.question)

    def _remember(self, draft: AnswerDraft, message: Message) -> None:
        found = draft.found
        if self._cache is not None and found is not None and found.place is not None and message.text:
            self._cache.put(found.place, message, found.event.citations, relevant=found.event.relevant)

    def _log(self, stage: str, **fields: object) -> None:
        log.info("answer", stage=stage, rss_bytes=self._rss(), **fields)

    def _checked(self, question: str) -> str:
        text = checked(question, self._settings.question_characters)
        self._admission.check_question(len(question))
        return text


def _is_worse(message: Message) -> bool:
    """Return whether an answer is not worth giving up another one for."""
    return message.state is AnswerState.FAILED or not message.text


def checked(question: str, limit: int) -> str:
    """Return a question of at most `limit` characters as it can be stored and asked.

    Raises:
        BadInputError, TooLargeError: it is empty or too long.
    """
    if len(question) > limit:
        raise TooLargeError(
            _("The question has {count} characters; at most {limit} are accepted.").format(
                count=len(question), limit=limit
            ),
            _("Shorten it, or add the text as a document and ask about it."),
        )
    if is_blank(question):
        raise BadInputError(_("The question is empty."), _("Enter a question."))
    return storable(question).strip()


def detail(task: Task) -> str:
    """Return what others may know of a question: not its words."""
    return plural("question of {count} character", "question of {count} characters", len(task.question))


def asked_now(conversation_id: str, question: str) -> Message:
    """Return the message that a question is stored as."""
    return Message(0, conversation_id, MessageRole.USER, question, datetime.now(UTC))


def turns_of(messages: Sequence[tuple[MessageRole, str]]) -> list[Turn]:
    """Return the turns of a conversation that a client has sent; questions without an answer are left out."""
    turns: list[Turn] = []
    question = ""
    for role, text in messages:
        if role is MessageRole.USER:
            question = text
        elif question:
            turns.append(Turn(storable(question)[:CHARACTERS], storable(text)[:CHARACTERS]))
            question = ""
    return turns


class ConversationLocks:
    """Which conversations are being answered, and how each answer is stopped."""

    def __init__(self) -> None:
        # Reentrant, like the other locks here: an answer that was dropped may be closed by the garbage collector at any
        # moment, also while its thread holds the lock.
        self._changed = threading.Condition(threading.RLock())
        self._answers: dict[str, Cancellation] = {}

    def take(self, conversation_id: str, cancellation: Cancellation) -> None:
        """Claim a conversation for an answer; one that was stopped and is on its way out is waited for.

        Raises:
            ConflictError: the conversation is being answered already.
        """
        with self._changed:
            before = self._answers.get(conversation_id)
            if before is not None and before.event.is_set():
                self._changed.wait_for(lambda: self._answers.get(conversation_id) is not before, LEAVING_SECONDS)
            if conversation_id in self._answers:
                raise ConflictError(
                    _("A question of this conversation is being answered already."),
                    _("Wait for that answer or stop it."),
                )
            self._answers[conversation_id] = cancellation

    def release(self, conversation_id: str, cancellation: Cancellation) -> None:
        """Let go of a conversation; does nothing if the claim is another answer's, or none."""
        with self._changed:
            if self._answers.get(conversation_id) is cancellation:
                del self._answers[conversation_id]
                self._changed.notify_all()

    def stop(self, conversation_id: str) -> bool:
        """Stop the answer of a conversation; return whether there was one."""
        with self._changed:
            cancellation = self._answers.get(conversation_id)
        if cancellation is None:
            return False
        cancellation.cancel()
        return True
