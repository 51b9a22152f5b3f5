"""The draft of an answer: the steps that its worker reports, and the message that they make so far."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.chat.answer_cache import AnswerKey
from services.chat.answer_masking import AnswerMask, masked_citations
from services.chat.citations import match_citations, strip_marks
from services.chat.history_window import Turn
from services.chat.models import TextDelta
from services.chat.options import DEFAULT_OPTIONS, AnswerOptions
from services.chat.text_limit import TextLimit
from services.chat.types import (
    AnswerCost,
    AnswerEvent,
    AnswerState,
    Citation,
    FinishReason,
    Message,
    MessageRole,
    Passage,
    Retrieved,
    Token,
    ToolCallPart,
)
from services.core.actor import Actor


@dataclass(frozen=True, slots=True)
class RetrievalStep:
    """Retrieval is done: the event for the reader, the passages by citation number, the time it took.

    `quotes` are the citations of an answer that no model writes; `cache_key` is None if it must not be cached;
    `structured`: the text will be JSON, without marks.
    """

    event: Retrieved
    passages: tuple[Passage, ...]
    milliseconds: float
    quotes: tuple[Citation, ...] | None = None
    model: str = ""
    cache_key: AnswerKey | None = None
    cached: bool = False
    structured: bool = False


@dataclass(frozen=True, slots=True)
class CorrectionStep:
    """Words of the question that no document has, each with the word that was searched for instead."""

    corrections: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ModelEnd:
    """The model has ended its answer: why, and the tokens that it counted, None where it does not report them.

    `left_out` names parameters of the request that it does not take.
    """

    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    finish: FinishReason = FinishReason.STOP
    left_out: tuple[str, ...] = ()

    def updated(self, piece: TextDelta) -> ModelEnd:
        """Return the end as it is known after another piece."""
        counted = piece.prompt_tokens is not None
        return ModelEnd(
            piece.prompt_tokens if counted else self.prompt_tokens,
            piece.answer_tokens if counted else self.answer_tokens,
            piece.finish or self.finish,
            piece.left_out or self.left_out,
        )


Step = RetrievalStep | CorrectionStep | Token | ToolCallPart | ModelEnd


@dataclass(frozen=True, slots=True)
class AnswerTask:
    """One question to be answered.

    `last_id` is the last message of the conversation when it began; `replaces` is the stored answer that the new one
    replaces; `fresh` bypasses the answer cache.
    """

    actor: Actor
    question: str
    turns: tuple[Turn, ...]
    collection_ids: tuple[int, ...]
    conversation_id: str = ""
    last_id: int = 0
    replaces: Message | None = None
    fresh: bool = False
    options: AnswerOptions = DEFAULT_OPTIONS


@dataclass(slots=True)
class AnswerDraft:
    """The answer so far; `started_at` by `time.monotonic`, `rss_bytes` of the process when it was asked."""

    started_at: float
    rss_bytes: int
    parts: list[str] = field(default_factory=list)
    retrieval: RetrievalStep | None = None
    end: ModelEnd = ModelEnd()
    corrections: tuple[tuple[str, str], ...] = ()
    first_token_ms: float | None = None
    cut: FinishReason | None = None
    limit: TextLimit | None = None
    masking: AnswerMask | None = None

    def apply(self, step: Step) -> AnswerEvent | None:
        """Add a step of the worker; return the event that the reader gets, if any."""
        if isinstance(step, RetrievalStep):
            self.retrieval = step
            return self.masking.retrieved(step.event) if self.masking is not None else step.event
        if isinstance(step, CorrectionStep):
            self.corrections = step.corrections
            return None
        if isinstance(step, ModelEnd):
            self.end = step
            return None
        if self.first_token_ms is None:
            self.first_token_ms = _milliseconds(self.started_at)
        if isinstance(step, ToolCallPart):
            return step
        return self._add(step.text)

    def flush(self) -> AnswerEvent | None:
        """Return the rest of the text at the end of the answer, if there is one."""
        wanted = self.limit is not None or self.masking is not None
        return self._add("", last=True) if wanted and self.cut is None else None

    def _add(self, text: str, *, last: bool = False) -> Token | None:
        if self.masking is not None:
            text = self.masking.feed(text, last=last)
        if self.limit is not None:
            # A model has its own count of tokens; what it writes is only cut at the words to stop at.
            counts = self.retrieval is None or not self.retrieval.model or self.retrieval.cached
            text, self.cut = self.limit.feed(text, count_tokens=counts, last=last)
        if not text:
            return None
        self.parts.append(text)
        return Token(text)

    @property
    def finish(self) -> FinishReason:
        """Why the answer ended."""
        return self.cut or self.end.finish

    def message(self, task: AnswerTask, state: AnswerState, rss: int) -> Message:
        """Return the answer as a message, not stored yet; `rss` is the process's resident bytes now."""
        retrieval = self.retrieval
        text = "".join(self.parts).strip()
        citations = _citations(retrieval, text)
        return Message(
            id=0,
            conversation_id=task.conversation_id,
            role=MessageRole.ASSISTANT,
            text=text,
            created_at=datetime.now(UTC),
            state=state,
            model=retrieval.model if retrieval else "",
            citations=citations if self.masking is None else masked_citations(citations),
            cost=AnswerCost(
                first_token_ms=self.first_token_ms,
                retrieval_ms=round(retrieval.milliseconds, 1) if retrieval else None,
                total_ms=_milliseconds(self.started_at),
                prompt_tokens=self.end.prompt_tokens,
                answer_tokens=self.end.answer_tokens,
                rss_change_bytes=rss - self.rss_bytes,
                cached=retrieval is not None and retrieval.cached,
            ),
            finish_reason=self.finish,
            corrections=self.corrections,
        )


def _citations(retrieval: RetrievalStep | None, text: str) -> tuple[Citation, ...]:
    if retrieval is None or not text:
        return ()
    if retrieval.quotes is not None:
        return retrieval.quotes
    # Numbers in brackets are data there.
    return match_citations(strip_marks(text) if retrieval.structured else text, retrieval.passages)


def _milliseconds(since: float) -> float:
    return round((time.monotonic() - since) * 1000, 1)
