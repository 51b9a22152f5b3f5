"""Maps the exceptions of model servers' client libraries to errors with a message and a hint.

`openai`, `ollama`, `httpx` and `httpx2` use the same class names, so exceptions are mapped by class name and by HTTP
status; none of the libraries has to be imported.
"""

from __future__ import annotations

from typing import Any

from services.chat.types import FinishReason
from services.core.errors import BadInputError, MillpondError, TimedOutError, TooLargeError, UnavailableError
from services.core.i18n import _, gap, plural

SERVER_MESSAGE_CHARACTERS = 200
_TIMED_OUT = {"APITimeoutError", "TimeoutException", "TimeoutError", "StreamChunkTimeoutError"}
_INTERRUPTED = {"ReadError", "RemoteProtocolError", "CloseError", "WriteError", "IncompleteRead", "BrokenOffError"}
_UNREACHABLE = {
    "APIConnectionError",
    "ConnectError",
    "ConnectionError",
    "UnsupportedProtocol",
    "ProxyError",
    "gaierror",
}


class ServerError(Exception):
    """A server refused or failed: a reply with an error's status, or an error in place of an answer.

    `status_code` is None where the server says none; `body` is its JSON reply, `retry_seconds` what `Retry-After` asks
    for.
    """

    def __init__(self, text: str, *, status: int | None = None, body: Any = None, retry_seconds: int | None = None):
        super().__init__(text)
        self.status_code = status
        self.body = body
        self.retry_seconds = retry_seconds


class BrokenOffError(Exception):
    """A stream ended without saying that the answer is complete."""


class UnreachableError(UnavailableError):
    """Nobody answers at the address."""


def explain_error(error: BaseException, *, server: str, model: str, secret: str = "") -> MillpondError:
    """Return the error that says what happened and what to do.

    Args:
        error: the exception of the client library.
        server: the server's address, for display.
        model: the requested model.
        secret: a key that must not appear in the message, should the server repeat it in its reply.
    """
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status >= 300:
        return _by_status(error, status, _server_message(error, secret), server, model)
    names = {kind.__name__ for cause in _chain(error) for kind in type(cause).__mro__}
    if names & _TIMED_OUT:
        return TimedOutError(
            _("{server} did not answer in time.").format(server=server),
            _("It may be loading the model or be overloaded; ask again in a moment."),
        )
    if names & _INTERRUPTED:
        return UnavailableError(
            _("{server} broke off in the middle of the answer; what had come is kept.").format(server=server),
            _("Look at the server's log, then ask again."),
        )
    if names & _UNREACHABLE:
        return UnreachableError(
            _("{server} cannot be reached.").format(server=server),
            _("Check that it is running and that the address under Settings is right."),
        )
    if names & {"APIError", "ResponseError", "ServerError"}:
        message = _server_message(error, secret)
        known = _by_words(error, message, server, model)
        return known or UnavailableError(
            _("{server} reported an error: {message}").format(server=server, message=message or _("no reason given")),
            _("Look at the server's log, then ask again."),
        )
    return protocol_error(server)


def protocol_error(server: str) -> UnavailableError:
    """Return the error for a reply that violates the protocol."""
    return UnavailableError(
        _("{server} sent something that is not an answer.").format(server=server),
        _("Check the address under Settings: it may be another program's, or its path (often /v1) may be missing."),
    )


def empty_answer(finish: FinishReason, answer_tokens: int) -> MillpondError:
    """Return the error for an answer without a word, by the reason that the model gave for its end."""
    if finish is FinishReason.CONTENT_FILTER:
        return BadInputError(
            _("The chat model's content filter kept the whole answer back."),
            _("Word the question differently, or choose another model."),
        )
    if finish is FinishReason.LENGTH:
        return UnavailableError(
            _("The chat model used up its {count} tokens before it wrote an answer.").format(count=answer_tokens),
            _("A model that thinks at length needs more: raise `max_tokens` in the request, or choose another model."),
        )
    return UnavailableError(
        _("The chat model sent an empty answer."),
        _("Ask again; if it stays empty, check the model's name and its server's log."),
    )


class UnsupportedParameterError(BadInputError):
    """A request asks for what cannot be done; `parameter` names what asks for it."""

    parameter = ""


def unsupported(parameter: str, reason: str) -> UnsupportedParameterError:
    """Return the error for a parameter that cannot be fulfilled; it names the parameter."""
    error = UnsupportedParameterError(
        _("`{parameter}` cannot be fulfilled: {reason}").format(parameter=parameter, reason=reason),
        _("Leave it out, or choose a chat model that can under Settings."),
    )
    error.parameter = parameter
    return error


def is_context_error(error: BaseException) -> bool:
    """Return whether a server says that the prompt is too long for its model."""
    text = f"{_code(error)} {_server_message(error, '', limit=2000)}".lower()
    words = (
        "context length", "context_length", "context window", "context size", "exceed_context", "maximum context",
        "too long", "too many tokens", "prompt is longer", "token limit",
    )  # fmt: skip
    return any(word in text for word in words)


def is_filtered(error: BaseException) -> bool:
    """Return whether a server's content filter refused the question."""
    text = f"{_code(error)} {_server_message(error, '', limit=2000)}".lower()
    return any(word in text for word in ("content_filter", "content filter", "content management policy", "moderation"))


def _by_words(error: BaseException, reply: str, server: str, model: str) -> MillpondError | None:
    """Return the error for what a server says in words, whatever its status is; None for anything else."""
    if is_filtered(error):
        return BadInputError(
            _("The content filter of {server} refused the question: {reply}").format(server=server, reply=reply),
            _("Word the question differently, leave out the documents that it objects to, or choose another model."),
        )
    if is_context_error(error):
        return TooLargeError(
            _("The question and its passages are too long for the model {model}: {reply}").format(
                model=model, reply=reply
            ),
            _("Shorten the question, use fewer hits or a smaller history window, or choose another model."),
        )
    return None


def _by_status(error: BaseException, status: int, reply: str, server: str, model: str) -> MillpondError:
    if status < 400:
        return protocol_error(server)
    if status in {400, 403, 413, 422} or status >= 500:
        known = _by_words(error, reply, server, model)
        if known is not None:
            return known
    refused = (_("{server} refused the key."), _("Enter a valid key for it under Settings."))
    by_status = {
        401: refused,
        403: refused,
        404: (
            _("{server} has no chat at this address."),
            _("Check the address under Settings; its path is often /v1."),
        ),
        429: (
            _("{server} accepts no more questions for now."),
            _("Wait a moment, or check the quota that belongs to the key."),
        ),
    }
    said = bool(reply)
    if status == 404 and "model" in reply.lower():
        message, hint = (
            _("{server} does not know the model {model}."),
            _("Choose one of its models under Settings; with Ollama, fetch it first: ollama pull NAME."),
        )
    elif status in by_status:
        message, hint = by_status[status]
    elif status < 500:
        message, hint = (
            _("{server} did not accept the question: {reply}"),
            _("Check the model and the address under Settings."),
        )
        said = False
    else:
        message, hint = (
            _("{server} failed with an error of its own ({status})."),
            _("Look at the server's log, then ask again."),
        )
    text = message.format(server=server, model=model or "?", reply=reply or status, status=status)
    if said:
        text += gap() + _("It says: {reply}").format(reply=reply)
    seconds = getattr(error, "retry_seconds", None)
    if status in {429, 503} and seconds:
        hint = plural("It asks to wait {count} second.", "It asks to wait {count} seconds.", seconds) + gap() + hint
    return UnavailableError(text, hint)


def _code(error: BaseException) -> str:
    """Return the code and type that an error of OpenAI's protocol carries."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    return f"{inner.get('code')} {inner.get('type')}" if isinstance(inner, dict) else ""


def _server_message(error: BaseException, secret: str, limit: int = SERVER_MESSAGE_CHARACTERS) -> str:
    """Return the server's own message in one short line, without the key."""
    text = message_of(getattr(error, "body", None))
    text = text or str(getattr(error, "error", "") or getattr(error, "message", "") or error)
    if secret:
        text = text.replace(secret, "…")
    if "<" in text and ("</" in text or "<!" in text or "/>" in text):  # an HTML page is no message
        return ""
    line = " ".join(text.replace("<", "‹").replace("\0", "").split())
    return line if len(line) <= limit else line[:limit] + "…"


def message_of(body: Any) -> str:
    """Return the message in a JSON reply, in the shapes that servers use; "" if there is none."""
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return "; ".join(filter(None, map(message_of, body)))
    if not isinstance(body, dict):
        return ""
    for name in ("error", "message", "detail", "msg", "error_message", "error_msg", "errors", "reason"):
        found = message_of(body.get(name))
        if found:
            place = body.get("loc")
            return f"{'.'.join(map(str, place))}: {found}" if isinstance(place, list) and place else found
    return ""


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return chain
