"""The bodies of requests and answers about stored conversations."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from console.api.schemas import Id
from services.chat.types import AnswerState, Role


class _Out(BaseModel):
    """Built from the frozen values of the services."""

    model_config = ConfigDict(from_attributes=True)


class ConversationIn(BaseModel):
    """A conversation that is to be made; without a title it is named after its first question."""

    title: str = Field("", max_length=1000)
    history_turns: int | None = Field(None, description="Turns that the chat model sees; null: as the settings say")
    collections: list[Id] = Field(default_factory=list, description="Ids of the collections to ask; empty: all")


class TitleIn(BaseModel):
    """Another title."""

    title: str = Field(max_length=1000)


class ConversationOut(_Out):
    """A conversation's heading; `collection_ids` empty means all."""

    id: str
    title: str
    created_at: datetime
    updated_at: datetime
    messages: int
    history_turns: int
    collection_ids: list[int]


class ConversationsOut(BaseModel):
    """One page of the list, the newest activity first."""

    conversations: list[ConversationOut]


class CitationOut(_Out):
    """A numbered source; `quote` holds the cited words."""

    number: int
    chunk_id: int
    document_id: int
    document: str
    page: int | None
    sheet: str
    heading: list[str]
    quote: str
    score: float
    cited: bool


class CostOut(_Out):
    """What an answer took: times in ms, `rss_change_bytes` signed; null where it is not known."""

    first_token_ms: float | None
    retrieval_ms: float | None
    total_ms: float | None
    prompt_tokens: int | None
    answer_tokens: int | None
    rss_change_bytes: int | None
    cached: bool


class MessageOut(_Out):
    """A stored question or answer; `model` is who wrote it, `error` and `hint` tell why there is none."""

    id: int
    conversation_id: str
    role: Role
    text: str
    created_at: datetime
    state: AnswerState
    model: str
    citations: list[CitationOut]
    cost: CostOut
    feedback: int
    error: str
    hint: str


class MessagesOut(BaseModel):
    """A window of messages, oldest first; `before` asks for the window before these, null at the beginning."""

    messages: list[MessageOut]
    before: int | None


class QuestionIn(BaseModel):
    """A question to a conversation."""

    question: str
    stream: bool = Field(True, description="Server-sent events as the answer is written; false: the answer when done")
    user: str = Field("", max_length=200, description="Whose question it is, for the limits")
