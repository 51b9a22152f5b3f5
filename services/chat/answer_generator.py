"""Generation of one answer, in its worker's thread: retrieval, then the model's text or quoted sentences.

A question that names its subject is the query as it is. One that has little more than a pronoun ("and when did they
open it?", "它多少钱？") is searched together with the question before it. No other is: a question about a new subject
that the documents do not cover must not be answered with passages on the old one.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from services.chat import prompt
from services.chat.answer_cache import AnswerCache, AnswerKey, CachedAnswer
from services.chat.answer_draft import CorrectionStep, ModelEnd, RetrievalStep, Step
from services.chat.answer_filter import AnswerFilter
from services.chat.answer_stream import StreamStopped, StreamWorker
from services.chat.citations import is_unspaced, make_citation, sanitize
from services.chat.history_window import Turn
from services.chat.models import Backend, stream
from services.chat.models.circuit_breaker import CircuitBreakers, OpenBreakerError, Permit
from services.chat.models.errors import UnreachableError, empty_answer
from services.chat.options import DEFAULT_OPTIONS, AnswerOptions
from services.chat.quoted_answer import QUOTE_COUNT, nothing_found, quoted_answer
from services.chat.types import KnowledgeSource, Passage, Passages, Retrieved, Token
from services.core.actor import Actor
from services.core.errors import UnavailableError
from services.core.i18n import _

log = structlog.get_logger(__name__)

MAX_ANSWER_CHARACTERS = 100_000
_WORD = re.compile(r"[^\W_]+")
_POINTERS = frozenset(
    _WORD.findall("it its they them their he him his she her this that these those one ones there then so same")
)
_STARTS = ("and ", "but ", "or ", "what about", "how about", "why?", "why not", "what else", "when?", "where?", "who?")
_FUNCTION_WORDS = _POINTERS | frozenset(
    _WORD.findall(
        "a an the and or but of in on at to for from by with as is are was were be been do does did has have had "
        "can could will would should may what when where which who whom whose why how much many long often about "
        "else also not no i you we me my your our please tell more explain"
    )
)
_UNSPACED_POINTERS = re.compile("[它他她其]|这|那|呢|该|上述|前者|后者|それ|これ|その|この")
MAX_CONTENT_WORDS = 2
MAX_UNSPACED_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class _Retrieval:
    """The passages found for a query of `actor`, the time it took, and the cache key of the answer."""

    actor: Actor
    query: str
    passages: Passages
    milliseconds: float
    cache_key: AnswerKey | None


@dataclass(frozen=True, slots=True)
class _ModelCall:
    """A question to a chat model: the passages that it gets, and the permit of its circuit breaker."""

    backend: Backend
    permit: Permit
    question: str
    turns: Sequence[Turn]
    options: AnswerOptions
    passages: Sequence[Passage]


@dataclass(frozen=True, slots=True)
class AnswerGenerator:
    """Generates answers from one knowledge source; `rss` returns the process's resident bytes, for the log."""

    source: KnowledgeSource
    backend: Callable[[], Backend | None]
    rss: Callable[[], int]
    cache: AnswerCache | None = None
    breakers: CircuitBreakers = field(default_factory=CircuitBreakers)

    def generate(
        self,
        worker: StreamWorker[Step],
        actor: Actor,
        question: str,
        turns: Sequence[Turn],
        collection_ids: Sequence[int],
        *,
        fresh: bool = False,
        options: AnswerOptions = DEFAULT_OPTIONS,
    ) -> None:
        """Put the steps of the answer to the `question` of `actor` into `worker`; `fresh` bypasses the cache."""
        started = time.monotonic()
        key = self.cache.key_for(actor, question, turns, collection_ids, options) if self.cache else None
        if key is not None and self.cache is not None and not fresh:
            cached = self.cache.get(key)
            if cached is not None:
                self._replay(worker, cached, (time.monotonic() - started) * 1000)
                return
        query = question
        if turns and depends_on_previous(question):
            query = combined_query(turns[-1].question, question)
        passages = self.source.passages(actor, query, collection_ids)
        elapsed = (time.monotonic() - started) * 1000
        self._log("retrieval", hits=len(passages.hits), relevant=passages.relevant, ms=round(elapsed, 1))
        if passages.corrections:
            worker.put(CorrectionStep(tuple((each.typed, each.read) for each in passages.corrections)))
        retrieval = _Retrieval(actor, query, passages, elapsed, key)
        worker.check()
        found = bool(passages.relevant and passages.hits)
        if not found and not options.needs_model:
            self._report_nothing_found(worker, retrieval)
            return
        try:
            backend = self.backend()
            worker.check()
            if backend is None:
                self._quote(worker, retrieval)
                return
            permit = self.breakers.get(backend.address).acquire()
            backend.check(options)
            call = _ModelCall(backend, permit, question, turns, options, passages.hits if found else ())
            with permit:
                self._generate_with_model(worker, call, retrieval)
        except (OpenBreakerError, UnreachableError) as error:
            if options.needs_model:
                raise
            # Not cached: once the model works again, its own answer is wanted.
            self._quote(worker, replace(retrieval, cache_key=None), reason=error.message)

    def _generate_with_model(self, worker: StreamWorker[Step], call: _ModelCall, retrieval: _Retrieval) -> None:
        """Stream the answer of the chat model.

        Raises:
            UnreachableError: nobody answers; no text was put into `worker`.
            MillpondError: it failed.
        """
        backend, options = call.backend, call.options
        built = prompt.build(
            call.question,
            call.passages,
            call.turns,
            context_tokens=backend.context_tokens,
            count=backend.count,
            options=options,
        )
        citations = tuple(make_citation(i, passage) for i, passage in enumerate(built.passages, start=1))
        self._log("model", model=backend.label)
        key = retrieval.cache_key
        begin = RetrievalStep(
            Retrieved(citations, relevant=bool(citations)),
            built.passages,
            retrieval.milliseconds,
            model=backend.label,
            cache_key=key,
            structured=options.structured,
        )
        worker.put(begin)
        try:
            worker.run(self._stream_model(worker, call, built))
        except StreamStopped:
            if worker.timed_out:
                call.permit.record_timeout()
            raise
        call.permit.record_success()

    async def _stream_model(self, worker: StreamWorker[Step], call: _ModelCall, built: prompt.Prompt) -> None:
        backend = call.backend
        text_filter = AnswerFilter(len(built.passages), structured=call.options.structured)
        written, called = 0, False
        end = ModelEnd()
        async with contextlib.aclosing(stream(backend, built, call.options)) as pieces:
            async for piece in pieces:
                call.permit.record_progress()
                end = end.updated(piece)
                for part in piece.calls:
                    called = True
                    await worker.put_async(part)
                text = text_filter.feed(piece.text)
                if text.strip() or (text and written):
                    if not written:
                        self._log("first token", model=backend.label)
                    await worker.put_async(Token(text if written else text.lstrip()))
                    written += len(text)
                if written > MAX_ANSWER_CHARACTERS:
                    raise UnavailableError(
                        _("The chat model did not stop writing; the answer was stopped."),
                        _("Ask again, or choose another model."),
                    )
        rest = text_filter.flush().rstrip()
        if rest:
            await worker.put_async(Token(rest))
            written += len(rest)
        if not (written or called):
            raise empty_answer(end.finish, built.answer_tokens)
        await worker.put_async(end)

    def _replay(self, worker: StreamWorker[Step], cached: CachedAnswer, elapsed: float) -> None:
        """Emit a cached answer with its sources; `elapsed` in ms."""
        self._log("retrieval", cached=True, ms=round(elapsed, 1))
        if cached.corrections:
            worker.put(CorrectionStep(cached.corrections))
        event = Retrieved(cached.retrieved, cached.relevant)
        worker.put(RetrievalStep(event, (), elapsed, quotes=cached.citations, model=cached.model, cached=True))
        self._emit_text(worker, cached.text)

    def _quote(self, worker: StreamWorker[Step], retrieval: _Retrieval, reason: str = "") -> None:
        """Quote the sentences that answer best; `reason` is why no model answers."""
        passages = retrieval.passages
        answer = quoted_answer(self.source.quotes(retrieval.actor, retrieval.query, passages, QUOTE_COUNT), reason)
        if answer is None:
            self._report_nothing_found(worker, retrieval)
            return
        event = Retrieved(answer.citations, relevant=True)
        worker.put(
            RetrievalStep(
                event,
                answer.passages,
                retrieval.milliseconds,
                quotes=answer.citations,
                cache_key=retrieval.cache_key,
            )
        )
        self._emit_text(worker, answer.text)

    def _report_nothing_found(self, worker: StreamWorker[Step], retrieval: _Retrieval) -> None:
        event = Retrieved((), relevant=False)
        worker.put(RetrievalStep(event, (), retrieval.milliseconds, quotes=(), cache_key=retrieval.cache_key))
        quotes = self.source.quotes(retrieval.actor, retrieval.query, retrieval.passages, QUOTE_COUNT)
        self._emit_text(worker, nothing_found(quotes))

    def _emit_text(self, worker: StreamWorker[Step], text: str) -> None:
        self._log("first token")
        # By lines: the whole text is there already, and each piece costs a switch of threads.
        for piece in sanitize(text).splitlines(keepends=True):
            worker.put(Token(piece))

    def _log(self, stage: str, **fields: object) -> None:
        log.info("answer", stage=stage, rss_bytes=self.rss(), **fields)


def depends_on_previous(question: str) -> bool:
    """Return whether `question` can only be searched together with the one before it."""
    text = question.strip().lower()
    if any(is_unspaced(c) for c in text):
        return len(text) <= MAX_UNSPACED_CHARACTERS and _UNSPACED_POINTERS.search(text) is not None
    words = _WORD.findall(text)
    content = [word for word in words if word not in _FUNCTION_WORDS]
    points = any(word in _POINTERS for word in words) or text.startswith(_STARTS)
    return not content or (points and len(content) <= MAX_CONTENT_WORDS)


def combined_query(previous: str, question: str) -> str:
    """Return the query for a question that depends on `previous`."""
    return f"{previous.strip()} {question.strip()}"
