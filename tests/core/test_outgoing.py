"""Requests to addresses that people set: what is refused, by the address that is really connected to."""

from __future__ import annotations

import asyncio
import gzip
import http.server
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest

from services.core.outgoing import OutgoingRules, RefusedAddressError, resolve
from services.core.outgoing_transport import AsyncOutgoingTransport, OutgoingTransport
from services.core.settings import Settings
from tests.servers import ROOT

RULES = OutgoingRules.of(Settings(port=8501))
REFUSED = [
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.1.1/",
    "http://2852039166/",  # the same in decimal
    "http://0xA9FEA9FE/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[::169.254.169.254]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://METADATA.google.internal./",
    "http://0.0.0.0:11434/",
    "http://0/",
    "http://[::]:11434/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[ff02::1]/",
    "http://127.0.0.1:8501/v1",  # Millpond itself
    "http://localhost:8501/v1",
    "http://127.1:8501/",
    "http://127.8.9.1:8501/",
    "http://0x7f000001:8501/",
    "http://[::1]:8501/",
    "http://[::ffff:127.0.0.1]:8501/",
    "http://good@169.254.169.254/",
    "http://127.0.0.1:1@169.254.169.254/",
]


class Peer:
    """A server that records requests; `answer` writes the response."""

    def __init__(self, answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> None:
        self.paths: list[str] = []
        peer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                peer.paths.append(self.path)
                answer(self)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"


@contextmanager
def peer(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[Peer]:
    found = Peer(answer)
    thread = threading.Thread(target=found.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield found
    finally:
        found.server.shutdown()
        found.server.server_close()
        thread.join()


def plain(handler: http.server.BaseHTTPRequestHandler, body: bytes = b"[]", **headers: str) -> None:
    handler.send_response(200)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def fetch(url: str, rules: OutgoingRules = RULES, *, seconds: float = 0.0) -> httpx.Response:
    with httpx.Client(transport=OutgoingTransport(url, rules, seconds=seconds), timeout=5.0) as client:
        return client.get(url)


async def fetch_async(url: str, rules: OutgoingRules = RULES) -> httpx.Response:
    async with httpx.AsyncClient(transport=AsyncOutgoingTransport(url, rules), timeout=5.0) as client:
        return await client.get(url)


@pytest.mark.parametrize("url", REFUSED)
def test_what_only_this_machine_can_reach_is_refused(url: str) -> None:
    """Whoever sets an address would read a cloud's keys, or reach this server as if from loopback."""
    with pytest.raises(RefusedAddressError, match="No request is sent to") as caught:
        RULES.require_url(url)
    assert "MILLPOND_ALLOWED_ADDRESSES" in caught.value.hint
    with pytest.raises((RefusedAddressError, httpx.InvalidURL)):  # httpx takes octal numbers for none
        fetch(url)
    with pytest.raises((RefusedAddressError, httpx.InvalidURL)):
        asyncio.run(fetch_async(url))


def test_every_address_of_this_machine_is_itself() -> None:
    """Its own port could be reached by the address that it has in the network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        route.connect(("192.0.2.1", 9))  # nothing is sent: this only tells which address would be used
        own = route.getsockname()[0]
    with pytest.raises(RefusedAddressError, match="Millpond itself"):
        RULES.require(own, 8501, [own])
    RULES.require(own, 8502, [own])


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "10.0.0.5", "192.168.1.9", "172.16.0.3", "fd12::1", "203.0.113.5", "100.64.0.1"]
)
def test_chat_servers_stay_reachable(address: str) -> None:
    """A chat server on this machine or in the private network is the usual case."""
    RULES.require("chat.example", 11434, [address])
    if address != "127.0.0.1":
        RULES.require("chat.example", 8000, ["127.0.0.1", address])


def test_what_a_setting_allows_is_allowed() -> None:
    """Somebody whose model is served at such an address could not use it."""
    allowed = OutgoingRules.of(
        Settings(port=8501, allowed_addresses="169.254.169.254, 127.0.0.0/8, metadata.google.internal, fe80::/10")
    )
    for host, port, address in (
        ("169.254.169.254", 80, "169.254.169.254"),
        ("localhost", 8501, "127.0.0.1"),
        ("metadata.google.internal", 80, "169.254.169.254"),
        ("a.example", 80, "fe80::1%eth0"),
    ):
        allowed.require(host, port, [address])
    with pytest.raises(RefusedAddressError):
        allowed.require("a.example", 80, ["169.254.169.253"])
    with pytest.raises(RefusedAddressError):
        allowed.require("a.example", 80, ["169.254.169.254", "224.0.0.1"])


def test_redirects_are_not_followed() -> None:
    """A server that may be asked could send the request on to one that may not."""

    def redirect(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", f"{target.url}/secret")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with peer(plain) as target, peer(redirect) as first:
        assert fetch(first.url).status_code == 302
        assert asyncio.run(fetch_async(first.url)).status_code == 302
        assert (len(first.paths), target.paths) == (2, [])


REBOUND = """
import asyncio, json, socket, sys
import httpx
from services.core import outgoing
from services.core.outgoing_transport import AsyncOutgoingTransport, OutgoingTransport

port, real, looked_up = int(sys.argv[1]), socket.getaddrinfo, []

def rebound(host, *arguments, **named):
    if host != "rebound.example":
        return real(host, *arguments, **named)
    looked_up.append(host)
    address = "127.0.0.1" if len(looked_up) == 1 else "169.254.169.254"
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

socket.getaddrinfo = rebound
rules, url = outgoing.OutgoingRules(), f"http://rebound.example:{port}/"
result = {}
with httpx.Client(transport=OutgoingTransport(url, rules)) as client:
    result["first"] = client.get(url).status_code  # one look-up: what is checked is what is connected to
result["look-ups"] = len(looked_up)
with httpx.Client(transport=OutgoingTransport(url, rules)) as client:
    try:
        client.get(url)
    except outgoing.RefusedAddressError as error:
        result["second"] = error.message

async def third():
    async with httpx.AsyncClient(transport=AsyncOutgoingTransport(url, rules)) as client:
        await client.get(url)

try:
    asyncio.run(third())
except outgoing.RefusedAddressError as error:
    result["third"] = error.message
print(json.dumps(result))
"""


def test_a_name_that_leads_elsewhere_later_is_refused_then() -> None:
    """A name could be checked at one address and connected to at another."""
    with peer(plain) as server:
        done = subprocess.run(
            [sys.executable, "-c", REBOUND, str(server.port)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        found = json.loads(done.stdout)
        assert (found["first"], found["look-ups"], len(server.paths)) == (200, 1, 1)
        assert "169.254.169.254" in found["second"]
        assert "169.254.169.254" in found["third"]


@contextmanager
def dripping(*, body: bool = False) -> Iterator[Peer]:
    """A peer whose answer comes a little at a time and would take ten seconds: its headers, or what follows them."""
    over = threading.Event()

    def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if body:
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
        for number in range(200):
            with suppress(OSError):  # whoever asked has gone
                handler.wfile.write(b" " if body else f"X-{number}: y\r\n".encode())
            if over.wait(0.05):
                return

    with peer(drip) as server:
        try:
            yield server
        finally:
            over.set()


def behind(monkeypatch: pytest.MonkeyPatch, proxy: Peer) -> None:
    """Let the environment name a proxy."""
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_only_http_and_an_answer_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server could keep a thread for good, fill the memory, or be asked over another protocol."""
    for scheme in ("ftp", "file", "gopher"):
        with pytest.raises(httpx.UnsupportedProtocol):
            fetch(f"{scheme}://127.0.0.1:9/")

    with dripping() as server, pytest.raises(httpx.ReadTimeout):
        fetch(server.url, seconds=0.4)
    with peer(lambda handler: plain(handler, gzip.compress(b"0" * 1000), Content_Encoding="gzip")) as server:
        with pytest.raises(httpx.RemoteProtocolError, match="packed"):
            fetch(server.url)
        with pytest.raises(httpx.RemoteProtocolError, match="packed"):
            asyncio.run(fetch_async(server.url))
    monkeypatch.setattr("services.core.outgoing_transport.MOST_BYTES", 10_000)
    with peer(lambda handler: plain(handler, b"0" * 20_000)) as server, pytest.raises(httpx.RemoteProtocolError):
        fetch(server.url)


def test_a_proxy_of_the_environment_is_used_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a company's proxy leads out it must be used; it must not lead to what is refused."""
    with peer(plain) as proxy:
        behind(monkeypatch, proxy)
        assert fetch("http://203.0.113.5:81/models").status_code == 200
        assert asyncio.run(fetch_async("http://203.0.113.5:81/again")).status_code == 200
        assert proxy.paths == ["http://203.0.113.5:81/models", "http://203.0.113.5:81/again"]
        for url in ("http://169.254.169.254/", "http://metadata.google.internal/"):
            with pytest.raises(RefusedAddressError):
                fetch(url)
            with pytest.raises(RefusedAddressError):
                asyncio.run(fetch_async(url))
        assert len(proxy.paths) == 2


@pytest.mark.parametrize("proxied", [False, True])
def test_a_byte_at_a_time_does_not_last(monkeypatch: pytest.MonkeyPatch, *, proxied: bool) -> None:
    """Each byte would begin the time limit anew: a server, or a proxy on the way, could hold a thread for good."""
    for body in (False, True):
        with dripping(body=body) as server:
            url = server.url
            if proxied:
                behind(monkeypatch, server)
                url = "http://203.0.113.5/"
            began = time.monotonic()
            with pytest.raises(httpx.ReadTimeout):
                fetch(url, seconds=0.4)
            assert time.monotonic() - began < 5
            assert len(server.paths) == 1


def test_an_answer_through_a_proxy_is_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes by a proxy could fill the memory."""
    monkeypatch.setattr("services.core.outgoing_transport.MOST_BYTES", 10_000)
    with peer(lambda handler: plain(handler, b"0" * 20_000)) as proxy:
        behind(monkeypatch, proxy)
        with pytest.raises(httpx.RemoteProtocolError):
            fetch("http://203.0.113.5/")
        with pytest.raises(httpx.RemoteProtocolError):
            asyncio.run(fetch_async("http://203.0.113.5/"))


def test_an_impossible_name_is_an_ordinary_failure() -> None:
    """A label that is too long would be a defect, with a traceback in the log."""
    with pytest.raises(OSError):  # noqa: PT011 - the resolver's own words
        resolve(f"{'a' * 70}.example", 80)
    with pytest.raises(httpx.ConnectError):
        fetch("http://no-such-host.invalid/")
