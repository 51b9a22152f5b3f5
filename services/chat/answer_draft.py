"""A question to be answered, and its answer as far as it has come."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.chat.answer_generator import RetrievalStep, Step, TokenUsage
from services.chat.citations import match_citations
from services.chat.history_window import Turn
from services.chat.types import AnswerCost, AnswerEvent, AnswerState, Citation, Message, MessageRole


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
