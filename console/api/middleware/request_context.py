"""Id, log line, metrics and error response of a request. Metrics name the route's template, never the client's path."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.api.problems import defect_response, problem_response
from services.app.container import Foundation
from services.core.auditing import Origin, Way, coming_from
from services.core.errors import ErrorKind
from services.core.i18n import _
from services.core.requests.registry import acting_for
from services.memory.refusal import memory_refused
from services.operations.logging import bind_request_id
from services.operations.request_log import log_fields

log = structlog.get_logger(__name__)

access = structlog.get_logger("console.access")
# Ids tell requests apart and are no secrets: the system's random numbers would cost the event loop its turn.
_ids = random.Random()  # noqa: S311 - see above
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET_PATHS = ("/static/", "/_stcore/", "/media/", "/component/", "/healthz", "/readyz", "/metrics", "/docs/assets/")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_API_PATHS = ("/api", "/v1", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs")
_RECORDED_PATHS = ("/api/", "/v1/")
_CATCH_ALL = "/{rest:path}"
UNKNOWN = "(unknown)"
PAGES = "(pages)"


class RequestContext:
    """Gives each request an id (the client's own if it is harmless), logs it, and responds to unexpected errors.

    Its duration goes into the metrics of `foundation()`; a call of the API also carries the memory before and after it,
    in the log line and in the list of recent requests.
    """

    def __init__(self, app: ASGIApp, *, foundation: Callable[[], Foundation | None] = lambda: None) -> None:
        self._app = app
        self._foundation = foundation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else f"{_ids.getrandbits(128):032x}"
        foundation = self._foundation()
        begun = foundation.request_log.begin() if foundation is not None and is_recorded(scope) else None
        started = time.perf_counter()
        status = 0
        ended = False

        async def send_with_id(message: Message) -> None:
            nonlocal status, ended
            ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            if message["type"] == "http.response.start":
                status = int(message["status"])
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        client = scope["client"][0] if scope.get("client") else "unknown"
        with bind_request_id(request_id), acting_for(client), coming_from(Origin(Way.API, client, request_id)):
            try:
                await self._app(scope, receive, send_with_id)
            except asyncio.CancelledError:  # the server stops and waits no longer
                if status:
                    raise
                response = problem_response(
                    503,
                    _("Millpond is being stopped, and this request had not come to its end."),
                    _("Send it again when Millpond runs; of a file that had not arrived whole nothing was kept."),
                    kind=ErrorKind.UNAVAILABLE,
                    path=scope["path"],
                )
                await response(scope, receive, send_with_id)
            except Exception as error:
                refused = memory_refused(error)
                if refused is None:
                    log.exception("defect", path=scope["path"])
                else:
                    log.error("memory refused", path=scope["path"], cause=str(error))  # noqa: TRY400 - no defect
                if status and not ended:  # the response has begun: it can only be aborted
                    raise
                if not status:
                    await defect_response(error, scope["path"])(scope, receive, send_with_id)
            finally:
                seconds = time.perf_counter() - started
                cost: dict[str, float] = {"ms": round(seconds * 1000, 1)}
                if foundation is not None:
                    method, route = method_label(scope), route_label(scope)
                    foundation.metrics.observe_request(method, route, status, seconds)
                    if begun is not None and route == UNKNOWN:
                        foundation.request_log.discard(begun)
                    elif begun is not None:
                        cost = log_fields(foundation.request_log.end(begun, method, route, status, request_id))
                noisy = scope["path"].startswith(_QUIET_PATHS) and status < 500
                (access.debug if noisy else access.info)(
                    "request", method=scope["method"], path=scope["path"], status=status, client=client, **cost
                )


def is_recorded(scope: Scope) -> bool:
    """Return whether a request is kept among the recent ones: a call of the API."""
    return str(scope["path"]).startswith(_RECORDED_PATHS)


def method_label(scope: Scope) -> str:
    """Return the request's method, "OTHER" for an unknown one."""
    method = str(scope["method"])
    return method if method in _METHODS else "OTHER"


def route_label(scope: Scope) -> str:
    """Return the template of the API's route that has responded (after the call), "(pages)" for what Streamlit serves,
    "(unknown)" for API paths that do not exist."""
    template = str(getattr(scope.get("route"), "path", ""))
    if template and not template.endswith(_CATCH_ALL):
        return template
    path = str(scope["path"])
    if path.startswith("/docs/assets/"):
        return "/docs/assets"
    return UNKNOWN if path.startswith(_API_PATHS) else PAGES
