"""Stored conversations: list, make, rename, delete, read, and ask in one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import JSONResponse, Response

from console.api.answers import HEADERS, AnswerResponse, AnswerStream, defect_text
from console.api.context import Context
from console.api.conversation_schemas import (
    CitationOut,
    ConversationIn,
    ConversationOut,
    ConversationsOut,
    MessageOut,
    MessagesOut,
    QuestionIn,
    TitleIn,
)
from console.api.problems import STATUS, problem
from console.api.schemas import ProblemOut
from console.api.scoped import client_of
from services.chat.types import AnswerEvent, AnswerState, Finished, Message, Retrieved, Token, Waiting
from services.errors import MillpondError, UnavailableError
from services.texts import _

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/api/conversations", tags=["conversations"])

Name = Annotated[str, Path(max_length=64, description="Id of the conversation")]
_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": ProblemOut}}


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
    stream = AnswerStream(answer, context.threads.answers)
    if not body.stream:
        message: Message | None = None
        async with stream:
            while (event := await stream.next_while_connected(request)) is not None:
                message = event.message if isinstance(event, Finished) else message
        return JSONResponse(_message(_complete(message)), headers=HEADERS)
    return AnswerResponse(stream, _events(await stream.open(request), request.url.path))


async def _events(stream: AnswerStream, path: str) -> AsyncIterator[bytes]:
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
