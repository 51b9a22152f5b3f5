"""The id and the log line of a request, and the answer to a defect."""

from __future__ import annotations

import re
import time
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.api.problems import problem_response
from services.operations.logging import request_scope
from services.texts import _

log = structlog.get_logger(__name__)
access = structlog.get_logger("console.access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NOISE = ("/static/", "/_stcore/", "/media/", "/component/", "/healthz", "/readyz", "/docs/assets/")


class RequestContext:
    """Gives each request an id (the client's own if it is harmless), logs it, and answers for defects."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        with request_scope(request_id):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception:
                log.exception("defect", path=scope["path"])
                if status:  # the answer is under way: all that can be done is to break it off
                    raise
                response = problem_response(
                    500,
                    _("Something went wrong on our side."),
                    _("The log has the details under the reference {reference}.").format(reference=request_id),
                    path=scope["path"],
                )
                await response(scope, receive, send_with_id)
            finally:
                noisy = scope["path"].startswith(_NOISE) and status < 500
                (access.debug if noisy else access.info)(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    ms=round((time.perf_counter() - started) * 1000, 1),
                )
