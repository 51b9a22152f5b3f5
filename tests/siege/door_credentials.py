"""Payloads made of credentials that count: altered ones, right ones in wrong places, and the Model Context Protocol
without any."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from urllib.parse import quote

from tests.siege.door_payloads import Payload
from tests.team import COOKIE, Member

MCP_CALLS: list[object] = [
    {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}},
    {"jsonrpc": "2.0", "id": 1, "method": "ping"},
    {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
    {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_documents", "arguments": {}}},
    {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask", "arguments": {"question": "x"}}},
    {"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "millpond://documents/1"}},
    {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}},
    [{"jsonrpc": "2.0", "id": number, "method": "tools/list"} for number in range(50)],
    {},
    None,
]
MCP_HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


def altered(secret: str) -> Iterator[str]:
    """Yield what is almost a secret, or made of what is stored of it."""
    flipped = "A" if secret[-1] != "A" else "B"
    yield from (secret[:-1], secret[1:], secret[:-1] + flipped, flipped + secret[1:], secret[::-1], secret.swapcase())
    yield from (secret + "=", secret + ".", secret + "%00", secret + secret, f"{secret},{secret}")
    yield from (secret.lower(), secret.upper(), secret[: len(secret) // 2], f"%{ord(secret[0]):02x}{secret[1:]}")
    digest = hashlib.sha256(secret.encode())
    yield digest.hexdigest()
    yield base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
    yield base64.b64encode(secret.encode()).decode()
    yield secret[:10] + "%" * (len(secret) - 10)
    yield secret[:10] + "_" * (len(secret) - 10)


def credential_payloads(origin: str, member: Member) -> Iterator[Payload]:
    """Yield every payload made of a person's session and API token."""
    session, token = member.session, member.tokens["write"]
    page = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
    for each in altered(token):
        yield Payload("altered token", headers={"Authorization": f"Bearer {each}"})
        yield Payload("altered token", "POST", "/v1/chat/completions", {"Authorization": f"Bearer {each}"}, b"{}")
    for each in altered(session):
        yield Payload("altered session", headers=page | {"Cookie": f"{COOKIE}={each}"})
    for secret in (session, token):
        asked = quote(secret, safe="")
        for name in ("token", "access_token", "api_key", "key", "session", COOKIE):
            yield Payload("credential in the address", path=f"/api/collections?{name}={asked}")
        basic = base64.b64encode(f"{member.name}:{secret}".encode()).decode()
        for value in (f"Basic {basic}", f"Token {secret}", f"Bearer x, Bearer {secret}", f"ApiKey {secret}", secret):
            yield Payload("credential in another form", headers={"Authorization": value})
        for name in ("X-API-Key", "X-Auth-Token", "API-Key", "Proxy-Authorization", "X-Millpond-Session"):
            yield Payload("credential in another header", headers={name: f"Bearer {secret}"})
            yield Payload("credential in another header", headers={name: secret})
    yield Payload("session as a token", headers={"Authorization": f"Bearer {session}"})
    for name in (COOKIE.upper(), "__Host-millpond", f"{COOKIE}-device", "millpond-device", "session"):
        yield Payload("session under another name", headers=page | {"Cookie": f"{name}={session}"})
    yield Payload("token as a session", headers=page | {"Cookie": f"{COOKIE}={token}"})
    yield Payload("two sessions", headers=page | {"Cookie": f"{COOKIE}={session}; {COOKIE}=x"})
    for foreign in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        for method, path in (("POST", "/api/collections"), ("DELETE", "/api/collections/1"), ("POST", "/sign-out")):
            yield Payload("another site", method, path, foreign | {"Cookie": f"{COOKIE}={session}"}, b"{}")


def mcp_payloads(origin: str, member: Member) -> Iterator[Payload]:
    """Yield messages of the Model Context Protocol from somebody who has no token that counts."""
    token = member.tokens["ask"]
    ways: list[dict[str, str]] = [
        {},
        {"Mcp-Session-Id": "0" * 32},
        {"MCP-Protocol-Version": "2026-07-28"},
        {"Authorization": f"Bearer {token[:-1]}"},
        {"Cookie": f"{COOKIE}={member.session}", "Origin": origin, "Sec-Fetch-Site": "same-origin"},
        {"Cookie": f"{COOKIE}={member.session}", "Origin": "http://evil.example"},
        {"Authorization": f"Basic {token}"},
    ]
    for way in ways:
        for call in MCP_CALLS:
            yield Payload("protocol of tools", "POST", "/mcp", MCP_HEADERS | way, json.dumps(call).encode())
        for method in ("GET", "DELETE", "PUT"):
            yield Payload("protocol of tools", method, "/mcp", MCP_HEADERS | way)
    for path in ("/mcp/", "/mcp/x", "/mcp%2f", "/MCP", "//mcp", "/mcp;x", "/healthz/../mcp", "/mcp?token=" + token):
        yield Payload("protocol of tools", "POST", path, MCP_HEADERS, json.dumps(MCP_CALLS[2]).encode())
