"""A browser session without the browser: what Streamlit's page sends and expects over its web socket.

Two hundred real browsers would leave the service no processor to be measured on. A few real ones are in `browsers`.
"""

from __future__ import annotations

import logging
import socket
import struct
import time
from types import TracebackType
from typing import Self
from uuid import uuid4

import httpx
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import UploadedFileInfo
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

PATIENCE_SECONDS = 120.0
UPLOADER, CHAT_INPUT = "file_uploader", "chat_input"


class PageError(Exception):
    """A page did not do what it should."""


class PageRefusedError(PageError):
    """The service did not take a file through a page; `answer` says why."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(f"the upload through the page was refused: {answer.status_code} {answer.text[:200]}")
        self.answer = answer


class PageSession:
    """One tab: opens pages, hands files in through the page, asks in the page; leaves politely or not."""

    def __init__(self, url: str, client: httpx.Client) -> None:
        self._client = client
        self._url = url
        self._opening = connect(
            url.replace("http://", "ws://") + "/_stcore/stream",
            subprotocols=[Subprotocol("streamlit")],
            origin=Origin(url),
            max_size=None,
            logger=_quiet(),
            open_timeout=PATIENCE_SECONDS,
        )
        self._widgets: dict[str, str] = {}
        self._page = ""

    def __enter__(self) -> Self:
        self._connection = self._opening.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opening.__exit__(kind, error, trace)

    def visit(self, page: str) -> None:
        """Open a page and wait until its script has run."""
        self._page = page
        self._widgets = {}
        self._run(BackMsg())

    def upload(self, name: str, content: bytes) -> None:
        """Hand a file in through the open page's uploader."""
        widget = self._widget(UPLOADER)
        request = BackMsg()
        request.file_urls_request.request_id = uuid4().hex
        request.file_urls_request.file_names.append(name)
        self._connection.send(request.SerializeToString())
        answer = self._wait_for("file_urls_response").file_urls_response
        if answer.error_msg or not answer.file_urls:
            raise PageError(f"no address for the upload: {answer.error_msg}")
        place = answer.file_urls[0]
        self._put(place.upload_url, name, content)
        message = BackMsg()
        state = message.rerun_script.widget_states.widgets.add()
        state.id = widget
        found = UploadedFileInfo(name=name, size=len(content), file_id=place.file_id)
        found.file_urls.CopyFrom(place)
        state.file_uploader_state_value.uploaded_file_info.append(found)
        self._run(message)

    def _put(self, path: str, name: str, content: bytes) -> None:
        # A client of its own: each session has its own cookies, as each browser has.
        with httpx.Client(base_url=self._url, timeout=PATIENCE_SECONDS, trust_env=False) as client:
            client.get("/_stcore/health").raise_for_status()
            token = client.cookies.get("_streamlit_xsrf", "")
            answer = client.put(path, files={"file": (name, content)}, headers={"X-Xsrftoken": token})
        if answer.status_code >= 400:
            raise PageRefusedError(answer)

    def ask(self, question: str) -> None:
        """Ask in the open chat page and look twice at how the answer grows."""
        message = BackMsg()
        state = message.rerun_script.widget_states.widgets.add()
        state.id = self._widget(CHAT_INPUT)
        state.chat_input_value.data = question
        self._run(message)
        for _look in range(2):
            time.sleep(0.3)
            self._run(BackMsg())

    def break_off(self) -> None:
        """Vanish without a goodbye, as a machine does that loses its network: the connection is reset."""
        raw = self._connection.socket
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.shutdown(socket.SHUT_RDWR)

    def _widget(self, kind: str) -> str:
        if kind not in self._widgets:
            raise PageError(f"the page {self._page} has no {kind}")
        return self._widgets[kind]

    def _run(self, message: BackMsg) -> None:
        message.rerun_script.page_name = self._page
        message.rerun_script.query_string = message.rerun_script.query_string  # a rerun, even with nothing else said
        self._connection.send(message.SerializeToString())
        self._wait_for("script_finished")

    def _wait_for(self, kind: str) -> ForwardMsg:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            data = self._connection.recv(timeout=max(0.01, deadline - time.monotonic()))
            if not isinstance(data, bytes):
                continue
            message = ForwardMsg.FromString(data)
            self._note(message)
            found = message.WhichOneof("type")
            if found == "session_event" and message.session_event.HasField("script_compilation_exception"):
                raise PageError("the page could not be compiled")
            # A run that was asked to run again (st.rerun) says that it ended, too; the next one follows at once.
            early = found == "script_finished" and message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN
            if found == kind and not early:
                return message

    def _note(self, message: ForwardMsg) -> None:
        if message.WhichOneof("type") != "delta" or message.delta.WhichOneof("type") != "new_element":
            return
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind == "exception":
            raise PageError(f"the page {self._page} shows an exception: {element.exception.message[:300]}")
        if kind == UPLOADER:
            self._widgets[UPLOADER] = element.file_uploader.id
        elif kind == CHAT_INPUT:
            self._widgets[CHAT_INPUT] = element.chat_input.id


def _quiet() -> logging.Logger:
    """Return a logger for connections: that some of them break is meant."""
    logger = logging.getLogger("tests.soak.pages")
    logger.setLevel(logging.CRITICAL + 1)
    return logger
