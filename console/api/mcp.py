"""The Model Context Protocol at /mcp: programs that work with a language model search, ask and read the documents.

Each request stands for itself: no session is kept, so none can be taken over, run out or fill the memory. The id that
`initialize` returns only tells one client's calls from another's, so that a client can cancel its own.

The SDK is imported with the first request.

Source: https://modelcontextprotocol.io/specification
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import structlog
from anyio import to_thread
from fastapi import APIRouter, Request
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from console.api.context import Caller, Context, client_of
from console.api.inputs import unusable
from console.api.mcp_calls import CALLS, SESSION_ID, call_key
from console.api.mcp_tools import McpTools
from console.api.permissions import needs
from console.api.problems import MEDIA_TYPE, defect_response, error_response
from console.api.translated import TranslatedRoute
from services.core.actor import Permission
from services.core.errors import BadInputError, TooLargeError, UnauthorizedError
from services.core.i18n import _

if TYPE_CHECKING:
    from console.api.mcp_server import McpServer

log = structlog.get_logger(__name__)

router = APIRouter(route_class=TranslatedRoute, tags=["mcp"], include_in_schema=False)
MCP = "/mcp"
MAX_BODY_BYTES = 256 * 1024  # a question and what belongs to it; files go to /api/documents
MAX_SESSION_ID = 128


@router.post(MCP, dependencies=needs(Permission.READ), summary="Model Context Protocol")
async def mcp(request: Request, context: Context, actor: Caller) -> Response:
    """Answer one message of the protocol: an answer in JSON or as events, by what the message asks for."""
    if actor.person_id is not None and actor.scopes is None:
        error = UnauthorizedError(_("This address is for programs."), _("Send an API token of the scope read or ask."))
        response = error_response(error)
        response.headers["WWW-Authenticate"] = 'Bearer realm="Millpond"'
        return response
    session = request.headers.get(SESSION_ID, "")
    if len(session) > MAX_SESSION_ID:
        raise BadInputError(_("The session id is too long."), _("Send the one that `initialize` returned."))
    body = await _body(request)
    message = _decoded(body)
    if message.get("method") == "notifications/cancelled":
        params = message.get("params")
        number = params.get("requestId") if isinstance(params, dict) else None
        if session and isinstance(number, str | int):
            CALLS.cancel(call_key(actor, session, number))
    server = await to_thread.run_sync(_imported)
    tools = McpTools(context, actor, client_of(request))
    return McpResponse(server(tools, actor), body, starts=message.get("method") == "initialize")


class McpResponse(Response):
    """Hands a message to the SDK, in a task group of its own, so that all ends with the request."""

    media_type = MEDIA_TYPE

    def __init__(self, server: McpServer, body: bytes, *, starts: bool) -> None:
        super().__init__()
        self._server = server
        self._body = body
        self._starts = starts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        sent = False
        began = False

        async def receive_read() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": self._body, "more_body": False}

        async def send_with_id(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                if self._starts and message["status"] == 200:
                    MutableHeaders(scope=message)[SESSION_ID] = uuid4().hex
            await send(message)

        manager = StreamableHTTPSessionManager(
            self._server.server(), stateless=True, max_request_body_size=MAX_BODY_BYTES
        )
        try:
            async with manager.run():
                await manager.handle_request(scope, receive_read, send_with_id)
        except* ClientDisconnect:
            pass
        except* Exception as group:
            log.exception("defect in the protocol of tools")
            if began:
                raise
            await defect_response(group, MCP)(scope, receive, send)


async def _body(request: Request) -> bytes:
    received = bytearray()
    async for part in request.stream():
        received += part
        if len(received) > MAX_BODY_BYTES:
            raise TooLargeError(
                _("The message is larger than {limit} KB.").format(limit=MAX_BODY_BYTES // 1024),
                _("Send less at once; files go to /api/documents."),
            )
    return bytes(received)


def _decoded(body: bytes) -> dict[str, Any]:
    """Return a message, {} for what the SDK refuses.

    Raises:
        BadInputError: it has what no layer behind can use.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if reason := unusable(message):
        raise BadInputError(_("The message cannot be used: {reason}").format(reason=reason))
    return message if isinstance(message, dict) else {}


def _imported() -> type[McpServer]:
    import logging

    from console.api.mcp_server import McpServer

    # It says of each request that a manager was started.
    logging.getLogger("mcp").setLevel(logging.WARNING)
    return McpServer
