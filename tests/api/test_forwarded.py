"""Who the client is: named proxies are believed, nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from console.api.middleware.forwarded import DIRECT, Forwarded, client_of_hops
from services.core.networks import parsed_networks

PROXIES = "10.0.0.0/8, 192.168.1.1, fd00::/8"


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9:4711"], "203.0.113.9"),
        (["1.1.1.1, 203.0.113.9"], "203.0.113.9"),  # the first one is invented by the client
        (["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, 10.1.2.3, 192.168.1.1"], "203.0.113.9"),  # behind two named proxies
        (["10.1.2.3, 10.1.2.4"], "10.1.2.3"),  # all of them are: the first is the client
        (["203.0.113.9, ::ffff:10.1.2.3"], "203.0.113.9"),
        (["[2001:db8::7]:443"], "2001:db8::7"),
        (["2001:db8::7"], "2001:db8::7"),
        (["203.0.113.9, unknown"], None),
        (["203.0.113.9, unknown, 10.1.2.3"], "10.1.2.3"),
        (["127.0.0.1"], "127.0.0.1"),
        (["203.0.113.9, 0x7f.1"], None),
        ([""], None),
        (["x" * 5000], None),
        ([", ".join(["10.0.0.1"] * 5000)], "10.0.0.1"),
    ],
)
def test_the_last_hop_that_is_no_proxy_is_the_client(headers: list[str], client: str | None) -> None:
    """A client could call itself anybody, or everybody would be the proxy."""
    found = client_of_hops(headers, parsed_networks(PROXIES)).address
    assert (None if found is None else str(found)) == client


def passed_on(peer: str, headers: dict[str, str], *, proxies_only: bool = False, path: str = "/api") -> dict[str, Any]:
    """Return what the application sees of a request, with `status` 403 if it sees nothing."""
    seen: dict[str, Any] = {}

    async def application(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.update(scope)

    async def send(message: Message) -> None:
        seen.setdefault("status", message.get("status"))

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "scheme": "http", "client": (peer, 1), "headers": raw}
    asyncio.run(Forwarded(application, proxies=PROXIES, proxies_only=proxies_only)(scope, receive, send))
    return seen


def test_only_named_proxies_are_believed() -> None:
    """Another address in each request would escape every limit; and nothing behind may read those headers itself."""
    said = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Real-IP": "1.1.1.1", "Accept": "*/*"}
    believed = passed_on("10.0.0.7", said)
    assert (believed["client"], believed["scheme"], believed[DIRECT]) == (("203.0.113.9", 0), "https", False)
    for peer in ("127.0.0.1", "203.0.113.1", "::1"):
        ignored = passed_on(peer, said)
        assert (ignored["client"], ignored["scheme"], ignored[DIRECT]) == ((peer, 1), "http", False)
        assert ignored["headers"] == believed["headers"] == [(b"accept", b"*/*")]
    assert passed_on("127.0.0.1", {})[DIRECT]


@pytest.mark.parametrize(
    ("hops", "said", "scheme"),
    [
        ("203.0.113.9", "https", "https"),
        ("203.0.113.9", "HTTP, https", "https"),  # the first one is invented
        ("203.0.113.9, 10.0.0.1", "https, http", "https"),  # TLS ended at the outer one of two proxies
        ("203.0.113.9, 10.0.0.1", "https", "https"),
        ("203.0.113.9", "javascript", "http"),
        ("203.0.113.9", "", "http"),
    ],
)
def test_the_scheme_is_that_of_the_same_hop(hops: str, said: str, scheme: str) -> None:
    """Cookies would be sent in plain text, or never."""
    assert passed_on("10.0.0.7", {"X-Forwarded-For": hops, "X-Forwarded-Proto": said})["scheme"] == scheme


def test_past_the_proxy_nobody_comes() -> None:
    """Tokens would be sent in plain text to a port that only the proxy was to use."""
    assert passed_on("203.0.113.9", {}, proxies_only=True)["status"] == 403
    assert passed_on("203.0.113.9", {"X-Forwarded-For": "10.0.0.7"}, proxies_only=True)["status"] == 403
    for peer in ("10.0.0.7", "127.0.0.1", "::1"):
        assert passed_on(peer, {}, proxies_only=True)["client"] == (peer, 1)
    assert passed_on("203.0.113.9", {}, proxies_only=True, path="/healthz")["client"] == ("203.0.113.9", 1)


def test_other_nodes_may_come_past_the_proxy() -> None:
    """The memory of a node behind a proxy could not be seen at another node; the door checks what they bring."""
    token = {"Authorization": "Millpond-Node e30.00"}
    assert passed_on("203.0.113.9", token, proxies_only=True)["client"] == ("203.0.113.9", 1)
    said = passed_on("203.0.113.9", {**token, "X-Forwarded-For": "10.0.0.7"}, proxies_only=True)
    assert said["client"] == ("203.0.113.9", 1)
    for other in ("Bearer e30.00", "Millpond-Node", "Millpond-Nodes e30.00"):
        assert passed_on("203.0.113.9", {"Authorization": other}, proxies_only=True)["status"] == 403
