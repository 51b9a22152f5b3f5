"""OpenAI's chat protocol as its clients read it: replies of a server, streamed or whole, as LangChain's chunks.

Servers take liberties with it, and what they send is read generously: events without data, comments, either kind of
line end, data over several lines, a whole reply in place of a stream, content as text or in parts, pieces without
choices. `httpx-sse` would insist on the content type and drop an event that no blank line follows.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from services.chat.models.errors import BrokenOffError, ServerError, message_of
from services.chat.types import FinishReason

if TYPE_CHECKING:
    import httpx
    from langchain_core.outputs import ChatGenerationChunk

MAX_EVENT_BYTES = 4_000_000
ERROR_BYTES = 64_000
# In LangChain's metadata of a chunk.
FINISH, LEFT_OUT = "finish_reason", "left_out"
_ERROR_STATUSES = {str(status) for status in range(400, 600)}
_LINE_END = re.compile(r"\r\n|\n|\r")
_FINISH_WORDS = {
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "max_output_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "recitation": FinishReason.CONTENT_FILTER,
    "prohibited_content": FinishReason.CONTENT_FILTER,
    "tool_calls": FinishReason.TOOL_CALLS,
    "tool_use": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
}


def finish_reason(word: object) -> FinishReason | None:
    """Return a server's reason for the end of an answer, None if it gave none; unknown words mean the usual end."""
    if not isinstance(word, str) or not word or word.lower() in {"null", "none"}:
        return None
    return _FINISH_WORDS.get(word.lower(), FinishReason.STOP)


class ReplyReader:
    """Reads the bytes of one reply; `whole` is true once it has turned out to be a document and not a stream.

    `feed` and `end` return the chunks that have become complete.

    Raises (`feed` and `end`):
        ServerError: the reply holds an error.
        BrokenOffError: it ended before the answer was complete.
        ValueError: it is no reply of this protocol.
    """

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace")
        self._buffer = ""
        self._kind = ""
        self._data: list[str] = []
        self._stray = ""  # the first line that is no part of an event
        self.whole: bool | None = None
        self._finished = self._done = self._any = False

    def feed(self, data: bytes) -> Iterator[ChatGenerationChunk]:
        """Add bytes of the reply."""
        self._buffer += self._decode.decode(data)
        begin = self._buffer.lstrip("\ufeff \t\r\n")
        if self.whole is None and begin:
            self.whole = begin[0] in "{["
            self._buffer = begin
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise ValueError("an event is too large")
        if self.whole is not False:
            return
        lines = _LINE_END.split(self._buffer)
        self._buffer = lines.pop()
        if not self._buffer and data.endswith(b"\r"):  # its line feed may be on the way
            self._buffer = lines.pop() + "\r"
        for line in lines:
            yield from self._line(line)

    def end(self) -> Iterator[ChatGenerationChunk]:
        """The reply has ended."""
        if self.whole:
            documents = _documents(self._buffer)
            self.whole = len(documents) == 1
            for document in documents:
                yield from self._document(document)
            self._buffer = ""
        yield from self._line(self._buffer.rstrip("\r"))
        yield from self._line("")
        if self._done and not self._finished:
            # Some servers give no reason for the end.
            yield from self._document({"choices": [{"delta": {}, "finish_reason": FinishReason.STOP.value}]})
        if not self._finished:
            if self._any:
                raise BrokenOffError
            if self._stray.isprintable() and self._stray and not self._stray.startswith("<"):
                raise ServerError(self._stray)  # plain words in place of an answer
            raise ValueError("the reply is empty")

    def _line(self, line: str) -> Iterator[ChatGenerationChunk]:
        name, _colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif line and not self._stray and name not in {"", "id", "retry"}:
            self._stray = line.strip()
        elif not line and self._data:
            text, kind = "\n".join(self._data).strip(), self._kind
            self._data, self._kind = [], ""
            yield from self._event(text, kind)

    def _event(self, text: str, kind: str) -> Iterator[ChatGenerationChunk]:
        if text == "[DONE]":
            self._done = True
            return
        if not text or text == "null":
            return
        if kind == "error":
            raise _error_in(text)
        yield from self._document(json.loads(text))

    def _document(self, document: Any) -> Iterator[ChatGenerationChunk]:
        if not isinstance(document, dict):
            if self.whole:
                raise ValueError("the reply is no object")
            return
        choices = document.get("choices")
        if document.get("error") or document.get("object") == "error" or _is_bare_error(document):
            raise server_error(document)
        if self.whole and not isinstance(choices, list):
            if message_of(document):
                raise server_error(document)
            raise ValueError("the reply has no choices")
        self._any = True
        choice = next((one for one in choices or () if isinstance(one, dict)), {})
        reason = finish_reason(choice.get("finish_reason"))
        if choice.get("finish_reason") == "error":
            raise server_error(choice)
        self._finished = self._finished or reason is not None or bool(self.whole)
        chunk = _chunk(choice, document.get("usage"), reason or (FinishReason.STOP if self.whole else None))
        if chunk is not None:
            yield chunk


async def read_reply(response: httpx.Response, reader: ReplyReader) -> AsyncIterator[ChatGenerationChunk]:
    """Yield the chunks of a reply as they arrive.

    Raises:
        ServerError, BrokenOffError, ValueError: as `ReplyReader`; a status that is not 200 is a `ServerError`.
    """
    if not response.is_success:
        received = bytearray()
        async for part in response.aiter_bytes():
            received += part
            if len(received) > ERROR_BYTES:
                break
        raise status_error(response, bytes(received[:ERROR_BYTES]))
    async for part in response.aiter_bytes():
        for chunk in reader.feed(part):
            yield chunk
    for chunk in reader.end():
        yield chunk


def status_error(response: httpx.Response, data: bytes) -> ServerError:
    """Return the error for a reply with another status than 200."""
    text = data.decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    wait = response.headers.get("retry-after", "")
    seconds = int(wait) if wait.isascii() and wait.isdigit() and len(wait) < 6 else None
    return ServerError(text, status=response.status_code, body=body, retry_seconds=seconds)


def server_error(document: dict[str, Any]) -> ServerError:
    """Return the error that a reply holds; a status among its fields counts as the reply's."""
    inner = document.get("error")
    codes = [one.get(name) for one in (inner, document) if isinstance(one, dict) for name in ("code", "status")]
    statuses = [int(str(code)) for code in codes if str(code) in _ERROR_STATUSES]
    return ServerError(message_of(document), status=statuses[0] if statuses else None, body=document)


def _documents(text: str) -> list[Any]:
    """Return the JSON document in `text`, or those on its lines: some servers stream them without any framing.

    Raises:
        ValueError: it is neither.
    """
    try:
        return [json.loads(text)]
    except ValueError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        return [json.loads(line.removeprefix("data:")) for line in lines if line != "data: [DONE]"]


def _is_bare_error(document: dict[str, Any]) -> bool:
    """Return whether a document is an error without the protocol's frame: a message with a code, and no choices."""
    coded = any(name in document for name in ("code", "status", "detail", "error_code", "error_msg"))
    return "choices" not in document and coded and bool(message_of(document))


def _error_in(text: str) -> ServerError:
    try:
        document = json.loads(text)
    except ValueError:
        return ServerError(text)
    return server_error(document) if isinstance(document, dict) else ServerError(str(document))


def _chunk(choice: dict[str, Any], usage: object, reason: FinishReason | None) -> ChatGenerationChunk | None:
    from langchain_core.messages import AIMessageChunk
    from langchain_core.messages.ai import UsageMetadata
    from langchain_core.messages.tool import tool_call_chunk
    from langchain_core.outputs import ChatGenerationChunk

    delta = choice.get("delta")
    if not isinstance(delta, dict) or not delta:
        delta = choice.get("message")
    if not isinstance(delta, dict):
        delta = {"content": choice.get("text")}
    calls = [
        tool_call_chunk(
            index=_integer(call.get("index"), position),
            id=_text(call.get("id")) or None,
            name=_text(_dictionary(call.get("function")).get("name")) or None,
            args=_arguments(_dictionary(call.get("function")).get("arguments")),
        )
        for position, call in enumerate(_list(delta.get("tool_calls")))
        if isinstance(call, dict)
    ]
    counted = None
    if isinstance(usage, dict):
        prompt, answer = _integer(usage.get("prompt_tokens"), -1), _integer(usage.get("completion_tokens"), -1)
        if prompt >= 0 and answer >= 0:
            counted = UsageMetadata(input_tokens=prompt, output_tokens=answer, total_tokens=prompt + answer)
    text = "".join(_parts(delta.get("content"))) or _text(delta.get("refusal"))
    if not (text or calls or counted or reason):
        return None
    message = AIMessageChunk(content=text, tool_call_chunks=calls, usage_metadata=counted)
    return ChatGenerationChunk(message=message, generation_info={FINISH: reason.value} if reason else None)


def _parts(content: object) -> Iterable[str]:
    """Return the texts in a message's content; parts of other kinds, such as thoughts, are left out."""
    if isinstance(content, str):
        return (content,)
    return (
        part if isinstance(part, str) else _text(part.get("text"))
        for part in _list(content)
        if isinstance(part, str) or (isinstance(part, dict) and part.get("type", "text") in {"text", "output_text"})
    )


def _arguments(value: object) -> str:
    """Return the arguments of a call as JSON text; some servers send them parsed."""
    return json.dumps(value) if isinstance(value, dict) else _text(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dictionary(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _integer(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
