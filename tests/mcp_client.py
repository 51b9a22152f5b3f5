"""The Model Context Protocol's own client, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


@asynccontextmanager
async def connected(url: str, token: str = "", mode: str = "auto") -> AsyncIterator[Client]:
    """A client that is connected to a console, with an API token."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60.0, trust_env=False) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


def text_of(result: Any) -> str:
    """Return the text of a result."""
    return "\n".join(each.text for each in result.content if each.type == "text")
