"""Stored conversations over HTTP: list, create, rename, delete, read, and ask in one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field, TypeAdapter
from starlette.responses import JSONResponse, Response

from console.api.answer_stream import HEADERS, AnswerEvents, AnswerResponse, defect_text, server_sent
from console.api.context import Caller, Context, client_of
from console.api.inputs import MAX_FILTER, MAX_ID, VISIBLE, WORDS, Id, JsonBody
from console.api.permissions import needs
from console.api.problems import STATUS, other_forms, problem, problem_responses
from console.api.translated import TranslatedRoute
from services.chat.conversations import FEEDBACK_CHARACTERS, MAX_HISTORY_TURNS
from services.chat.types import (
    AnswerEvent,
    Citation,
    Conversation,
    FeedbackReason,
    FoundConversation,
    Message,
    Retrieved,
    Token,
    ToolCallPart,
    Waiting,
)
from services.core.actor import Permission
from services.core.errors import MillpondError

log = structlog.get_logger(__name__)

router = APIRouter(route_class=TranslatedRoute, prefix="/api/conversations", tags=["conversations"])
Name = Annotated[str, Path(max_length=64, description="Id of the conversation")]
_MISSING = problem_responses(404)
_CITATIONS = TypeAdapter(tuple[Citation, ...])
_MESSAGE = TypeAdapter(Message)


class ConversationIn(JsonBody):
    """A conversation to create; without a title it is named after its first question."""

    title: str = Field("", max_length=1000)
    history_turns: int | None = Field(
        None, ge=0, le=MAX_HISTORY_TURNS, description="Turns that the chat model sees; null: as the settings say"
    )
    collections: list[Id] = Field(default_factory=list, description="Ids of the collections to ask; empty: all")


class TitleIn(JsonBody):
    """A new title."""

    title: str = Field(max_length=1000, json_schema_extra=VISIBLE)


class FeedbackIn(JsonBody):
    """A person's word about an answer; `reason` and `text` are kept of -1 alone."""

    value: int = Field(ge=-1, le=1, description="1: good, -1: bad, 0: none")
    reason: FeedbackReason | None = Field(None, strict=False, description="What is wrong with it")
    text: str = Field("", max_length=FEEDBACK_CHARACTERS, description="A line about it, in the person's own words")


class ConversationsOut(BaseModel):
    """One page of the list, the newest activity first."""

    conversations: list[FoundConversation]


class MessagesOut(BaseModel):
    """A window of messages, oldest first; `before` asks for the window before these, null at the beginning."""

    messages: list[Message]
    before: int | None


class QuestionIn(JsonBody):
    """A question to a conversation."""

    question: str = Field(json_schema_extra=WORDS)
    stream: bool = Field(True, description="Server-sent events as the answer is written; false: the answer when done")
    user: str = Field("", max_length=200, description="User who asks, for the limits")


@router.get("", dependencies=needs(Permission.ASK), summary="List conversations")
async def conversations(
    context: Context,
    actor: Caller,
    query: Annotated[str, Query(max_length=MAX_FILTER, description="Only those that contain this")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=MAX_ID)] = 0,
) -> ConversationsOut:
    """Return conversations, the newest activity first; with a `query` each has an excerpt of where it was found."""
    found = await context.threads.call(context.services.conversations.found_conversations, actor, query, limit, offset)
    return ConversationsOut(conversations=found)


@router.post("", dependencies=needs(Permission.ASK), status_code=201, summary="Create a conversation")
async def create(context: Context, actor: Caller, body: ConversationIn | None = None) -> Conversation:
    """Create an empty conversation."""
    body = body or ConversationIn.model_validate({})
    return await context.threads.call(
        context.services.conversations.create, actor, body.title, body.history_turns, body.collections
    )


@router.get("/{conversation_id}", dependencies=needs(Permission.ASK), summary="See a conversation", responses=_MISSING)
async def conversation(conversation_id: Name, context: Context, actor: Caller) -> Conversation:
    """Return a conversation's heading."""
    return await context.threads.call(context.services.conversations.conversation, actor, conversation_id)


@router.patch(
    "/{conversation_id}", dependencies=needs(Permission.ASK), summary="Rename a conversation", responses=_MISSING
)
async def rename(conversation_id: Name, body: TitleIn, context: Context, actor: Caller) -> Conversation:
    """Change a conversation's title."""
    return await context.threads.call(context.services.conversations.rename, actor, conversation_id, body.title)


@router.delete(
    "/{conversation_id}",
    dependencies=needs(Permission.ASK),
    status_code=204,
    summary="Delete a conversation",
    responses=_MISSING,
)
async def delete(conversation_id: Name, context: Context, actor: Caller) -> Response:
    """Remove a conversation with all its messages."""
    await context.threads.call(context.services.conversations.delete, actor, conversation_id)
    return Response(status_code=204)


@router.get(
    "/{conversation_id}/messages", dependencies=needs(Permission.ASK), summary="Read the messages", responses=_MISSING
)
async def messages(
    conversation_id: Name,
    context: Context,
    actor: Caller,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only those before this message")] = None,
) -> MessagesOut:
    """Return the newest messages, oldest first."""
    found = await context.threads.call(context.services.conversations.messages, actor, conversation_id, limit, before)
    older = found[0].id if len(found) == limit else None
    return MessagesOut(messages=found, before=older)


@router.put(
    "/{conversation_id}/messages/{message_id}/feedback",
    dependencies=needs(Permission.ASK),
    status_code=204,
    summary="Say whether an answer is good",
    responses=_MISSING,
)
async def feedback(
    conversation_id: Name,
    message_id: Annotated[int, Path(ge=1, le=MAX_ID, description="Id of the answer")],
    body: FeedbackIn,
    context: Context,
    actor: Caller,
) -> Response:
    """Keep a thumb with an answer, and why it points down. It goes when the conversation is deleted."""
    await context.threads.call(
        context.services.conversations.feedback,
        actor,
        message_id,
        body.value,
        body.reason,
        body.text,
        conversation_id,
    )
    return Response(status_code=204)


@router.post(
    "/{conversation_id}/questions",
    dependencies=needs(Permission.ASK),
    summary="Ask in a conversation",
    response_model=Message,
    responses=other_forms("text/event-stream"),
)
async def ask(conversation_id: Name, body: QuestionIn, request: Request, context: Context, actor: Caller) -> Response:
    """Answer a question and store both. A client that disconnects ends the answer; the text so far is kept.

    Streamed, the events are `waiting` (`position`), `retrieved` (`citations`; once more when the chat model cannot be
    reached and the documents are quoted), `token` (`text`), and at the end `finished` (the message) or `error` (a
    problem document).
    """
    answer = context.services.answers.ask(
        actor, conversation_id, body.question, user=client_of(request, body.user or "")
    )
    stream = AnswerEvents(answer, context.threads.answers)
    if not body.stream:
        message = await stream.read(request)
        return JSONResponse(_MESSAGE.dump_python(message, mode="json"), headers=HEADERS)
    return AnswerResponse(stream, _events(await stream.open(request), request.url.path))


async def _events(stream: AnswerEvents, path: str) -> AsyncIterator[bytes]:
    try:
        while (event := await stream.next()) is not None:
            name, document = _serialize(event)
            yield server_sent(document, name)
        stream.message()
    except MillpondError as error:
        failure = problem(STATUS[error.kind], error.message, error.hint, kind=error.kind, path=path)
        yield server_sent(failure, "error")
    except Exception:
        log.exception("defect in an answer")
        yield server_sent(problem(500, defect_text(), path=path), "error")


def _serialize(event: AnswerEvent) -> tuple[str, dict[str, Any]]:
    if isinstance(event, Waiting):
        return "waiting", {"position": event.position}
    if isinstance(event, Token):
        return "token", {"text": event.text}
    if isinstance(event, Retrieved):
        citations = _CITATIONS.dump_python(event.citations, mode="json")
        return "retrieved", {"citations": citations, "relevant": event.relevant}
    if isinstance(event, ToolCallPart):  # a conversation has no tools
        return "tool_call", asdict(event)
    return "finished", _MESSAGE.dump_python(event.message, mode="json")
