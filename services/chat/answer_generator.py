"""Generation of one answer, in its worker's thread: retrieval, then the model's text or quoted sentences; the draft of
what has come so far.

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
from datetime import UTC, datetime

import structlog

from services.chat import prompt
from services.chat.answer_cache import AnswerCache, AnswerKey, CachedAnswer
from services.chat.answer_stream import StreamStopped, StreamWorker
from services.chat.citations import (
    CitationFilter,
    ReasoningFilter,
    is_unspaced,
    make_citation,
    match_citations,
    neutralize_marks,
    sanitize,
)
from services.chat.history_window import Turn
from services.chat.models import Backend, stream
from services.chat.models.circuit_breaker import CircuitBreakers, OpenBreakerError, Permit
from services.chat.types import (
    AnswerCost,
    AnswerEvent,
    AnswerState,
    Citation,
    KnowledgeSource,
    Message,
    MessageRole,
    Passage,
    Passages,
    Retrieved,
    Token,
)
from services.core.errors import UnavailableError
from services.core.i18n import _

log = structlog.get_logger(__name__)

MAX_ANSWER_CHARACTERS = 100_000
QUOTE_COUNT = 3
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
class RetrievalStep:
    """Retrieval is done: the event for the reader, the passages by citation number, the time it took.

    `quotes` are the citations of an answer that no model writes; `cache_key` is None if it must not be cached.
    """

    event: Retrieved
    passages: tuple[Passage, ...]
    milliseconds: float
    quotes: tuple[Citation, ...] | None = None
    model: str = ""
    cache_key: AnswerKey | None = None
    cached: bool = False


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """The tokens that the back end counted, None where it does not report them."""

    prompt_tokens: int | None
    answer_tokens: int | None


Step = RetrievalStep | Token | TokenUsage


@dataclass(frozen=True, slots=True)
class _Retrieval:
    """The passages found for a query, the time it took, and the cache key of the answer."""

    query: str
    passages: Passages
    milliseconds: float
    cache_key: AnswerKey | None


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
        question: str,
        turns: Sequence[Turn],
        collection_ids: Sequence[int],
        *,
        fresh: bool = False,
    ) -> None:
        """Put the steps of the answer to `question` into `worker`; `fresh` bypasses the cache."""
        started = time.monotonic()
        key = self.cache.key_for(question, turns, collection_ids) if self.cache else None
        if key is not None and self.cache is not None and not fresh:
            cached = self.cache.get(key)
            if cached is not None:
                self._replay(worker, cached, (time.monotonic() - started) * 1000)
                return
        query = question
        if turns and depends_on_previous(question):
            query = combined_query(turns[-1].question, question)
        passages = self.source.passages(query, collection_ids)
        elapsed = (time.monotonic() - started) * 1000
        self._log("retrieval", hits=len(passages.hits), relevant=passages.relevant, ms=round(elapsed, 1))
        retrieval = _Retrieval(query, passages, elapsed, key)
        worker.check()
        if not passages.relevant or not passages.hits:
            self._report_nothing_found(worker, retrieval)
            return
        try:
            backend = self.backend()
            worker.check()
            if backend is None:
                self._quote(worker, retrieval)
                return
            permit = self.breakers.get(backend.address).acquire()
        except OpenBreakerError as error:
            # Not cached: once the model works again, its own answer is wanted.
            self._quote(worker, replace(retrieval, cache_key=None), reason=error.message)
            return
        with permit:
            self._generate_with_model(worker, backend, permit, retrieval, question=question, turns=turns)

    def _generate_with_model(
        self,
        worker: StreamWorker[Step],
        backend: Backend,
        permit: Permit,
        retrieval: _Retrieval,
        *,
        question: str,
        turns: Sequence[Turn],
    ) -> None:
        """Stream the answer of the chat model."""
        passages = retrieval.passages
        built = prompt.build(question, passages.hits, turns, context_tokens=backend.context_tokens, count=backend.count)
        citations = tuple(make_citation(i, passage) for i, passage in enumerate(built.passages, start=1))
        self._log("model", model=backend.label)
        event = Retrieved(citations, relevant=True)
        worker.put(
            RetrievalStep(
                event, built.passages, retrieval.milliseconds, model=backend.label, cache_key=retrieval.cache_key
            )
        )
        try:
            worker.run(self._stream_model(worker, backend, built, permit))
        except StreamStopped:
            if worker.timed_out:
                permit.record_timeout()
            raise
        permit.record_success()

    async def _stream_model(
        self, worker: StreamWorker[Step], backend: Backend, built: prompt.Prompt, permit: Permit
    ) -> None:
        reasoning = ReasoningFilter()
        citations = CitationFilter(len(built.passages))
        written = 0
        usage = TokenUsage(None, None)
        async with contextlib.aclosing(stream(backend, built)) as pieces:
            async for piece in pieces:
                permit.record_progress()
                if piece.prompt_tokens is not None:
                    usage = TokenUsage(piece.prompt_tokens, piece.answer_tokens)
                text = citations.feed(reasoning.feed(sanitize(piece.text)))
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
        rest = (citations.feed(reasoning.flush()) + citations.flush()).rstrip()
        if rest:
            await worker.put_async(Token(rest))
            written += len(rest)
        if not written:
            raise UnavailableError(
                _("The chat model sent an empty answer."),
                _("Ask again; if it stays empty, check the model's name and its server's log."),
            )
        await worker.put_async(usage)

    def _replay(self, worker: StreamWorker[Step], cached: CachedAnswer, elapsed: float) -> None:
        """Emit a cached answer with its sources; `elapsed` in ms."""
        self._log("retrieval", cached=True, ms=round(elapsed, 1))
        event = Retrieved(cached.retrieved, cached.relevant)
        worker.put(RetrievalStep(event, (), elapsed, quotes=cached.citations, model=cached.model, cached=True))
        self._emit_text(worker, cached.text)

    def _quote(self, worker: StreamWorker[Step], retrieval: _Retrieval, reason: str = "") -> None:
        """Quote the sentences that answer best; `reason` is why no model answers."""
        passages = retrieval.passages
        quotes = self.source.quotes(retrieval.query, passages, QUOTE_COUNT)
        if not quotes:
            self._report_nothing_found(worker, retrieval)
            return
        order = list(dict.fromkeys(quote.hit for quote in quotes))
        chosen = tuple(passages.hits[hit] for hit in order)
        first_quotes = {quote.hit: quote.text for quote in reversed(quotes)}
        citations = tuple(
            make_citation(i, passages.hits[hit], first_quotes[hit]) for i, hit in enumerate(order, start=1)
        )
        event = Retrieved(citations, relevant=True)
        worker.put(
            RetrievalStep(event, chosen, retrieval.milliseconds, quotes=citations, cache_key=retrieval.cache_key)
        )
        lines = [
            f"“{neutralize_marks(' '.join(quote.text.split()))}” [{order.index(quote.hit) + 1}]" for quote in quotes
        ]
        hint = (
            _("These sentences are quoted, because no language model is available. {why}").format(why=reason)
            if reason
            else _("No language model is connected, so these sentences are quoted. Connect one under Settings.")
        )
        self._emit_text(worker, "\n\n".join([*lines, hint]))

    def _report_nothing_found(self, worker: StreamWorker[Step], retrieval: _Retrieval) -> None:
        event = Retrieved((), relevant=False)
        worker.put(RetrievalStep(event, (), retrieval.milliseconds, quotes=(), cache_key=retrieval.cache_key))
        self._emit_text(
            worker,
            _("Nothing relevant to this question was found in the documents.")
            + " "
            + _("Try other words, or add documents that deal with it."),
        )

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


@dataclass(frozen=True, slots=True)
class AnswerTask:
    """One question to be answered.

    `replaces` is the stored answer that the new one replaces; `fresh` bypasses the answer cache.
    """

    question: str
    user: str
    turns: tuple[Turn, ...]
    collection_ids: tuple[int, ...]
    conversation_id: str = ""
    replaces: Message | None = None
    fresh: bool = False


@dataclass(slots=True)
class AnswerDraft:
    """The answer so far; `started_at` by `time.monotonic`, `rss_bytes` of the process when it was asked."""

    started_at: float
    rss_bytes: int
    parts: list[str] = field(default_factory=list)
    retrieval: RetrievalStep | None = None
    usage: TokenUsage = field(default_factory=lambda: TokenUsage(None, None))
    first_token_ms: float | None = None

    def apply(self, step: Step) -> AnswerEvent | None:
        """Add a step of the worker; return the event that the reader gets, if any."""
        if isinstance(step, RetrievalStep):
            self.retrieval = step
            return step.event
        if isinstance(step, TokenUsage):
            self.usage = step
            return None
        if self.first_token_ms is None:
            self.first_token_ms = _milliseconds(self.started_at)
        self.parts.append(step.text)
        return step

    def message(self, task: AnswerTask, state: AnswerState, rss: int) -> Message:
        """Return the answer as a message, not stored yet; `rss` is the process's resident bytes now."""
        retrieval = self.retrieval
        text = "".join(self.parts).strip()
        return Message(
            id=0,
            conversation_id=task.conversation_id,
            role=MessageRole.ASSISTANT,
            text=text,
            created_at=datetime.now(UTC),
            state=state,
            model=retrieval.model if retrieval else "",
            citations=_citations(retrieval, text),
            cost=AnswerCost(
                first_token_ms=self.first_token_ms,
                retrieval_ms=round(retrieval.milliseconds, 1) if retrieval else None,
                total_ms=_milliseconds(self.started_at),
                prompt_tokens=self.usage.prompt_tokens,
                answer_tokens=self.usage.answer_tokens,
                rss_change_bytes=rss - self.rss_bytes,
                cached=retrieval is not None and retrieval.cached,
            ),
        )


def _citations(retrieval: RetrievalStep | None, text: str) -> tuple[Citation, ...]:
    if retrieval is None or not text:
        return ()
    return retrieval.quotes if retrieval.quotes is not None else match_citations(text, retrieval.passages)


def _milliseconds(since: float) -> float:
    return round((time.monotonic() - since) * 1000, 1)
