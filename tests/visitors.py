"""Visitors without a browser: a connection that runs pages, uploads and asks as a browser tab does."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

SECONDS = 120.0


class Visitor:
    """A tab: what it was sent of its page, and what it can do there."""

    def __init__(self, connection: ClientConnection, url: str) -> None:
        self._connection = connection
        self._url = url
        self._states: dict[str, WidgetState] = {}
        self._dropped = WidgetState()
        self.session_id = ""
        self.query = ""
        self.page = ""
        self.elements: dict[str, Element] = {}  # by kind: the uploader and the field for questions
        self.texts: list[str] = []

    def open(self, page: str = "") -> None:
        """Go to a page of the navigation ("" is the chat), and wait until it has run."""
        self._states.clear()
        self.elements.clear()
        self.texts.clear()
        self.page, self.query = page, ""
        self._run()

    def upload(self, *files: tuple[str, bytes], store: bool = True) -> list[str]:
        """Drop files onto the documents page; without `store` the tab is gone before the page has heard of them.

        Returns their ids in Streamlit.
        """
        if self.page != "documents":
            self.open("documents")
        widget = self.elements["file_uploader"].file_uploader.id
        ask = BackMsg()
        ask.file_urls_request.request_id = uuid.uuid4().hex
        ask.file_urls_request.file_names.extend(name for name, _ in files)
        ask.file_urls_request.session_id = self.session_id
        self._connection.send(ask.SerializeToString())
        answer = self._receive("file_urls_response").file_urls_response
        assert not answer.error_msg, answer.error_msg
        state = WidgetState(id=widget)
        with httpx.Client(base_url=self._url, timeout=SECONDS, trust_env=False) as client:
            client.get("/_stcore/host-config").raise_for_status()
            client.get("/_stcore/health").raise_for_status()
            token = client.cookies.get("_streamlit_xsrf") or ""
            for (name, content), where in zip(files, answer.file_urls, strict=True):
                put = client.put(where.upload_url, files={name: (name, content)}, headers={"X-Xsrftoken": token})
                put.raise_for_status()
                told = state.file_uploader_state_value.uploaded_file_info.add()
                told.name, told.size, told.file_id = name, len(content), where.file_id
                told.file_urls.CopyFrom(where)
        self._dropped = state
        if store:
            self.store()
        return [where.file_id for where in answer.file_urls]

    def store(self) -> None:
        """Tell the page of what was dropped last."""
        self._states[self._dropped.id] = self._dropped
        self._run()
        self._states.clear()

    def ask(self, question: str) -> None:
        """Ask on the chat page, and wait until the answer is there."""
        if self.page or "chat_input" not in self.elements:
            self.open()
        field = self.elements["chat_input"].chat_input.id
        state = WidgetState(id=field)
        state.chat_input_value.data = question
        self._states[field] = state
        self._run()
        del self._states[field]
        deadline = time.monotonic() + SECONDS
        while self.elements["chat_input"].chat_input.disabled:
            if time.monotonic() > deadline:
                raise TimeoutError("no answer came")
            time.sleep(0.1)
            self._run()

    def _run(self) -> None:
        message = BackMsg()
        message.rerun_script.query_string = self.query
        message.rerun_script.page_name = self.page
        message.rerun_script.widget_states.widgets.extend(self._states.values())
        self._connection.send(message.SerializeToString())
        # A run that asks for another one at once (st.rerun) ends too, as interrupted.
        while self._receive("script_finished").script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            pass

    def _receive(self, wanted: str) -> ForwardMsg:
        deadline = time.monotonic() + SECONDS
        while True:
            data = self._connection.recv(timeout=deadline - time.monotonic())
            assert isinstance(data, bytes)
            message = ForwardMsg.FromString(data)
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self.session_id = message.new_session.initialize.session_id
            elif kind == "page_info_changed":
                self.query = message.page_info_changed.query_string
            elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
                element = message.delta.new_element
                name = element.WhichOneof("type")
                if name in {"file_uploader", "chat_input"}:
                    self.elements[name] = element
                elif name == "markdown":
                    self.texts.append(element.markdown.body)
            if kind == wanted:
                return message


@contextmanager
def visiting(url: str) -> Iterator[Visitor]:
    """Open a tab on the server at `url`, and close it in the end."""
    address = url.rstrip("/").replace("http://", "ws://") + "/_stcore/stream"
    with connect(
        address, subprotocols=[Subprotocol("streamlit")], origin=Origin(url.rstrip("/")), max_size=None
    ) as connection:
        yield Visitor(connection, url.rstrip("/"))


def visit(url: str, number: int) -> None:
    """Come, look around, hand a document in, ask; leave while a further upload of 2.5 MB is on its way."""
    with visiting(url) as visitor:
        visitor.open()
        visitor.upload((f"note-{number}.txt", f"Pump {number} is covered for {number} months. ".encode() * 20))
        visitor.ask(f"How long is pump {number} covered?")
        visitor.open("memory")
        visitor.upload((f"lost-{number}.txt", b"x" * 2_500_000), store=False)
