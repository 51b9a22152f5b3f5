"""The frame of all pages, Streamlit's index.html: it is told where its server is, leaves for the sign-in page, and
has a style sheet for what Streamlit's settings cannot say.

Without that it guesses: at the address of a page it asks for `/documents/_stcore/health` first, gets two answers 404
and then asks at the root. Every page lies one level below the console's own path, which relative addresses end at.

When a session ends the server closes the WebSocket and refuses the next one. Streamlit's frontend would go on trying,
and show an error; so both are noticed here, in the browser's own functions, before it hears of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.core.i18n import language
from services.core.languages import language_tag

_HEAD = b"<head>"
_HTML = b'<html lang="en"'
_TITLE = b"<title>Streamlit</title>"
_OWN_TITLE = b"<title>Millpond</title>"  # until the page has told its own
_STYLE = Path(__file__).resolve().parents[2] / "assets" / "pages.css"
_SIGNED_OUT = 4401  # as `console.api.middleware.authentication` closes a WebSocket
_SCRIPT = f"""<script>{{
const base = new URL("./", window.location.href).href
window.__streamlit = {{BACKEND_BASE_URL: base}}
const leave = () => {{
  const place = "/" + window.location.href.slice(base.length).split("#")[0]
  window.location.replace(base + "sign-in" + (place === "/" ? "" : "?next=" + encodeURIComponent(place)))
}}
window.WebSocket = class extends window.WebSocket {{
  constructor(...given) {{
    super(...given)
    this.addEventListener("close", (event) => {{ if (event.code === {_SIGNED_OUT}) leave() }})
  }}
}}
const request = window.fetch.bind(window)
window.fetch = async (...given) => {{
  const answer = await request(...given)
  if (answer.status === 401 && answer.url.startsWith(base)) leave()
  return answer
}}
}}</script>""".encode()


class PageFrame:
    """Adds the address of the server and the styles to the frame; `is_other`: whether a path leads to no page."""

    def __init__(self, app: ASGIApp, *, is_other: Callable[[str], bool]) -> None:
        self._app = app
        self._is_other = is_other
        self._head = _HEAD + _SCRIPT + b"<style>" + _STYLE.read_bytes() + b"</style>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A page's address is one name; what lies deeper is no frame.
        if (
            scope["type"] != "http"
            or scope["method"] != "GET"
            or "/" in scope["path"][1:]
            or self._is_other(scope["path"])
        ):
            await self._app(scope, receive, send)
            return
        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        start: Message | None = None
        body = b""

        async def send_addressed(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and _is_frame(message):
                start = message
            elif start is None or message["type"] != "http.response.body":
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    spoken = f'<html lang="{language_tag(language())}"'.encode()
                    body = body.replace(_HTML, spoken, 1).replace(_HEAD, self._head, 1)
                    body = body.replace(_TITLE, _OWN_TITLE, 1)
                    headers = MutableHeaders(scope=start)
                    headers["Content-Length"] = str(len(body))
                    for name in ("etag", "last-modified"):  # they are those of the file
                        del headers[name]
                    await send(start)
                    await send({"type": "http.response.body", "body": body})

        await self._app({**scope, "headers": plain}, receive, send_addressed)


def _is_frame(start: Message) -> bool:
    kind = Headers(raw=start["headers"]).get("content-type", "")
    return start["status"] == 200 and kind.startswith("text/html")
