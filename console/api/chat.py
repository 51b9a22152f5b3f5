"""OpenAI's chat protocol, as far as Millpond speaks it: existing clients can query the documents.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any
from uuid import uuid4

import structlog
from fastapi import APIRouter, Header, Request
from starlette.responses import JSONResponse, Response

from console.api.answer_stream import HEADERS, AnswerEvents, AnswerResponse, defect_text, server_sent
from console.api.chat_request import ChatIn
from console.api.context import ApiContext, Caller, Context, client_of
from console.api.inputs import PathName
from console.api.permissions import needs
from console.api.problems import STATUS, error_response, openai_error, other_forms, problem_responses
from console.api.translated import TranslatedRoute
from services.chat.types import Message, Token, ToolCallPart, Waiting
from services.core.actor import Permission
from services.core.errors import MillpondError

log = structlog.get_logger(__name__)

router = APIRouter(route_class=TranslatedRoute, prefix="/v1", tags=["chat"])
MODEL = "millpond"


@router.get("/models", dependencies=needs(Permission.ASK), summary="List models")
async def models(context: Context) -> dict[str, Any]:
    """Return the one model there is: the documents, asked through the chat model chosen in the console."""
    return {"object": "list", "data": [await _model(context)]}


@router.get("/models/{model}", dependencies=needs(Permission.ASK), summary="Get a model")
async def model(model: PathName, context: Context) -> dict[str, Any]:
    """Return the model of that name."""
    await context.threads.call(context.services.models.check_name, model)
    return await _model(context) | {"id": model}


@router.post(
    "/chat/completions",
    dependencies=needs(Permission.ASK),
    summary="Ask the documents",
    responses=problem_responses(400, 429, 503) | other_forms("text/event-stream"),
)
async def completions(
    body: ChatIn,
    request: Request,
    context: Context,
    actor: Caller,
    cache_control: Annotated[str, Header(max_length=200)] = "",
) -> Response:
    """Answer the last message from the documents, streamed or whole, with the sources as `citations`.

    `citations` is an extra field of the message, when streamed of the last delta; so is `left_out`, the parameters
    that had no effect. Instructions, tools, the form and the length of the answer go to the connected chat model;
    what it cannot do is refused with status 400 and the parameter's name. An answer that breaks off ends with an
    `error`, and `text` holds what had come. A question that waits for its turn
    gets chunks with an empty delta and the extra field `queue_position`. A client that disconnects ends the answer.
    A repeated question is answered from a cache, as its `cost` says, unless `Cache-Control` is `no-cache`.
    """
    turns, options = body.conversation(), body.options()
    answer = context.services.answers.complete(
        actor,
        turns,
        user=client_of(request, body.user or ""),
        model=body.model or None,
        collection_ids=body.collections,
        fresh="no-cache" in cache_control,
        options=options,
    )
    stream = AnswerEvents(answer, context.threads.answers)
    reply = _Reply(body, context)
    if body.stream:
        return AnswerResponse(stream, _chunks(await stream.open(request), reply))
    try:
        message = await stream.read(request)
    except MillpondError as error:
        if not stream.text:
            raise
        return error_response(error, request.url.path, text=stream.text)  # what had come is kept
    return JSONResponse(await reply.completion(message, stream), headers=HEADERS)


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
            if isinstance(event, ToolCallPart):
                yield server_sent(reply.chunk({"tool_calls": [_call_part(event)]}))
        message = stream.message()
        yield server_sent(reply.chunk(reply.sources(message, stream), finish=message.finish_reason.value))
        if reply.with_usage:
            yield server_sent(await reply.usage_chunk(message, stream))
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
    context: ApiContext
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def with_usage(self) -> bool:
        return bool(self.body.stream_options and self.body.stream_options.include_usage)

    async def completion(self, message: Message, stream: AnswerEvents) -> dict[str, Any]:
        calls = _calls(stream.calls)
        content = message.text or (None if calls else "")
        body = {"role": "assistant", "content": content, "refusal": None, **self.sources(message, stream)}
        if calls:
            body["tool_calls"] = calls
        finish = message.finish_reason.value
        return {
            **self._head("chat.completion"),
            "choices": [{"index": 0, "message": body, "finish_reason": finish, "logprobs": None}],
            "usage": await self._usage(message, stream),
        }

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        head = self._head("chat.completion.chunk")
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]}

    async def usage_chunk(self, message: Message, stream: AnswerEvents) -> dict[str, Any]:
        usage = await self._usage(message, stream)
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": usage}

    def sources(self, message: Message, stream: AnswerEvents) -> dict[str, Any]:
        return {
            "citations": [
                {**asdict(citation), "heading": list(citation.heading), "url": f"/api/documents/{citation.document_id}"}
                for citation in message.citations
            ],
            "answered_by": message.model,
            "cost": asdict(message.cost),
            "corrections": [{"typed": typed, "read": read} for typed, read in message.corrections],
            "left_out": [*self.body.left_out(by_model=bool(message.model)), *stream.left_out],
        }

    async def _usage(self, message: Message, stream: AnswerEvents) -> dict[str, int]:
        """Return the tokens that the chat model counted, else those of the messages by our own tokenizer."""
        prompt, answer = message.cost.prompt_tokens or 0, message.cost.answer_tokens or 0
        if message.cost.prompt_tokens is None or message.cost.answer_tokens is None:
            count = self.context.services.answers.count_tokens
            asked = "\n".join(each.text() for each in self.body.messages)
            written = message.text + "".join(part.name + part.arguments for part in stream.calls)
            prompt, answer = await self.context.threads.call(lambda: (count(asked), count(written)))
        return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.body.model or MODEL}


def _call_part(part: ToolCallPart) -> dict[str, Any]:
    """Return a piece of a call of a tool as a delta; its id and name come with the first piece only."""
    head = {"id": part.id, "type": "function"} if part.id else {}
    name = {"name": part.name} if part.name else {}
    return {"index": part.index, **head, "function": {**name, "arguments": part.arguments}}


def _calls(parts: list[ToolCallPart]) -> list[dict[str, Any]]:
    """Return the whole calls."""
    calls: dict[int, dict[str, Any]] = {}
    for part in parts:
        call = calls.setdefault(part.index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        call["id"] = call["id"] or part.id
        call["function"]["name"] = call["function"]["name"] or part.name
        call["function"]["arguments"] += part.arguments
    return [calls[index] for index in sorted(calls)]
