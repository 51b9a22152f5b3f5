"""The language of a response: of the browser's choice, else of `Accept-Language`, else of the setting.

What is said in a language tells which (`Content-Language`) and on what that depends (`Vary`), for caches between.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.requested_language import LANGUAGE_COOKIE, requested_language
from services.core.i18n import speaking
from services.core.languages import ENGLISH, language_tag

# Machines read these; their texts stay English.
_FOR_MACHINES = ("/metrics", "/healthz", "/readyz", "/openapi.json", "/docs")
_TEXTS = ("application/json", "application/problem+json", "text/html", "text/event-stream", "text/markdown")
# What Streamlit serves is the same in every language, apart from the frame.
_UNSPOKEN = ("/static/", "/_stcore/", "/media/", "/component/", *_FOR_MACHINES)


class ReaderLanguage:
    """Makes the texts of each request in its reader's language; `setting`: of those who ask for none."""

    def __init__(self, app: ASGIApp, *, setting: str) -> None:
        self._app = app
        self._setting = setting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"].startswith(_FOR_MACHINES):
            language = ENGLISH
        else:
            headers = Headers(scope=scope)
            cookie = cookie_parser(headers.get("cookie", "")).get(LANGUAGE_COOKIE, "")
            language = requested_language(cookie, ",".join(headers.getlist("accept-language")), self._setting)

        async def send_with_language(message: Message) -> None:
            if message["type"] == "http.response.start" and not scope["path"].startswith(_UNSPOKEN):
                response = MutableHeaders(scope=message)
                if response.get("content-type", "").startswith(_TEXTS):
                    response.setdefault("Content-Language", language_tag(language))
                    response.add_vary_header("Accept-Language")
                    response.add_vary_header("Cookie")
            await send(message)

        with speaking(language):
            await self._app(scope, receive, send_with_language)
