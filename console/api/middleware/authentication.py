"""The door: finds out who asks, before Streamlit and the API see anything; nobody passes unless a path is open.

Who asks is said by an API token (`Authorization: Bearer`), or by the cookie of a session. Without accounts everything
is as before them: whoever reaches the address is let in, and `AccessControl` tells visitors from administrators.

Identity reaches pages by a header that only this middleware can set: Streamlit puts it into `st.user`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import anyio
import structlog
from anyio import CapacityLimiter, to_thread
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.api.context import ACTOR, bearer_token
from console.api.middleware import cookies
from console.api.middleware.cross_site import cookie_fault
from console.api.middleware.node_requests import node_target, node_token
from console.api.middleware.open_requests import AdmittedRequest, AdmittedRequests
from console.api.middleware.paths import SIGN_IN, is_open, rule_for
from console.api.permissions import STARTING
from console.api.problems import error_response, problem_response
from console.api.slow_refusals import SlowRefusals
from services.app.container import Platform
from services.core.actor import Actor
from services.core.auditing import Way, current_origin
from services.core.errors import ErrorKind, ForbiddenError, MillpondError, UnauthorizedError
from services.core.i18n import _
from services.core.requests.registry import acting_for

if TYPE_CHECKING:
    from services.identity.identity import Identity

log = structlog.get_logger(__name__)
Found = TypeVar("Found")

# The headers by which pages learn whose session theirs is.
SESSION_HEADER = b"x-millpond-session"
PERSON_HEADER = b"x-millpond-person"
_TRUSTED = frozenset({SESSION_HEADER, PERSON_HEADER})
# The code with which a WebSocket is closed whose session has ended; pages then show the sign-in page.
SIGNED_OUT = 4401
_POLICY = 1008
_CHECKS_AT_ONCE = 8
_MOST_LATELY = 20_000  # a number each


@dataclass(frozen=True, slots=True)
class _Known:
    """Who asks, and by what."""

    actor: Actor
    by_cookie: bool


class Authentication:
    """Lets through who is known and may, everybody where a path is open, nobody else.

    Args:
        app: what lies behind.
        platform: returns the opened platform, None before.
        requests: what is open now.
        owns: whether a path (a tab's upload, a picture of a page) belongs to a session.
        local_only: whether the server is for this machine alone, so that the progress of its start may be shown before
            anybody can be known.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        platform: Callable[[], Platform | None],
        requests: AdmittedRequests,
        owns: Callable[[str, str], bool],
        local_only: bool,
    ) -> None:
        self._app = app
        self._platform = platform
        self._requests = requests
        self._owns = owns
        self._local_only = local_only
        self._checks: CapacityLimiter | None = None
        self._lately: set[int] = set()  # tokens that were valid
        self._refusals = SlowRefusals()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        platform = self._platform()
        # In the scope itself and not in a copy: `RequestContext`, before this, reads there which route has responded.
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in _TRUSTED]
        if platform is None:
            await self._before_anybody(scope, receive, send)
        elif token := node_token(scope):
            await self._of_node(platform, token, scope, receive, send)
        elif platform.identity.open_mode:
            await self._unknown(scope, receive, send)
        else:
            await self._checked(platform.identity, scope, receive, send)

    async def _before_anybody(self, scope: Scope, receive: Receive, send: Send) -> None:
        """While the data folder is not open nobody can be known: the start is shown on this machine alone."""
        if (self._local_only and cookies.is_local(scope)) or scope["path"] in {"/healthz", "/readyz"}:
            scope[STARTING] = True
            await self._unknown(scope, receive, send)
        else:
            error = _("Millpond is still starting."), _("Try again in a moment.")
            response = problem_response(503, *error, kind=ErrorKind.UNAVAILABLE, path=scope["path"])
            await _answer(response, scope, receive, send)

    async def _unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through without asking who it is; a WebSocket is remembered, in case somebody has to sign in later."""
        if scope["type"] == "http":
            await self._app(scope, receive, send)
        else:
            await self._websocket(None, scope, receive, send)

    async def _of_node(self, platform: Platform, token: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Let somebody through for whom another node asks, as it says; without a valid token nobody at all."""
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await _nothing(scope, receive, send)
            return
        try:
            if platform.nodes is None:
                raise UnauthorizedError(_("This process serves its pond alone; there is no other node."))
            find = partial(platform.nodes.recognize, token, str(scope["method"]), node_target(scope))
            sender = await to_thread.run_sync(find, limiter=self._limiter())
        except MillpondError as error:
            log.warning("refused: a request of another node", path=scope["path"], why=error.message)
            await self._refused(error, scope, receive, send)
            return
        scope["headers"], scope[ACTOR] = cookies.without_session_cookies(scope), sender.actor
        origin = current_origin()
        origin.actor, origin.way, origin.address = sender.actor, Way.NODE, sender.address
        with acting_for(sender.actor.name):
            await self._request(sender.actor, scope, receive, send)

    async def _checked(self, identity: Identity, scope: Scope, receive: Receive, send: Send) -> None:
        method = str(scope.get("method", "GET"))
        open_to_all = scope["type"] == "http" and is_open(scope["path"], method)
        try:
            known = await self._who(identity, scope)
        except MillpondError as error:
            if not open_to_all:
                await self._refused(error, scope, receive, send)
                return
            known = None
        if open_to_all:
            if known is not None:
                scope[ACTOR] = known.actor
            await self._app(scope, receive, send)
            return
        if known is None:
            await _to_sign_in(scope, receive, send)
            return
        if known.by_cookie and (fault := cookie_fault(scope)):
            log.warning(
                "refused: a request by cookie that no page of this console sends", path=scope["path"], why=fault
            )
            response = problem_response(
                403,
                _("A page of another site tried to use this console; nothing was changed."),
                _("Use the console's own pages, or an API token."),
                kind=ErrorKind.FORBIDDEN,
                path=scope["path"],
            )
            await _answer(response, scope, receive, send)
            return
        rule = rule_for(scope["path"], method)
        if rule is None or rule.rule.nobody or (rule.own and not self._owns(scope["path"], known.actor.session_id)):
            await _nothing(scope, receive, send)
            return
        if not rule.rule.allows_actor(known.actor):
            await self._refused(ForbiddenError(_("Your role may not see this.")), scope, receive, send)
            return
        await self._known(known, scope, receive, send)

    async def _who(self, identity: Identity, scope: Scope) -> _Known | None:
        """Return who asks, None for nobody.

        Raises:
            UnauthorizedError: an API token is not valid; held back after several of them from that address.
            BusyError: many wrong ones from that address are held back already.
        """
        if scope["type"] == "http" and (token := bearer_token(Headers(scope=scope))):
            client = scope.get("client")
            address = client[0] if client else ""
            try:
                return _Known(await self._ask(token, partial(identity.by_api_token, token, address)), by_cookie=False)
            except UnauthorizedError as error:
                await self._refusals.refuse(error, address)
        if token := cookies.session_token(scope):
            actor = await self._ask(token, partial(identity.by_session, token))
            return None if actor is None else _Known(actor, by_cookie=True)
        return None

    async def _ask(self, token: str, find: Callable[[], Found]) -> Found:
        """Return whose token it is; one that was valid lately is found in memory, any other asks the database."""
        key = hash(token)
        if key in self._lately:
            return find()
        found = await to_thread.run_sync(find, limiter=self._limiter())
        if found is not None:
            if len(self._lately) >= _MOST_LATELY:
                self._lately.clear()
            self._lately.add(key)
        return found

    def _limiter(self) -> CapacityLimiter:
        if self._checks is None:  # needs the event loop
            self._checks = CapacityLimiter(_CHECKS_AT_ONCE)
        return self._checks

    async def _known(self, known: _Known, scope: Scope, receive: Receive, send: Send) -> None:
        """Let somebody through under their name, until the response ends or their session does."""
        headers = cookies.without_session_cookies(scope)
        if known.by_cookie:
            headers.append((SESSION_HEADER, known.actor.session_id.encode()))
            headers.append((PERSON_HEADER, str(known.actor.person_id).encode()))
        scope["headers"], scope[ACTOR] = headers, known.actor
        origin = current_origin()
        origin.actor = known.actor
        if not known.by_cookie:
            origin.way, origin.token = Way.TOKEN, known.actor.session_id
        with acting_for(known.actor.name, known.actor.session_id):
            if scope["type"] == "websocket":
                await self._websocket(known.actor, scope, receive, send)
            else:
                await self._request(known.actor, scope, receive, send)

    async def _request(self, actor: Actor, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_counted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        with anyio.CancelScope() as ending:
            request = AdmittedRequest(actor, websocket=False, end=ending.cancel)
            self._requests.add(request)
            try:
                await self._app(scope, receive, send_counted)
            finally:
                self._requests.discard(request)
        if ending.cancelled_caught and not started:  # what has begun is broken off: the server closes the connection
            error = UnauthorizedError(_("Your session has ended, and with it this request."), _("Sign in again."))
            await self._refused(error, scope, receive, send)

    async def _websocket(self, actor: Actor | None, scope: Scope, receive: Receive, send: Send) -> None:
        ended = False
        loop = asyncio.get_running_loop()
        closing: asyncio.Task[None] | None = None

        async def close() -> None:
            with suppress(OSError):  # gone already
                await send({"type": "websocket.close", "code": SIGNED_OUT, "reason": "signed out"})

        def end() -> None:
            nonlocal ended, closing
            if not ended:
                ended = True
                closing = loop.create_task(close())

        async def receive_while_known() -> Message:
            message = await receive()
            return message if not ended else {"type": "websocket.disconnect", "code": SIGNED_OUT, "reason": ""}

        async def send_while_known(message: Message) -> None:
            if ended:
                raise OSError("the session has ended")
            await send(message)

        request = AdmittedRequest(actor, websocket=True, end=end)
        self._requests.add(request)
        try:
            await self._app(scope, receive_while_known, send_while_known)
        finally:
            self._requests.discard(request)
            if closing is not None:
                await closing

    async def _refused(self, error: MillpondError, scope: Scope, receive: Receive, send: Send) -> None:
        response = error_response(error, scope["path"])
        if isinstance(error, UnauthorizedError):
            _say_how(response, invalid=True)
        await _answer(response, scope, receive, send)


async def _to_sign_in(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a browser that asks for a page to the sign-in page; refuse everything else."""
    if scope["type"] == "http" and is_page_request(scope):
        query = scope.get("query_string", b"").decode("latin-1")
        place = f"{scope['path']}?{query}" if query else str(scope["path"])
        target = f"{SIGN_IN}?next={quote(place, safe='')}" if place != "/" else SIGN_IN
        response: Response = RedirectResponse(target, status_code=303, headers={"Cache-Control": "no-store"})
    else:
        error = UnauthorizedError(_("Nobody has signed in."), _("Sign in, or send an API token."))
        response = error_response(error, scope["path"])
        _say_how(response, invalid=False)
    await _answer(response, scope, receive, send)


def is_page_request(scope: Scope) -> bool:
    """Return whether a browser asks for something to show as a page."""
    if scope["method"] not in {"GET", "HEAD"}:
        return False
    headers = Headers(scope=scope)
    mode = headers.get("sec-fetch-mode", "")
    return mode == "navigate" if mode else "text/html" in headers.get("accept", "")


def _say_how(response: Response, *, invalid: bool) -> None:
    """Add how to say who one is (RFC 6750)."""
    response.headers["WWW-Authenticate"] = 'Bearer realm="Millpond"' + (', error="invalid_token"' if invalid else "")
    response.headers["Cache-Control"] = "no-store"


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    response = problem_response(
        404, _("There is nothing here."), _("/docs lists what there is."), kind=ErrorKind.NOT_FOUND, path=scope["path"]
    )
    await _answer(response, scope, receive, send)


async def _answer(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a response; a WebSocket is closed before it is accepted."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": _POLICY, "reason": ""})
    else:
        await response(scope, receive, send)
