"""OpenAI's chat protocol, so that existing clients can ask the documents.

Requests and answers of OpenAI's chat protocol, as far as Millpond speaks it.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal
from uuid import uuid4

import structlog
from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from console.api.answer_stream import HEADERS, AnswerEvents, AnswerResponse, defect_text
from console.api.context import ApiContext, Context, client_of
from console.api.problems import STATUS, openai_error
from console.api.schemas import Id
from services.chat.types import AnswerCost, AnswerEvent, AnswerState, Finished, Message, MessageRole, Token, Waiting
from services.core.errors import BadInputError, MillpondError, UnavailableError
from services.core.i18n import _

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1", tags=["chat"])
MODEL = "millpond"


class TextPart(BaseModel):
    """A piece of a message's content; pictures and sounds are not understood."""

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
    """How to stream."""

    include_usage: bool = False


class ChatIn(BaseModel):
    """A question. Sampling parameters are accepted and ignored: the chat model is set up in the console."""

    model_config = ConfigDict(extra="ignore")

    messages: list[ChatMessageIn] = Field(min_length=1, max_length=1000)
    model: str = ""
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str = Field("", max_length=200, description="Whose question it is, for the limits")
    n: int = 1
    tools: list[Any] | None = None
    collections: list[Id] = Field(default_factory=list, description="Ids of the collections to ask; empty: all")

    def conversation(self) -> list[tuple[MessageRole, str]]:
        """Return the turns, the question last. Instructions of the client are left out: the prompt is ours.

        Raises:
            BadInputError: the last message is not a question, or something is asked for that is not offered.
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


@router.get("/models/{model}", summary="Look at a model")
async def model(model: str, context: Context) -> dict[str, Any]:
    """Return the model of that name."""
    await context.threads.call(context.services.models.check_name, model)
    return await _model(context) | {"id": model}


@router.post("/chat/completions", summary="Ask the documents")
async def completions(
    body: ChatIn, request: Request, context: Context, cache_control: Annotated[str, Header(max_length=200)] = ""
) -> Response:
    """Answer the last message from the documents, streamed or whole; sources ride along as `citations`.

    `citations` is an extra field of the message, when streamed of the last delta. A question that waits for its turn
    gets chunks with an empty delta and the extra field `queue_position`. Going away ends the answer. An answer given
    before comes from a cache, and its `cost` says so, unless `Cache-Control` is `no-cache`.
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
        async with stream:
            while (event := await stream.next_while_connected(request)) is not None:
                reply.note(event)
        reply.check_complete()
        return JSONResponse(reply.whole(), headers=HEADERS)
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
        yield _sse(reply.chunk({"role": "assistant", "content": ""}))
        while (event := await stream.next()) is not None:
            reply.note(event)
            if isinstance(event, Waiting):
                yield _sse(reply.chunk({}) | {"queue_position": event.position})
            if isinstance(event, Token) and event.text:
                yield _sse(reply.chunk({"content": event.text}))
        reply.check_complete()
        yield _sse(reply.last_chunk())
        if reply.with_usage:
            yield _sse(reply.usage_chunk())
        yield b"data: [DONE]\n\n"
    except MillpondError as error:
        yield _sse({"error": openai_error(STATUS[error.kind], str(error), error.kind)})
    except Exception:
        log.exception("defect in an answer")
        yield _sse({"error": openai_error(500, defect_text(), None)})


@dataclass
class _Reply:
    """Turns the events of an answer into OpenAI's objects."""

    body: ChatIn
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))
    texts: list[str] = field(default_factory=list)
    message: Message | None = None

    @property
    def with_usage(self) -> bool:
        return bool(self.body.stream_options and self.body.stream_options.include_usage)

    def note(self, event: AnswerEvent) -> None:
        if isinstance(event, Token):
            self.texts.append(event.text)
        elif isinstance(event, Finished):
            self.message = event.message

    def check_complete(self) -> None:
        """See to it that a broken-off answer is not taken for a whole one.

        Raises:
            UnavailableError: the answer was stopped from our side.
        """
        if self.message is None or self.message.state is not AnswerState.COMPLETE:
            raise UnavailableError(
                _("The answer was broken off: somebody cancelled it, or Millpond is being stopped."), _("Ask again.")
            )

    def whole(self) -> dict[str, Any]:
        text = self.message.text if self.message else "".join(self.texts)
        message = {"role": "assistant", "content": text, "refusal": None, **self._sources()}
        return {
            **self._head("chat.completion"),
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "usage": self._usage(),
        }

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        head = self._head("chat.completion.chunk")
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]}

    def last_chunk(self) -> dict[str, Any]:
        return self.chunk(self._sources(), finish="stop")

    def usage_chunk(self) -> dict[str, Any]:
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": self._usage()}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.body.model or MODEL}

    def _sources(self) -> dict[str, Any]:
        if self.message is None:
            return {"citations": []}
        return {
            "citations": [
                {**asdict(citation), "heading": list(citation.heading), "url": f"/api/documents/{citation.document_id}"}
                for citation in self.message.citations
            ],
            "answered_by": self.message.model,
            "cost": asdict(self.message.cost),
        }

    def _usage(self) -> dict[str, int] | None:
        cost = self.message.cost if self.message else AnswerCost()
        if cost.prompt_tokens is None or cost.answer_tokens is None:
            return None
        return {
            "prompt_tokens": cost.prompt_tokens,
            "completion_tokens": cost.answer_tokens,
            "total_tokens": cost.prompt_tokens + cost.answer_tokens,
        }


def _sse(document: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n".encode()
