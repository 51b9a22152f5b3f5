"""Slow uploads: one that brings next to nothing gives its slot to the next in the queue and goes on beside it.

It takes a descriptor and a buffer, no work. So neither a slow line nor somebody who lets files drip in holds others up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from services.core.requests import RequestScope

SLOW_BYTES_PER_SECOND = 32_000
PACE_SECONDS = 4.0


async def paced(body: AsyncIterator[bytes], scope: RequestScope) -> AsyncIterator[bytes]:
    """Yield the pieces of a body; while they come slowly, the upload's slot is free for others."""
    loop = asyncio.get_running_loop()
    received = 0
    timer: asyncio.TimerHandle

    def check() -> None:
        nonlocal received, timer
        if received < SLOW_BYTES_PER_SECOND * PACE_SECONDS and scope.step_aside():
            return
        received = 0
        timer = loop.call_later(PACE_SECONDS, check)

    timer = loop.call_later(PACE_SECONDS, check)
    try:
        async for piece in body:
            received += len(piece)
            yield piece
    finally:
        timer.cancel()
