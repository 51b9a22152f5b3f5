"""One question on its way, and what is known of its answer so far."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.chat.answer_generator import Found, Step, Usage
from services.chat.citations import cited
from services.chat.history_window import Turn
from services.chat.types import AnswerCost, AnswerEvent, AnswerState, Citation, Message, MessageRole


@dataclass(frozen=True, slots=True)
class Task:
    """One question to be answered. `replaces`: the answer that the new one takes the place of; `fresh`: one
    that was given before will not do."""

    question: str
    user: str
    turns: tuple[Turn, ...]
    collection_ids: tuple[int, ...]
    conversation_id: str = ""
    replaces: Message | None = None
    fresh: bool = False


@dataclass(slots=True)
class AnswerDraft:
    """An answer on its reader's side: `began` in seconds of `time.monotonic`, `rss` in bytes when it was asked."""

    began: float
    rss: int
    parts: list[str] = field(default_factory=list)
    found: Found | None = None
    usage: Usage = field(default_factory=lambda: Usage(None, None))
    first_token_ms: float | None = None

    def take(self, step: Step) -> AnswerEvent | None:
        """Note a step; return what the reader is told."""
        if isinstance(step, Found):
            self.found = step
            return step.event
        if isinstance(step, Usage):
            self.usage = step
            return None
        if self.first_token_ms is None:
            self.first_token_ms = _milliseconds(self.began)
        self.parts.append(step.text)
        return step

    def message(self, task: Task, state: AnswerState, rss: int) -> Message:
        """Return the answer as it would be stored now."""
        found = self.found
        text = "".join(self.parts).strip()
        return Message(
            id=0,
            conversation_id=task.conversation_id,
            role=MessageRole.ASSISTANT,
            text=text,
            created_at=datetime.now(UTC),
            state=state,
            model=found.model if found else "",
            citations=_citations(found, text),
            cost=AnswerCost(
                first_token_ms=self.first_token_ms,
                retrieval_ms=round(found.milliseconds, 1) if found else None,
                total_ms=_milliseconds(self.began),
                prompt_tokens=self.usage.prompt_tokens,
                answer_tokens=self.usage.answer_tokens,
                rss_change_bytes=rss - self.rss,
                cached=found is not None and found.cached,
            ),
        )


def _citations(found: Found | None, text: str) -> tuple[Citation, ...]:
    if found is None or not text:
        return ()
    return found.quotes if found.quotes is not None else cited(text, found.passages)


def _milliseconds(since: float) -> float:
    return round((time.monotonic() - since) * 1000, 1)
