"""Stored conversations: list, make, rename, delete, read, and ask in one.

The bodies of requests and answers about stored conversations.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from console.api.answer_stream import HEADERS, AnswerEvents, AnswerResponse, defect_text
from console.api.context import Context
from console.api.problems import STATUS, problem
from console.api.schemas import Id, ProblemOut
from console.api.search import client_of
from services.chat.types import AnswerEvent, AnswerState, Finished, Message, MessageRole, Retrieved, Token, Waiting
from services.core.errors import MillpondError, UnavailableError
from services.core.i18n import _

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/api/conversations", tags=["conversations"])
Name = Annotated[str, Path(max_length=64, description="Id of the conversation")]
_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": ProblemOut}}


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
    role: MessageRole
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


@router.get("", summary="List conversations")
async def conversations(
    context: Context,
    query: Annotated[str, Query(max_length=1000, description="Only those that contain this")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
) -> ConversationsOut:
    """Return conversations, the newest activity first."""
    found = await context.threads.call(context.runtime.conversations.conversations, query, limit, offset)
    return ConversationsOut(conversations=[ConversationOut.model_validate(one) for one in found])


@router.post("", status_code=201, summary="Make a conversation")
async def create(context: Context, body: ConversationIn | None = None) -> ConversationOut:
    """Make an empty conversation."""
    body = body or ConversationIn.model_validate({})
    made = await context.threads.call(
        context.runtime.conversations.create, body.title, body.history_turns, body.collections
    )
    return ConversationOut.model_validate(made)


@router.get("/{conversation_id}", summary="See a conversation", responses=_MISSING)
async def conversation(conversation_id: Name, context: Context) -> ConversationOut:
    """Return a conversation's heading."""
    found = await context.threads.call(context.runtime.conversations.conversation, conversation_id)
    return ConversationOut.model_validate(found)


@router.patch("/{conversation_id}", summary="Rename a conversation", responses=_MISSING)
async def rename(conversation_id: Name, body: TitleIn, context: Context) -> ConversationOut:
    """Give a conversation another title."""
    renamed = await context.threads.call(context.runtime.conversations.rename, conversation_id, body.title)
    return ConversationOut.model_validate(renamed)


@router.delete("/{conversation_id}", status_code=204, summary="Delete a conversation", responses=_MISSING)
async def delete(conversation_id: Name, context: Context) -> Response:
    """Remove a conversation with all its messages."""
    await context.threads.call(context.runtime.conversations.delete, conversation_id)
    return Response(status_code=204)


@router.get("/{conversation_id}/messages", summary="Read the messages", responses=_MISSING)
async def messages(
    conversation_id: Name,
    context: Context,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Only those before this message")] = None,
) -> MessagesOut:
    """Return the newest messages, oldest first."""
    found = await context.threads.call(context.runtime.conversations.messages, conversation_id, limit, before)
    older = found[0].id if len(found) == limit else None
    return MessagesOut(messages=[MessageOut.model_validate(message) for message in found], before=older)


@router.post("/{conversation_id}/questions", summary="Ask in a conversation", response_model=MessageOut)
async def ask(conversation_id: Name, body: QuestionIn, request: Request, context: Context) -> Response:
    """Answer a question; question and answer are stored. Going away ends the answer, what there is of it is kept.

    Streamed, the events are `waiting` (`position`), `retrieved` (`citations`), `token` (`text`), and at the end
    `finished` (the message) or `error` (a problem document).
    """
    answer = context.runtime.answering.ask(conversation_id, body.question, user=client_of(request, body.user or ""))
    stream = AnswerEvents(answer, context.threads.answers)
    if not body.stream:
        message: Message | None = None
        async with stream:
            while (event := await stream.next_while_connected(request)) is not None:
                message = event.message if isinstance(event, Finished) else message
        return JSONResponse(_message(_complete(message)), headers=HEADERS)
    return AnswerResponse(stream, _events(await stream.open(request), request.url.path))


async def _events(stream: AnswerEvents, path: str) -> AsyncIterator[bytes]:
    message: Message | None = None
    try:
        while (event := await stream.next()) is not None:
            message = event.message if isinstance(event, Finished) else message
            yield _sse(*_described(event))
        _complete(message)
    except MillpondError as error:
        status = STATUS[error.kind]
        yield _sse("error", problem(status, error.message, error.hint, kind=error.kind, path=path))
    except Exception:
        log.exception("defect in an answer")
        yield _sse("error", problem(500, defect_text(), path=path))


def _complete(message: Message | None) -> Message:
    """See to it that a broken-off answer is not taken for a whole one."""
    if message is None or message.state is not AnswerState.COMPLETE:
        raise UnavailableError(_("The answer was stopped before its end."), _("Ask again."))
    return message


def _described(event: AnswerEvent) -> tuple[str, dict[str, Any]]:
    if isinstance(event, Waiting):
        return "waiting", {"position": event.position}
    if isinstance(event, Token):
        return "token", {"text": event.text}
    if isinstance(event, Retrieved):
        shown = [CitationOut.model_validate(citation).model_dump(mode="json") for citation in event.citations]
        return "retrieved", {"citations": shown, "relevant": event.relevant}
    return "finished", _message(event.message)


def _message(message: Message) -> dict[str, Any]:
    return MessageOut.model_validate(message).model_dump(mode="json")


def _sse(kind: str, document: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(document, ensure_ascii=False)}\n\n".encode()
