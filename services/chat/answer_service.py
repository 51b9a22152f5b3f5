"""The answer service: from a question through validation, limits and a worker thread to the stored answer.

A question is validated, stored and answered within a request scope: a concurrency slot, a deadline, cancellation.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from services.chat.answer_cache import AnswerCache
from services.chat.answer_draft import AnswerDraft, AnswerTask, Step
from services.chat.answer_generator import AnswerGenerator
from services.chat.answer_masking import AnswerMask
from services.chat.answer_stream import AnswerStream, StreamWorker
from services.chat.conversation_locks import ConversationLock, ConversationLocks
from services.chat.conversations import Conversations
from services.chat.history_window import turns_from_messages
from services.chat.models import ChatModels
from services.chat.options import DEFAULT_OPTIONS, AnswerOptions
from services.chat.prompt import estimate_tokens
from services.chat.questions import checked_question, describe_question, question_message
from services.chat.text_limit import TextLimit
from services.chat.types import (
    AnswerEvent,
    AnswerState,
    Finished,
    FinishReason,
    KnowledgeSource,
    Message,
    MessageRole,
    Waiting,
)
from services.core.actor import Actor, Permission
from services.core.admission import Admission
from services.core.claims import ALONE, Claims
from services.core.errors import BadInputError, BusyError, MillpondError, UnavailableError
from services.core.events import Counter, EventSink, NullEventSink, Timer
from services.core.i18n import _
from services.core.requests import RequestKind, RequestRegistry, RequestScope
from services.core.requests.registry import current_session
from services.core.requests.request import Cancellation
from services.core.settings import Settings
from services.core.usage import NoUsage, UsageCounts, UsageSink

log = structlog.get_logger(__name__)

_COUNTERS = {
    AnswerState.COMPLETE: Counter.ANSWERS_COMPLETE,
    AnswerState.STOPPED: Counter.ANSWERS_STOPPED,
    AnswerState.FAILED: Counter.ANSWERS_FAILED,
}


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
        requests: RequestRegistry | None = None,
        cache: AnswerCache | None = None,
        count_tokens: Callable[[str], int] = estimate_tokens,
        claims: Claims = ALONE,
    ) -> None:
        """`count_tokens` counts those of answers that no model writes; `claims` keeps other nodes' answers away."""
        self.count_tokens = count_tokens
        self.usage: UsageSink = NoUsage()
        self._conversations = conversations
        self._models = models
        self._settings = settings
        self._rss = rss
        self._reporter = reporter or NullEventSink()
        self._admission = admission or Admission()
        self._generator = AnswerGenerator(source, models.backend, rss, cache, models.breakers)
        self._cache = cache
        self._requests = requests or RequestRegistry(settings, rss)
        # Reentrant: an abandoned answer may be closed by the garbage collector at any moment, also while its thread
        # holds the lock.
        self._lock = threading.RLock()
        self._closed = False
        self._locks = ConversationLocks(claims)
        self._answers: weakref.WeakSet[AnswerStream] = weakref.WeakSet()

    def ask(self, actor: Actor, conversation_id: str, question: str, *, user: str = "local") -> AnswerStream:
        """Answer `question` in a conversation; the question is stored at once, the answer when it ends.

        Raises (from the iterator):
            BadInputError, TooLargeError: the question is empty or too long; nothing was stored.
            ConflictError: the conversation is being answered already; nothing was stored.
            NotFoundError: there is no such conversation.
            BusyError, TimedOutError, UnavailableError: there is no answer; the question and the error are stored.
        """

        def task() -> AnswerTask:
            text = self._validated(question)
            conversation = self._conversations.conversation(actor, conversation_id)
            turns = self._conversations.turns(actor, conversation)
            asked = self._conversations.add_question(actor, question_message(conversation_id, text))
            return AnswerTask(actor, text, turns, conversation.collection_ids, conversation_id, asked.id)

        return self._answer(actor, task, describe_question(question), user=user, conversation_id=conversation_id)

    def regenerate(self, actor: Actor, conversation_id: str, *, user: str = "local") -> AnswerStream:
        """Answer the last question again. The new answer replaces the old one; if it fails, the old one is kept."""

        def task() -> AnswerTask:
            conversation = self._conversations.conversation(actor, conversation_id)
            question, answer = self._conversations.last_question(actor, conversation_id)
            self._admission.check_question(len(question.text))
            answered = answer is not None and answer.state is not AnswerState.FAILED and bool(answer.text)
            turns = self._conversations.turns(actor, conversation, without_last=answered)
            asked = conversation.collection_ids
            last = question.id if answer is None else answer.id
            return AnswerTask(actor, question.text, turns, asked, conversation_id, last, answer, fresh=True)

        return self._answer(actor, task, _("the last question again"), user=user, conversation_id=conversation_id)

    def edit(self, actor: Actor, conversation_id: str, question: str, *, user: str = "local") -> AnswerStream:
        """Replace the last question and its answer by `question`, and answer that."""

        def task() -> AnswerTask:
            text = self._validated(question)
            conversation = self._conversations.conversation(actor, conversation_id)
            old, _answer = self._conversations.last_question(actor, conversation_id)
            asked = self._conversations.replace_question(actor, old, question_message(conversation_id, text))
            turns = self._conversations.turns(actor, conversation)
            return AnswerTask(actor, text, turns, conversation.collection_ids, conversation_id, asked.id)

        return self._answer(actor, task, describe_question(question), user=user, conversation_id=conversation_id)

    def complete(
        self,
        actor: Actor,
        messages: Sequence[tuple[MessageRole, str]],
        *,
        user: str = "local",
        model: str | None = None,
        collection_ids: Sequence[int] = (),
        fresh: bool = False,
        options: AnswerOptions = DEFAULT_OPTIONS,
    ) -> AnswerStream:
        """Answer the last of `messages`, which is the user's, without a conversation; nothing is stored.

        `fresh` bypasses the answer cache.
        """

        def task() -> AnswerTask:
            self._models.check_name(model)
            self._models.check_options(options)
            if not messages or messages[-1][0] is not MessageRole.USER:
                raise BadInputError(_("The last message is not a question."), _("End with a message of the user."))
            text = self._validated(messages[-1][1])
            turns = (
                turns_from_messages(messages[:-1])[-self._settings.history_turns :]
                if self._settings.history_turns
                else ()
            )
            return AnswerTask(actor, text, tuple(turns), tuple(collection_ids), fresh=fresh, options=options)

        return self._answer(actor, task, describe_question(messages[-1][1] if messages else ""), user=user)

    def stop(self, actor: Actor, conversation_id: str) -> bool:
        """Stop the running answer of a conversation, at whatever node it is given; return whether there was one.

        Raises:
            NotFoundError: `actor` has no such conversation.
        """
        lock = _lock_of(actor, self._conversations.conversation(actor, conversation_id).id)
        if self._locks.stop(lock):
            return True
        elsewhere = self._locks.answered_elsewhere(lock)
        if elsewhere:
            self._conversations.record_stop(actor, conversation_id)
        return elsewhere

    def follow_stops(self, told: Sequence[Any]) -> None:
        """Stop the answers that somebody has stopped at another node, told with `Topic.STOPS`."""
        for person_id, conversation_id in told:
            self._locks.stop(ConversationLock(person_id, conversation_id))

    def claim_anew(self) -> None:
        """Claim the conversations that are being answered again: this node was taken over, and has joined anew."""
        self._locks.claim_anew()

    def slots(self) -> tuple[int, int]:
        """Return (running answers, waiting questions)."""
        return self._requests.counts(RequestKind.ANSWER)

    def close(self) -> None:
        """Stop all answers and refuse further questions."""
        with self._lock:
            self._closed = True
            answers = list(self._answers)
        for answer in answers:
            answer.close()

    def _answer(
        self, actor: Actor, task: Callable[[], AnswerTask], detail: str, *, user: str, conversation_id: str = ""
    ) -> AnswerStream:
        actor.require(Permission.ASK, _("Ask a question"))
        cancellation = Cancellation()
        opened = partial(
            self._requests.open,
            RequestKind.ANSWER,
            detail,
            user=user,
            session=current_session(),
            cancellation=cancellation,
        )
        answer = AnswerStream(
            self._in_scope(task, opened, _lock_of(actor, conversation_id), cancellation), cancellation
        )
        with self._lock:
            self._answers.add(answer)
        return answer

    def _in_scope(
        self,
        task: Callable[[], AnswerTask],
        opened: Callable[[], RequestScope],
        lock: ConversationLock,
        cancellation: Cancellation,
    ) -> Generator[AnswerEvent, None, None]:
        """Answer within a request scope: from the wait for the conversation until the message is stored."""
        if cancellation.event.is_set():
            return
        if self._closed:
            raise UnavailableError(_("Millpond is being closed."), _("Ask again when it has started."))
        try:
            scope = opened()
        except BusyError as refusal:
            with self._locks.held(lock, cancellation, seconds=0.0):  # nothing of it is to wait
                refused = task()
                self._store(refused, self._draft(refused), AnswerState.FAILED, refusal.message, refusal.hint)
            raise
        try:
            with self._locks.held(lock, cancellation):
                yield from self._answer_task(task(), scope, cancellation)
        except BaseException as error:
            scope.close(error)
            raise

    def _answer_task(
        self, task: AnswerTask, scope: RequestScope, cancellation: Cancellation
    ) -> Generator[AnswerEvent, None, None]:
        """Answer a question that was stored, and store the message."""
        draft = self._draft(task)
        try:
            yield from self._run_worker(task, draft, scope)
        except GeneratorExit:
            self._store(task, draft, AnswerState.STOPPED)
            raise
        except MillpondError as error:
            self._store(task, draft, AnswerState.FAILED, error.message, error.hint)
            raise
        except BaseException:
            self._store(task, draft, AnswerState.FAILED, _("The answer failed for an unforeseen reason."))
            raise
        state = AnswerState.STOPPED if cancellation.event.is_set() else AnswerState.COMPLETE
        message = self._store(task, draft, state)
        if state is AnswerState.COMPLETE:
            self._cache_answer(draft, message)
        # Before `Finished`: a reader that has the whole answer must find the slot and the conversation free.
        scope.close()
        self._locks.release(_lock_of(task.actor, task.conversation_id), cancellation)
        if state is AnswerState.COMPLETE:
            yield Finished(message, draft.end.left_out)

    def _run_worker(
        self, task: AnswerTask, draft: AnswerDraft, scope: RequestScope
    ) -> Generator[AnswerEvent, None, None]:
        """Wait for a slot, then yield the worker's events until it ends, is cancelled or times out."""
        self._log("queued", rss_before=draft.rss_bytes, waits=not scope.acquired)
        for position in scope.positions():
            yield Waiting(position)
        if scope.cancelled:
            return
        asked_at, draft.started_at = draft.started_at, time.monotonic()
        self._reporter.observe(Timer.ANSWER_WAIT, draft.started_at - asked_at)
        self._log("began", waited_ms=round((draft.started_at - asked_at) * 1000, 1))
        worker = StreamWorker[Step](
            lambda worker: self._generator.generate(
                worker,
                task.actor,
                task.question,
                task.turns,
                task.collection_ids,
                fresh=task.fresh,
                options=task.options,
            ),
            "answer",
        )
        try:
            scope.on_cancel(worker.stop)
            while draft.cut is None and (step := worker.next(scope.deadline)) is not None:
                event = draft.apply(step)
                if event is not None:
                    yield event
            event = draft.flush()
            if event is not None:
                yield event
        finally:
            worker.stop()
            if not worker.join():
                log.warning("answer thread did not end in time", question_characters=len(task.question))

    def _store(
        self, task: AnswerTask, draft: AnswerDraft, state: AnswerState, error: str = "", hint: str = ""
    ) -> Message:
        rss = self._rss()
        self._reporter.count(_COUNTERS[state])
        if draft.first_token_ms is not None:
            self._reporter.observe(Timer.FIRST_TOKEN, draft.first_token_ms / 1000)
            self._reporter.observe(Timer.ANSWER, time.monotonic() - draft.started_at)
        message = replace(draft.message(task, state, rss), error=error, hint=hint)
        used = 0 if message.cost.cached else (message.cost.prompt_tokens or 0) + (message.cost.answer_tokens or 0)
        self.usage.count(task.actor, UsageCounts(questions=1, tokens=used))
        log.info(
            "answer",
            stage="done",
            state=state.value,
            cached=message.cost.cached,
            ms=message.cost.total_ms,
            rss_before=draft.rss_bytes,
            rss_bytes=rss,
            **({"error": error} if error else {}),
        )
        if not task.conversation_id or (_is_worse(message) and task.replaces and not _is_worse(task.replaces)):
            return message
        first = task.replaces.id if task.replaces else None
        return self._conversations.replace_from(
            task.actor, first, message, question=task.question, last_id=task.last_id
        )

    def _cache_answer(self, draft: AnswerDraft, message: Message) -> None:
        retrieval = draft.retrieval
        if message.finish_reason is not FinishReason.STOP or draft.cut is not None or not message.text:
            return  # part of an answer must not pass for the whole
        if self._cache is not None and retrieval is not None and retrieval.cache_key is not None:
            event = retrieval.event
            self._cache.put(retrieval.cache_key, message, event.citations, relevant=event.relevant)

    def _draft(self, task: AnswerTask) -> AnswerDraft:
        return AnswerDraft(
            time.monotonic(),
            self._rss(),
            limit=self._limit(task.options),
            masking=AnswerMask() if self._settings.mask_answers else None,
        )

    def _limit(self, options: AnswerOptions) -> TextLimit | None:
        wanted = options.stop or options.max_tokens is not None
        return TextLimit(options.stop, options.max_tokens, self.count_tokens) if wanted else None

    def _log(self, stage: str, **fields: object) -> None:
        log.info("answer", stage=stage, rss_bytes=self._rss(), **fields)

    def _validated(self, question: str) -> str:
        text = checked_question(question, self._settings.question_characters)
        self._admission.check_question(len(question))
        return text


def _lock_of(actor: Actor, conversation_id: str) -> ConversationLock:
    return ConversationLock(actor.person_id, conversation_id)


def _is_worse(message: Message) -> bool:
    """Return whether an answer must not replace one that has text."""
    return message.state is AnswerState.FAILED or not message.text
