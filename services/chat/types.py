"""What the chat room talks about: conversations, messages, citations, events of an answer in progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import PurePath
from typing import Protocol


class Passage(Protocol):
    """A retrieved passage, as `services.knowledge` hands it over."""

    @property
    def chunk_id(self) -> int: ...
    @property
    def document_id(self) -> int: ...
    @property
    def document(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def page(self) -> int | None: ...
    @property
    def sheet(self) -> str: ...
    @property
    def heading(self) -> tuple[str, ...]: ...


class Quotation(Protocol):
    """A sentence copied from the passage at position `hit`."""

    @property
    def hit(self) -> int: ...
    @property
    def text(self) -> str: ...


class Passages(Protocol):
    """What retrieval found for a question."""

    @property
    def hits(self) -> Sequence[Passage]: ...
    @property
    def relevant(self) -> bool: ...


class KnowledgeSource(Protocol):
    """The small interface through which chat asks for passages; `runtime` connects it."""

    def passages(self, question: str, collection_ids: Sequence[int]) -> Passages:
        """Return the best passages for `question` with the settings applied to chat; no ids: all collections."""

    def quotes(self, question: str, passages: Passages, limit: int) -> Sequence[Quotation]:
        """Return at most `limit` sentences that answer best, in reading order of importance."""


class MessageRole(StrEnum):
    """Who said it."""

    USER = "user"
    ASSISTANT = "assistant"


class AnswerState(StrEnum):
    """How an answer ended."""

    COMPLETE = "complete"
    STOPPED = "stopped"
    FAILED = "failed"


class BackendKind(StrEnum):
    """The ways to get a chat model."""

    NONE = "none"
    OPENAI = "openai"
    OLLAMA = "ollama"
    GGUF = "gguf"


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """Which chat model answers. `url`, `model`, `api_key` and `path` as the kind needs them."""

    kind: BackendKind = BackendKind.NONE
    url: str = ""
    model: str = ""
    api_key: str = field(default="", repr=False)
    path: str = ""

    @property
    def name(self) -> str:
        """What it is called, for those who may not see its address."""
        return self.model or PurePath(self.path).stem or self.kind.value


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """Whether a chat model answers. `state`: "ready", "loading", "down" or "off" (none chosen).

    `breaker` is "closed", "half_open" or "open": a model that kept failing is left alone for `retry_seconds`.
    """

    kind: BackendKind
    label: str
    state: str
    message: str = ""
    hint: str = ""
    breaker: str = "closed"
    retry_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Citation:
    """A numbered source of an answer; the passage itself is looked up when it is opened.

    `quote` holds the cited words, for highlighting and to find the place again after a document was chunked anew.
    `cited` is false for a passage that the model was given and did not cite.
    """

    number: int
    chunk_id: int
    document_id: int
    document: str
    page: int | None = None
    sheet: str = ""
    heading: tuple[str, ...] = ()
    quote: str = ""
    score: float = 0.0
    cited: bool = True


@dataclass(frozen=True, slots=True)
class AnswerCost:
    """What an answer took. Times in ms, `rss_change_bytes` signed; None where it is not known. `cached`: it was given
    before and came from the cache."""

    first_token_ms: float | None = None
    retrieval_ms: float | None = None
    total_ms: float | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    rss_change_bytes: int | None = None
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One stored message; `feedback` is -1, 0 or 1."""

    id: int
    conversation_id: str
    role: MessageRole
    text: str
    created_at: datetime
    state: AnswerState = AnswerState.COMPLETE
    model: str = ""
    citations: tuple[Citation, ...] = ()
    cost: AnswerCost = AnswerCost()
    feedback: int = 0
    error: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation's heading; `collection_ids` empty means all. `history_turns` is its window k."""

    id: str
    title: str
    created_at: datetime
    updated_at: datetime
    messages: int
    history_turns: int
    collection_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """The question waits for a slot; `position` counts from 1."""

    position: int


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The passages were found; the text that follows cites them by number."""

    citations: tuple[Citation, ...]
    relevant: bool


@dataclass(frozen=True, slots=True)
class Token:
    """The next piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer as it was stored (or would have been, for an answer outside a conversation)."""

    message: Message


AnswerEvent = Waiting | Retrieved | Token | Finished
