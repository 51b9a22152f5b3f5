"""OpenAI's chat protocol, as far as Millpond speaks it: existing clients can query the documents.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal
from uuid import uuid4

import structlog
from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from console.api.answer_stream import HEADERS, AnswerEvents, AnswerResponse, defect_text, server_sent
from console.api.context import ApiContext, Context, client_of
from console.api.problems import STATUS, Id, openai_error
from services.chat.types import Message, MessageRole, Token, Waiting
from services.core.errors import BadInputError, MillpondError
from services.core.i18n import _

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1", tags=["chat"])
MODEL = "millpond"


class TextPart(BaseModel):
    """A part of a message's content; only text is supported."""

    type: str
    text: str = ""


class ChatMessageIn(BaseModel):
    """One message of the conversation so far."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TextPart] | None = None

    def text(self) -> str:
        """Return the content as one text.

        Raises:
            BadInputError: there are parts that are not text.
        """
        if isinstance(self.content, list):
            if any(part.type != "text" for part in self.content):
                raise BadInputError(
                    _("A message has content that is not text."), _("Send text, or hand the file in as a document.")
                )
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(BaseModel):
    """Options of streaming."""

    include_usage: bool = False


class ChatIn(BaseModel):
    """A question. Sampling parameters are accepted and ignored: the chat model is configured in the console."""

    model_config = ConfigDict(extra="ignore")

    messages: list[ChatMessageIn] = Field(min_length=1, max_length=1000)
    model: str = ""
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str = Field("", max_length=200, description="User who asks, for the limits")
    n: int = 1
    tools: list[Any] | None = None
    collections: list[Id] = Field(default_factory=list, description="Ids of the collections to ask; empty: all")

    def conversation(self) -> list[tuple[MessageRole, str]]:
        """Return the turns, the question last. The client's instructions are left out: the prompt is ours.

        Raises:
            BadInputError: the last message is not a question, or something unsupported is requested.
        """
        if self.n != 1:
            raise BadInputError(_("There is one answer to each question."), _("Leave out `n`."))
        if self.tools:
            raise BadInputError(_("Tools are not offered."), _("Leave out `tools`."))
        roles = {"user": MessageRole.USER, "assistant": MessageRole.ASSISTANT}
        turns = [(roles[message.role], message.text()) for message in self.messages if message.role in roles]
        if not turns or turns[-1][0] is not MessageRole.USER:
            raise BadInputError(_("The last message is not a question."), _("End `messages` with one of role `user`."))
        return turns


@router.get("/models", summary="List models")
async def models(context: Context) -> dict[str, Any]:
    """Return the one model there is: the documents, asked through the chat model chosen in the console."""
    return {"object": "list", "data": [await _model(context)]}


@router.get("/models/{model}", summary="Get a model")
async def model(model: str, context: Context) -> dict[str, Any]:
    """Return the model of that name."""
    await context.threads.call(context.services.models.check_name, model)
    return await _model(context) | {"id": model}


@router.post("/chat/completions", summary="Ask the documents")
async def completions(
    body: ChatIn, request: Request, context: Context, cache_control: Annotated[str, Header(max_length=200)] = ""
) -> Response:
    """Answer the last message from the documents, streamed or whole, with the sources as `citations`.

    `citations` is an extra field of the message, when streamed of the last delta. A question that waits for its turn
    gets chunks with an empty delta and the extra field `queue_position`. A client that disconnects ends the answer.
    A repeated question is answered from a cache, as its `cost` says, unless `Cache-Control` is `no-cache`.
    """
    turns = body.conversation()
    answer = context.services.answers.complete(
        turns,
        user=client_of(request, body.user or ""),
        model=body.model or None,
        collection_ids=body.collections,
        fresh="no-cache" in cache_control,
    )
    stream = AnswerEvents(answer, context.threads.answers)
    reply = _Reply(body)
    if not body.stream:
        return JSONResponse(reply.completion(await stream.read(request)), headers=HEADERS)
    return AnswerResponse(stream, _chunks(await stream.open(request), reply))


async def _model(context: ApiContext) -> dict[str, Any]:
    status = await context.threads.call(context.services.models.status)
    return {
        "id": MODEL,
        "object": "model",
        "created": int(context.foundation.started_at),
        "owned_by": "millpond",
        "answers_through": status.label,
    }


async def _chunks(stream: AnswerEvents, reply: _Reply) -> AsyncIterator[bytes]:
    try:
        yield server_sent(reply.chunk({"role": "assistant", "content": ""}))
        while (event := await stream.next()) is not None:
            if isinstance(event, Waiting):
                yield server_sent(reply.chunk({}) | {"queue_position": event.position})
            if isinstance(event, Token) and event.text:
                yield server_sent(reply.chunk({"content": event.text}))
        message = stream.message()
        yield server_sent(reply.chunk(_sources(message), finish="stop"))
        if reply.with_usage:
            yield server_sent(reply.usage_chunk(message))
        yield b"data: [DONE]\n\n"
    except MillpondError as error:
        yield server_sent({"error": openai_error(STATUS[error.kind], str(error), error.kind)})
    except Exception:
        log.exception("defect in an answer")
        yield server_sent({"error": openai_error(500, defect_text(), None)})


@dataclass
class _Reply:
    """Builds OpenAI's objects for one request."""

    body: ChatIn
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def with_usage(self) -> bool:
        return bool(self.body.stream_options and self.body.stream_options.include_usage)

    def completion(self, message: Message) -> dict[str, Any]:
        body = {"role": "assistant", "content": message.text, "refusal": None, **_sources(message)}
        return {
            **self._head("chat.completion"),
            "choices": [{"index": 0, "message": body, "finish_reason": "stop", "logprobs": None}],
            "usage": _usage(message),
        }

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        head = self._head("chat.completion.chunk")
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]}

    def usage_chunk(self, message: Message) -> dict[str, Any]:
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": _usage(message)}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.body.model or MODEL}


def _sources(message: Message) -> dict[str, Any]:
    return {
        "citations": [
            {**asdict(citation), "heading": list(citation.heading), "url": f"/api/documents/{citation.document_id}"}
            for citation in message.citations
        ],
        "answered_by": message.model,
        "cost": asdict(message.cost),
    }


def _usage(message: Message) -> dict[str, int] | None:
    cost = message.cost
    if cost.prompt_tokens is None or cost.answer_tokens is None:
        return None
    return {
        "prompt_tokens": cost.prompt_tokens,
        "completion_tokens": cost.answer_tokens,
        "total_tokens": cost.prompt_tokens + cost.answer_tokens,
    }
