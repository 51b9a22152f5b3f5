"""Places for pages that open in large number; WebSockets of a real server are in tests/cli/test_connections.py."""

from __future__ import annotations

import asyncio

from console.ui.streamlit.tab_socket import PageStarts


def test_pages_start_in_turn_by_address() -> None:
    """One address with many pages lets others through; all places are returned."""

    async def go() -> list[str]:
        starts, order = PageStarts(1), []
        open_end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def page(address: str) -> None:
            assert await starts.wait(address, open_end)
            order.append(address)
            await asyncio.sleep(0)
            starts.release(address)

        await asyncio.gather(*(page(address) for address in ("many",) * 5 + ("other", "third")))
        assert await starts.wait("last", open_end)  # every place was returned
        return order

    assert asyncio.run(go()) == ["many", "other", "third", "many", "many", "many", "many"]


def test_whoever_leaves_holds_no_place() -> None:
    """A page that goes away while it waits, or whose wait is cancelled, keeps no place from others."""

    async def go() -> bool:
        starts = PageStarts(1)
        loop = asyncio.get_running_loop()
        stays: asyncio.Future[None] = loop.create_future()
        leaves: asyncio.Future[None] = loop.create_future()
        assert await starts.wait("a", stays)
        left = asyncio.create_task(starts.wait("b", leaves))
        cancelled = asyncio.create_task(starts.wait("b", stays))
        next_one = asyncio.create_task(starts.wait("c", stays))
        await asyncio.sleep(0)
        leaves.set_result(None)
        cancelled.cancel()
        assert not await left
        starts.release("a")
        return await asyncio.wait_for(next_one, 5)

    assert asyncio.run(go())
