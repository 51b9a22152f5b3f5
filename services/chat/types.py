"""Domain types of chat: conversations, messages, citations, the events of an answer in progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import PurePath
from typing import Protocol

from services.core.actor import Actor


class Passage(Protocol):
    """A retrieved passage, as `services.knowledge` returns it."""

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
    """Words copied from the passage at position `hit`.

    `text` locates them; `shown` is how they are quoted, "" for as they are; `label` is the title that they need above
    them; `also` are positions of further passages with the same words.
    """

    @property
    def hit(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def shown(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def also(self) -> Sequence[int]: ...


class Quotations(Protocol):
    """What is quoted for a question; hits without quotes are places that come close.

    `kind` is "open", "summary", "listing", "comparison", "decision" or "calculation". `document` is the one that was
    summarised or listed from; `entries` counts those of a list, which is not `complete` where more were found.
    """

    @property
    def kind(self) -> str: ...
    @property
    def hits(self) -> Sequence[Passage]: ...
    @property
    def quotes(self) -> Sequence[Quotation]: ...
    @property
    def document(self) -> str: ...
    @property
    def entries(self) -> int: ...
    @property
    def complete(self) -> bool: ...


class CorrectedWord(Protocol):
    """A word of a question that no document has, and the word that was searched for instead."""

    @property
    def typed(self) -> str: ...
    @property
    def read(self) -> str: ...


class Passages(Protocol):
    """The result of retrieval for a question."""

    @property
    def hits(self) -> Sequence[Passage]: ...
    @property
    def relevant(self) -> bool: ...
    @property
    def corrections(self) -> Sequence[CorrectedWord]: ...


class KnowledgeSource(Protocol):
    """The interface through which chat retrieves passages; `services.app` implements it."""

    def passages(self, actor: Actor, question: str, collection_ids: Sequence[int]) -> Passages:
        """Return the best passages for `question` by the retrieval settings of chat, of what `actor` may read; no ids:
        all collections.
        """

    def quotes(self, actor: Actor, question: str, passages: Passages, limit: int) -> Quotations:
        """Return what answers best, the best first, at most `limit` quotes where it is neither a list nor a summary."""


class MessageRole(StrEnum):
    """The author of a message."""

    USER = "user"
    ASSISTANT = "assistant"


class AnswerState(StrEnum):
    """How an answer ended."""

    COMPLETE = "complete"
    STOPPED = "stopped"
    FAILED = "failed"


class FinishReason(StrEnum):
    """Why an answer ended, in the words of OpenAI's protocol; `length` and `content_filter`: it is not whole."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    TOOL_CALLS = "tool_calls"


class FeedbackReason(StrEnum):
    """What is wrong with an answer, as the person says who marked it down."""

    WRONG = "wrong"
    NOT_IN_DOCUMENTS = "not_in_documents"
    WRONG_SOURCE = "wrong_source"
    INCOMPLETE = "incomplete"
    OTHER = "other"


class BackendKind(StrEnum):
    """The kinds of chat back ends."""

    NONE = "none"
    OPENAI = "openai"
    OLLAMA = "ollama"
    GGUF = "gguf"


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """The chosen chat model; each kind uses some of `url`, `model`, `api_key` and `path`."""

    kind: BackendKind = BackendKind.NONE
    url: str = ""
    model: str = ""
    api_key: str = field(default="", repr=False)
    path: str = ""

    @property
    def name(self) -> str:
        """Its name without the address, which not everybody may see."""
        return self.model or PurePath(self.path).stem or self.kind.value


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """Whether a chat model answers. `state`: "ready", "unlisted" (the server does not list it; it is asked anyway),
    "loading", "down" or "off" (none chosen).

    `takes` and `refuses` say which parts of the protocol the server was found to understand or not, by their names.
    `breaker` is "closed", "half_open" or "open": after repeated failures no requests are sent for `retry_seconds`.
    """

    kind: BackendKind
    label: str
    state: str
    message: str = ""
    hint: str = ""
    breaker: str = "closed"
    retry_seconds: float = 0.0
    takes: tuple[str, ...] = ()
    refuses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Citation:
    """A numbered source of an answer; the passage itself is read when the citation is opened.

    `quote` holds the cited words, for highlighting and to locate them after the document was rechunked. `cited` is
    false for a passage that the model was given and did not cite. `deleted`: the document was deleted since.
    `withheld`: whoever asks may not read it, at present; then nothing of it is here, neither its name nor its words.
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
    deleted: bool = False
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class AnswerCost:
    """The cost of an answer: times in ms, signed change of RSS in bytes; None where unknown.

    `cached`: it came from the answer cache.
    """

    first_token_ms: float | None = None
    retrieval_ms: float | None = None
    total_ms: float | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    rss_change_bytes: int | None = None
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One stored message; `feedback` is -1, 0 or 1. Of -1 it may be known why: a reason, and a line by the person.

    `corrections` are words of the question that no document has, each with the word that was searched for instead.
    """

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
    finish_reason: FinishReason = FinishReason.STOP
    corrections: tuple[tuple[str, str], ...] = ()
    feedback_reason: FeedbackReason | None = None
    feedback_text: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation without its messages, of which `messages` is the count.

    Empty `collection_ids` mean all; `history_turns` is the length k of its history window.
    """

    id: str
    title: str
    created_at: datetime
    updated_at: datetime
    messages: int
    history_turns: int
    collection_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundConversation(Conversation):
    """A conversation as a list has it. `excerpt` is where the newest message with the words that were searched for has
    them; "" where only the title has them, or nothing was searched for.
    """

    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The question waits for a slot; `position` in the queue counts from 1."""

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
class ToolCallPart:
    """A piece of a call of one of the client's tools; pieces of one `index` belong together, `arguments` is JSON."""

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer as it was stored (outside a conversation: as it would have been).

    `left_out` names the parameters of the request that the chat model does not take.
    """

    message: Message
    left_out: tuple[str, ...] = ()


AnswerEvent = Waiting | Retrieved | Token | ToolCallPart | Finished
