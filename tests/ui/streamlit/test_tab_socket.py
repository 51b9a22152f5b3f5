"""Places for pages that open in large number; WebSockets of a real server are in tests/cli/test_connections.py."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streamlit.proto.BackMsg_pb2 import BackMsg

from console.ui.streamlit.tab_socket import PATH, STARTS_AT_ONCE, PageStarts, TabSocket

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send


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


def test_a_page_whose_turn_comes_when_nothing_is_left_gets_no_session() -> None:
    """Of a thousand pages that came while there were descriptors, those that wait would take the last ones."""
    begun: list[str] = []
    room = [True]
    first = BackMsg()
    first.rerun_script.query_string = ""

    async def go() -> list[Message]:
        loop = asyncio.get_running_loop()
        held, stays = loop.create_future(), loop.create_future()
        sent: list[Message] = []

        async def page(scope: Scope, receive: Receive, send: Send) -> None:
            begun.append(scope["client"][0])
            await held

        socket = TabSocket(page, first_seconds=30.0, has_room=lambda: room[0])

        async def visit(number: int) -> None:
            coming = [{"type": "websocket.connect"}, {"type": "websocket.receive", "bytes": first.SerializeToString()}]

            async def receive() -> Message:
                if coming:
                    return coming.pop(0)
                await stays
                return {"type": "websocket.disconnect", "code": 1000}

            async def send(message: Message) -> None:
                sent.append(message)

            await socket({"type": "websocket", "path": PATH, "client": (str(number), 1)}, receive, send)

        visits = [asyncio.create_task(visit(number)) for number in range(STARTS_AT_ONCE + 1)]
        while len(begun) < STARTS_AT_ONCE:
            await asyncio.sleep(0)
        room[0] = False
        held.set_result(None)
        await asyncio.gather(*visits)
        return [message for message in sent if message["type"] == "websocket.close"]

    closed = asyncio.run(go())
    assert len(begun) == STARTS_AT_ONCE
    assert len(closed) == 1
