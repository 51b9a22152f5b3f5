from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.servers import Server


@contextmanager
def tab(server: Server, cookie: str = "") -> Iterator[ClientConnection]:
    """A connection such as a browser tab has, without the browser; `cookie`: what it shows at the door."""
    url = server.url.replace("http", "ws", 1) + "/_stcore/stream"
    with connect(
        url,
        subprotocols=[Subprotocol("streamlit")],
        origin=Origin(server.url),
        additional_headers={"Cookie": cookie} if cookie else None,
        max_size=None,
        ssl=server.trusted,
    ) as connection:
        yield connection


def run_page(connection: ClientConnection) -> None:
    """Have the page run once, and wait until it has."""
    message = BackMsg()
    message.rerun_script.query_string = ""
    connection.send(message.SerializeToString())
    while True:
        data = connection.recv(timeout=60)
        assert isinstance(data, bytes)
        if ForwardMsg.FromString(data).WhichOneof("type") == "script_finished":
            return
