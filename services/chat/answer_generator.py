"""How one answer comes about: passages, then the model's words or quoted sentences. Runs in the answer's thread.

Follow-up questions: what to search for when a question leans on the one before it.

A question that names its subject is searched as it is. One that has little more than a pronoun ("and when did they
open it?", "它多少钱？") is searched together with the question before it. Nothing else is: a question about something
new that the documents do not answer must not be answered with passages on the old subject.
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
from services.chat.answer_stream import StreamStopped, StreamWorker
from services.chat.citations import CitationFilter, ReasoningFilter, citation_of, is_unspaced, storable, unmarked
from services.chat.history_window import Turn
from services.chat.models import Backend, stream
from services.chat.models.circuit_breaker import CircuitBreakers, OpenBreakerError, Permit
from services.chat.types import Citation, KnowledgeSource, Passage, Passages, Retrieved, Token
from services.core.errors import UnavailableError
from services.core.i18n import _

log = structlog.get_logger(__name__)

MOST_CHARACTERS = 100_000
QUOTES = 3
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
MOST_CONTENT_WORDS = 2
MOST_UNSPACED_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Found:
    """Retrieval is done: what the reader is told, the passages by citation number, how long it took."""

    event: Retrieved
    passages: tuple[Passage, ...]
    milliseconds: float
    quotes: tuple[Citation, ...] | None = None
    model: str = ""
    place: AnswerKey | None = None
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """What the back end counted."""

    prompt_tokens: int | None
    answer_tokens: int | None


Step = Found | Token | Usage


@dataclass(frozen=True, slots=True)
class _Searched:
    """What was found for which query, in how long, and where the cache would keep the answer."""

    query: str
    passages: Passages
    milliseconds: float
    place: AnswerKey | None


@dataclass(frozen=True, slots=True)
class AnswerGenerator:
    """Writes answers from one knowledge source; `rss` returns the process's resident bytes, for the log."""

    source: KnowledgeSource
    backend: Callable[[], Backend | None]
    rss: Callable[[], int]
    cache: AnswerCache | None = None
    breakers: CircuitBreakers = field(default_factory=CircuitBreakers)

    def write(
        self,
        worker: StreamWorker[Step],
        question: str,
        turns: Sequence[Turn],
        collection_ids: Sequence[int],
        *,
        fresh: bool = False,
    ) -> None:
        """Produce the steps of the answer to `question`; `fresh`: not one that was given before."""
        began = time.monotonic()
        place = self.cache.place(question, turns, collection_ids) if self.cache else None
        if place is not None and self.cache is not None and not fresh:
            remembered = self.cache.get(place)
            if remembered is not None:
                self._repeat(worker, remembered, (time.monotonic() - began) * 1000)
                return
        query = question
        if turns and leans(question):
            query = joined(turns[-1].question, question)
        passages = self.source.passages(query, collection_ids)
        elapsed = (time.monotonic() - began) * 1000
        self._log("retrieval", hits=len(passages.hits), relevant=passages.relevant, ms=round(elapsed, 1))
        searched = _Searched(query, passages, elapsed, place)
        worker.check()
        if not passages.relevant or not passages.hits:
            self._say_nothing_found(worker, searched)
            return
        try:
            backend = self.backend()
            worker.check()
            if backend is None:
                self._quote(worker, searched)
                return
            permit = self.breakers.of(backend.address).enter()
        except OpenBreakerError as error:
            # Not remembered: the model's own answer is wanted as soon as it is there again.
            self._quote(worker, replace(searched, place=None), because=error.message)
            return
        with permit:
            self._ask(worker, backend, permit, searched, question=question, turns=turns)

    def _ask(
        self,
        worker: StreamWorker[Step],
        backend: Backend,
        permit: Permit,
        searched: _Searched,
        *,
        question: str,
        turns: Sequence[Turn],
    ) -> None:
        """Have the model write the answer."""
        passages = searched.passages
        built = prompt.build(question, passages.hits, turns, context_tokens=backend.context_tokens, count=backend.count)
        citations = tuple(citation_of(i, passage) for i, passage in enumerate(built.passages, start=1))
        self._log("model", model=backend.label)
        found = Retrieved(citations, relevant=True)
        worker.put(Found(found, built.passages, searched.milliseconds, model=backend.label, place=searched.place))
        try:
            worker.run(self._generate(worker, backend, built, permit))
        except StreamStopped:
            if worker.timed_out:
                permit.timed_out()
            raise
        permit.worked()

    async def _generate(
        self, worker: StreamWorker[Step], backend: Backend, built: prompt.Prompt, permit: Permit
    ) -> None:
        thinking = ReasoningFilter()
        marks = CitationFilter(len(built.passages))
        written = 0
        usage = Usage(None, None)
        async with contextlib.aclosing(stream(backend, built)) as pieces:
            async for piece in pieces:
                permit.heard()
                if piece.prompt_tokens is not None:
                    usage = Usage(piece.prompt_tokens, piece.answer_tokens)
                text = marks.feed(thinking.feed(storable(piece.text)))
                if text.strip() or (text and written):
                    if not written:
                        self._log("first token", model=backend.label)
                    await worker.put_later(Token(text if written else text.lstrip()))
                    written += len(text)
                if written > MOST_CHARACTERS:
                    raise UnavailableError(
                        _("The chat model did not stop writing; the answer was ended."),
                        _("Ask again or choose another."),
                    )
        rest = (marks.feed(thinking.flush()) + marks.flush()).rstrip()
        if rest:
            await worker.put_later(Token(rest))
            written += len(rest)
        if not written:
            raise UnavailableError(
                _("The chat model sent an empty answer."),
                _("Ask again; if it stays empty, check the model's name and its server's log."),
            )
        await worker.put_later(usage)

    def _repeat(self, worker: StreamWorker[Step], remembered: CachedAnswer, elapsed: float) -> None:
        """Give an answer that was given before, with its sources."""
        self._log("retrieval", cached=True, ms=round(elapsed, 1))
        found = Retrieved(remembered.retrieved, remembered.relevant)
        worker.put(Found(found, (), elapsed, quotes=remembered.citations, model=remembered.model, cached=True))
        self._say(worker, remembered.text)

    def _quote(self, worker: StreamWorker[Step], searched: _Searched, because: str = "") -> None:
        """Quote the sentences that answer best; `because` says why no model writes."""
        passages = searched.passages
        quotes = self.source.quotes(searched.query, passages, QUOTES)
        if not quotes:
            self._say_nothing_found(worker, searched)
            return
        order = list(dict.fromkeys(quote.hit for quote in quotes))
        chosen = tuple(passages.hits[hit] for hit in order)
        first_quotes = {quote.hit: quote.text for quote in reversed(quotes)}
        citations = tuple(citation_of(i, passages.hits[hit], first_quotes[hit]) for i, hit in enumerate(order, start=1))
        event = Retrieved(citations, relevant=True)
        worker.put(Found(event, chosen, searched.milliseconds, quotes=citations, place=searched.place))
        lines = [f"“{unmarked(' '.join(quote.text.split()))}” [{order.index(quote.hit) + 1}]" for quote in quotes]
        hint = (
            _("These sentences are quoted, because no language model is at hand. {why}").format(why=because)
            if because
            else _("No language model is connected, so these sentences are quoted. Connect one under Settings.")
        )
        self._say(worker, "\n\n".join([*lines, hint]))

    def _say_nothing_found(self, worker: StreamWorker[Step], searched: _Searched) -> None:
        event = Retrieved((), relevant=False)
        worker.put(Found(event, (), searched.milliseconds, quotes=(), place=searched.place))
        self._say(
            worker,
            _("Nothing relevant to this question was found in the documents.")
            + " "
            + _("Try other words, or add documents that deal with it."),
        )

    def _say(self, worker: StreamWorker[Step], text: str) -> None:
        self._log("first token")
        # By lines: the text is there as a whole, and every piece costs its reader a change of threads.
        for piece in storable(text).splitlines(keepends=True):
            worker.put(Token(piece))

    def _log(self, stage: str, **fields: object) -> None:
        log.info("answer", stage=stage, rss_bytes=self.rss(), **fields)


def leans(question: str) -> bool:
    """Return whether `question` can hardly be searched without the one before it."""
    text = question.strip().lower()
    if any(is_unspaced(c) for c in text):
        return len(text) <= MOST_UNSPACED_CHARACTERS and _UNSPACED_POINTERS.search(text) is not None
    words = _WORD.findall(text)
    content = [word for word in words if word not in _FUNCTION_WORDS]
    points = any(word in _POINTERS for word in words) or text.startswith(_STARTS)
    return not content or (points and len(content) <= MOST_CONTENT_WORDS)


def joined(previous: str, question: str) -> str:
    """Return the query for a question that leans on `previous`."""
    return f"{previous.strip()} {question.strip()}"
