"""A page of a browser through a front: its WebSocket, which comes back by itself when it is lost."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.api.tab import run_page
from tests.front.fronts import Front

_AGAIN_SECONDS = 0.05
_OPEN_SECONDS = 20.0  # beside other tests; how long it takes is not measured


@dataclass
class Page:
    """A tab with the front's cookie, as a browser has one once it has loaded the page."""

    front: Front
    node: str
    cookie: str
    _socket: ClientConnection | None = field(default=None, init=False)
    _closing: ExitStack = field(default_factory=ExitStack, init=False)

    def open(self) -> None:
        """Connect and have the page run once.

        Raises:
            WebSocketException, OSError: it cannot be done at the moment.
        """
        self.close()
        opening = connect(
            self.front.url.replace("http", "ws", 1) + "/_stcore/stream",
            subprotocols=[Subprotocol("streamlit")],
            origin=Origin(f"https://{urlsplit(self.front.url).netloc}"),
            additional_headers={"Cookie": self.cookie} if self.cookie else None,
            max_size=None,
            ssl=self.front.trusted,
            open_timeout=_OPEN_SECONDS,
        )
        self._socket = self._closing.enter_context(opening)
        assert self._socket.response is not None
        headers = self._socket.response.headers
        self.node = headers["X-Millpond-Node"]
        self.cookie = headers.get("Set-Cookie", self.cookie).partition(";")[0]
        run_page(self._socket)

    def wait_until_lost(self, seconds: float) -> bool:
        """Return whether the connection ended within so many seconds."""
        assert self._socket is not None
        deadline = time.monotonic() + seconds
        try:
            while (rest := deadline - time.monotonic()) > 0:
                self._socket.recv(timeout=rest)
        except TimeoutError:
            return False
        except WebSocketException:
            return True
        return False

    def open_again(self, seconds: float) -> None:
        """Connect as often as it takes; fails when it takes longer."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.open()
            except (WebSocketException, OSError):
                assert time.monotonic() < deadline, f"the page did not come back within {seconds:g} s"
                time.sleep(_AGAIN_SECONDS)  # as a browser's page does
            else:
                return

    def close(self) -> None:
        self._closing.close()


def opened_page(front: Front, node: str = "") -> Page:
    """Return a page that has run, on a certain node if one is named."""
    page = Page(front, node, f"millpond_node={node}" if node else "")
    page.open()
    assert node in {"", page.node}
    return page
