"""What chat servers send: replies in the shapes that servers use, and servers that take only part of the protocol."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Reply = tuple[int, dict[str, str], bytes]
STREAMED = {"Content-Type": "text/event-stream"}
JSON = {"Content-Type": "application/json"}
TEXT = "Seals are covered for 12 months [1]."
TOOL_CALL = {"name": "order", "arguments": '{"part": "seal", "count": 2}'}


def event(delta: object, finish: str | None = None, **others: object) -> str:
    """Return one event of a stream."""
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta, 'finish_reason': finish}], **others})}\n\n"


def stream(*events: str, done: bool = True) -> Reply:
    """Return a streamed reply."""
    return 200, STREAMED, ("".join(events) + ("data: [DONE]\n\n" if done else "")).encode()


def document(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    """Return a reply that is one JSON document."""
    return status, JSON | (headers or {}), json.dumps(value).encode()


def answer(body: Any, text: str = TEXT, finish: str = "stop") -> Reply:
    """Return a whole answer, streamed if that is asked for."""
    usage = {"prompt_tokens": 70, "completion_tokens": 9, "total_tokens": 79}
    if not body.get("stream"):
        message = {"role": "assistant", "content": text}
        return document({"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage})
    words = text.split(" ")
    pieces = [event({"content": word + " " * (at + 1 < len(words))}) for at, word in enumerate(words)]
    counted = [f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n"] if body.get("stream_options") else []
    return stream(event({"role": "assistant"}), *pieces, event({}, finish), *counted)


def capable(body: Any) -> Reply:
    """Answer as a server that takes everything: JSON where it is asked for, a call where there are tools."""
    last = body["messages"][-1]
    if body.get("tools") and last["role"] != "tool":
        name = body["tools"][0]["function"]["name"]
        call = {"index": 0, "id": "call_1", "type": "function"}
        pieces = ['{"part": "se', 'al", "count": 2}']
        if body.get("stream"):
            calls = [event({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in pieces]
            begin = event({"content": None, "tool_calls": [{**call, "function": {"name": name, "arguments": ""}}]})
            return stream(begin, *calls, event({}, "tool_calls"))
        whole = {"content": None, "tool_calls": [{**call, "function": {"name": name, "arguments": "".join(pieces)}}]}
        return document({"choices": [{"message": whole, "finish_reason": "tool_calls"}]})
    if last["role"] == "tool":
        return answer(body, f"The tool says: {last['content']}")
    if body.get("response_format", {}).get("type") in {"json_object", "json_schema"}:
        return answer(body, '{"part": "seal", "months": [12]}')
    return answer(body)


def refusing(*parts: str, named: bool = True, status: int = 400) -> Callable[[Any], Reply]:
    """Return a server that refuses requests with any of `parts`, and says which if it is `named`."""

    def reply(body: Any) -> Reply:
        for part in parts:
            system = any(message["role"] == "system" for message in body["messages"])
            if part in body or (part == "system" and system):
                words = f"Unsupported parameter: '{part}'" if part != "system" else "System role not supported"
                return document({"error": {"message": words if named else "Bad Request"}}, status)
        return capable(body)

    return reply
