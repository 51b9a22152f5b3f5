import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from console.api.middleware import BodyLimit, HostGuard, RequestContext, ResponseHeaders, UploadLimit
from services.app.container import Foundation
from services.core.admission import Admission, Gate, MemoryHeadroom

URL = "http://127.0.0.1:8501"


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    body = await request.body()
    await PlainTextResponse(f"{len(body)}")(scope, receive, send)


async def defect(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError("secret inner workings")


def send(app: ASGIApp, method: str = "GET", path: str = "/", **arguments: object) -> httpx.Response:
    async def go() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL) as client:
            return await client.request(method, path, **arguments)  # type: ignore[arg-type]

    return asyncio.run(go())


def guarded(**given: object) -> Callable[..., httpx.Response]:
    app = HostGuard(plain, **given)  # type: ignore[arg-type]
    return lambda method="GET", headers=None: send(app, method, "/api/documents", headers=headers or {})


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8501", "127.0.0.1:80", "[::1]:8501", "LOCALHOST", "localhost."]
)
def test_names_of_loopback_are_known(host: str) -> None:
    """Whatever a browser on this machine puts into Host for loopback is let in."""
    assert guarded()(headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "::1"]
)
def test_other_names_are_refused(host: str) -> None:
    """A name that was pointed at this machine from elsewhere (DNS rebinding) gets nothing, not even a GET."""
    answer = guarded()(headers={"Host": host})
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["hint"]


def test_configured_names_and_addresses() -> None:
    """A configured name is let in; plain addresses only where listening beyond loopback was asked for."""
    assert guarded(hosts=["docs.corp"])(headers={"Host": "docs.corp:443"}).status_code == 200
    assert guarded(any_address=True)(headers={"Host": "10.0.0.1:8501"}).status_code == 200
    assert guarded(any_address=True)(headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": URL, "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_pages_of_other_sites_change_nothing(headers: dict[str, str]) -> None:
    """A request that another site's page made a browser send is refused if it could change something."""
    assert guarded()("POST", headers).status_code == 403
    assert guarded()("DELETE", headers).status_code == 403
    assert guarded()("GET", headers).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": URL}, {"Origin": URL, "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}]
)
def test_own_pages_and_programs_may(headers: dict[str, str]) -> None:
    """The console's own pages and programs outside of browsers are not hindered."""
    assert guarded()("POST", headers).status_code == 200


def test_request_id_is_given_and_kept() -> None:
    """Every answer has an id; the client's own is kept if it is harmless, replaced if not."""
    app = RequestContext(plain)
    assert len(send(app).headers["x-request-id"]) == 32
    assert send(app, headers={"X-Request-ID": "trace-7"}).headers["x-request-id"] == "trace-7"
    assert send(app, headers={"X-Request-ID": "a b"}).headers["x-request-id"] != "a b"
    assert len(send(app, headers={"X-Request-ID": "x" * 65}).headers["x-request-id"]) == 32


def test_defect_shows_a_reference_and_nothing_else() -> None:
    """A defect becomes a problem document with the request's id; no traceback reaches the client."""
    answer = send(RequestContext(defect))
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["x-request-id"] in answer.json()["hint"]
    assert "secret" not in answer.text
    assert "ZeroDivision" not in answer.text


def test_body_over_the_limit_is_refused() -> None:
    """Both an announced and a streamed body over the limit are refused with 413, before the application has it all."""
    app = BodyLimit(plain, limit_bytes=10, exempt=("/free",))
    assert send(app, "POST", content=b"x" * 10).text == "10"
    assert send(app, "POST", content=b"x" * 11).status_code == 413

    async def chunks():  # type: ignore[no-untyped-def]
        for _ in range(5):
            yield b"xxx"

    assert send(app, "POST", content=chunks()).status_code == 413
    assert send(app, "POST", "/free/x", content=b"x" * 11).text == "11"


def test_security_headers_leave_an_answer_s_own_alone() -> None:
    """The headers are added, and an answer that is stricter keeps its own."""

    async def strict(scope: Scope, receive: Receive, send: Send) -> None:
        response: Response = PlainTextResponse("x", headers={"Content-Security-Policy": "sandbox"})
        await response(scope, receive, send)

    assert "frame-ancestors 'self'" in send(ResponseHeaders(plain)).headers["content-security-policy"]
    assert send(ResponseHeaders(plain)).headers["x-content-type-options"] == "nosniff"
    assert send(ResponseHeaders(strict)).headers["content-security-policy"] == "sandbox"


def test_a_refusal_is_titled_by_its_status() -> None:
    """A refusal of a kind of its own bears the name of its status, not that of a defect."""
    assert guarded()(headers={"Host": "evil.example"}).json()["title"] == "Misdirected Request"


def test_a_tab_s_file_needs_room_in_memory() -> None:
    """Streamlit takes a file into RAM as a whole: 200 MB of it would pass the budget before anybody could look."""
    admission = Admission()
    admission.set_headroom_source(lambda: MemoryHeadroom(used=90, ceiling=100))
    foundation = cast("Foundation", SimpleNamespace(admission=admission))
    app = UploadLimit(plain, path="/up", limit_bytes=50, foundation=lambda: foundation)
    assert send(app, "PUT", "/up/1", content=b"x" * 10).text == "10"
    refused = send(app, "PUT", "/up/1", content=b"x" * 11)
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert "needs about" in refused.json()["detail"]
    assert send(app, "DELETE", "/up/1").status_code == 200
    assert send(app, "PUT", "/elsewhere", content=b"x" * 11).text == "11"

    async def chunks():  # type: ignore[no-untyped-def]
        yield b"x"

    assert send(app, "PUT", "/up/1", content=chunks()).status_code == 503
    admission.close(Gate.UPLOADS, "budget", "Short of memory.", "Later.")
    assert send(app, "PUT", "/up/1", content=b"x").json()["detail"] == "Short of memory."
    assert admission.reserved == 0
