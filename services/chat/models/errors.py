"""Maps the exceptions of model servers' client libraries to errors with a message and a hint.

`openai`, `ollama`, `httpx` and `httpx2` use the same class names, so exceptions are mapped by class name and by HTTP
status; none of the libraries has to be imported.
"""

from __future__ import annotations

from services.core.errors import MillpondError, TimedOutError, TooLargeError, UnavailableError
from services.core.i18n import _

SERVER_MESSAGE_CHARACTERS = 200
_TIMED_OUT = {"APITimeoutError", "TimeoutException", "TimeoutError", "StreamChunkTimeoutError"}
_INTERRUPTED = {"ReadError", "RemoteProtocolError", "CloseError", "WriteError", "IncompleteRead"}
_UNREACHABLE = {
    "APIConnectionError",
    "ConnectError",
    "ConnectionError",
    "UnsupportedProtocol",
    "ProxyError",
    "gaierror",
}


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
        return _by_status(status, _server_message(error, secret), server, model)
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
        return UnavailableError(
            _("{server} cannot be reached.").format(server=server),
            _("Check that it is running and that the address under Settings is right."),
        )
    if "APIError" in names or "ResponseError" in names:
        message = _server_message(error, secret)
        return UnavailableError(
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


def _by_status(status: int, reply: str, server: str, model: str) -> MillpondError:
    words = reply.lower()
    if status < 400:
        return protocol_error(server)
    if status in {400, 413, 422} and any(word in words for word in ("context", "too long", "maximum")):
        return TooLargeError(
            _("The question and its passages are too long for the model {model}.").format(model=model),
            _("Shorten the question, use fewer hits or a smaller history window, or choose another model."),
        )
    refused = (_("{server} refused the key."), _("Enter a valid key for it under Settings."))
    known = {
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
    if status == 404 and "model" in words:
        message, hint = (
            _("{server} does not know the model {model}."),
            _("Choose one of its models under Settings; with Ollama, fetch it first: ollama pull NAME."),
        )
    elif status in known:
        message, hint = known[status]
    elif status < 500:
        message, hint = (
            _("{server} did not accept the question: {reply}"),
            _("Check the model and the address under Settings."),
        )
    else:
        message, hint = (
            _("{server} failed with an error of its own ({status})."),
            _("Look at the server's log, then ask again."),
        )
    text = message.format(server=server, model=model or "?", reply=reply or status, status=status)
    return UnavailableError(text, hint)


def _server_message(error: BaseException, secret: str) -> str:
    """Return the server's own message in one short line, without the key."""
    body = getattr(error, "body", None)
    text = ""
    if isinstance(body, dict):
        inner = body.get("error")
        text = str(body.get("message") or (inner.get("message") if isinstance(inner, dict) else inner) or "")
    text = text or str(getattr(error, "error", "") or getattr(error, "message", "") or error)
    if secret:
        text = text.replace(secret, "…")
    if "<" in text:  # an HTML page is no message
        return ""
    line = " ".join(text.split())
    return line if len(line) <= SERVER_MESSAGE_CHARACTERS else line[:SERVER_MESSAGE_CHARACTERS] + "…"


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return chain
