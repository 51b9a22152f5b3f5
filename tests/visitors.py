"""Visitors without a browser: a connection that runs pages, uploads and asks as a browser tab does.

Two hundred real browsers would leave the service no processor to be measured on.
"""

from __future__ import annotations

import json
import logging
import socket
import struct
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from console.ui.streamlit.internals import TICK

SECONDS = 120.0
UPLOADER, CHAT_INPUT = "file_uploader", "chat_input"


class PageError(Exception):
    """A page did not do what it should."""


class PageRefusedError(PageError):
    """The service did not take a file through a page; `answer` says why."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(f"the upload through the page was refused: {answer.status_code} {answer.text[:200]}")
        self.answer = answer


class Visitor:
    """A tab: what it was sent of its page, and what it can do there. Every call raises PageError when it goes wrong."""

    def __init__(self, connection: ClientConnection, url: str, cookie: str = "") -> None:
        self._connection = connection
        self._headers = {"Cookie": cookie, "Origin": url} if cookie else {}
        self._url = url
        self._states: dict[str, WidgetState] = {}
        self._dropped = WidgetState()
        self.session_id = ""
        self.query = ""
        self.page = ""
        self.elements: dict[str, Element] = {}  # by kind: the uploader and the field for questions
        self.buttons: dict[str, tuple[str, str]] = {}  # by label: widget and fragment ("": none)
        self.fields: dict[str, tuple[str, str]] = {}  # by label: the same
        self.choices: dict[str, tuple[str, list[str]]] = {}  # by label: widget, and its options
        self.fragments: set[str] = set()
        self.beats: dict[str, str] = {}  # by fragment: the trigger of its heartbeat
        self.table = "", ""  # widget and fragment of the table that was drawn last
        self.dialogs: list[str] = []  # titles of those that were opened
        self.texts: list[str] = []
        self.menu: list[str] = []  # paths of the pages in it
        self.hashes: dict[str, str] = {}  # by path of a page: how messages name it
        self.runs: list[str] = []  # hashes of the pages that were run

    def open(self, page: str = "", query: str = "") -> None:
        """Go to a page of the navigation ("" is the chat), with a query in its address, and wait until it has run."""
        self._states.clear()
        self.elements.clear()
        self.buttons.clear()
        self.fragments.clear()
        self.beats.clear()
        self.dialogs.clear()
        self.texts.clear()
        self.page, self.query = page, query
        self._run()

    def upload(self, *files: tuple[str, bytes], store: bool = True) -> list[str]:
        """Drop files onto the documents page; without `store` the tab is gone before the page has heard of them.

        Returns their ids in Streamlit.
        """
        if self.page != "documents":
            self.open("documents")
        widget = self._element(UPLOADER).file_uploader.id
        ask = BackMsg()
        ask.file_urls_request.request_id = uuid.uuid4().hex
        ask.file_urls_request.file_names.extend(name for name, _ in files)
        ask.file_urls_request.session_id = self.session_id
        self._connection.send(ask.SerializeToString())
        answer = self._receive("file_urls_response").file_urls_response
        if answer.error_msg or len(answer.file_urls) != len(files):
            raise PageError(f"no address for the upload: {answer.error_msg}")
        state = WidgetState(id=widget)
        # A client of its own: each tab has its own cookies, as each browser has.
        with httpx.Client(base_url=self._url, timeout=SECONDS, trust_env=False) as client:
            client.get("/_stcore/health", headers=self._headers).raise_for_status()
            token = client.cookies.get("_streamlit_xsrf") or ""
            headers = {"X-Xsrftoken": token} | self._headers
            if self._headers:  # a header of ours replaces what the client has in its jar
                headers["Cookie"] += f"; _streamlit_xsrf={token}"
            for (name, content), where in zip(files, answer.file_urls, strict=True):
                put = client.put(where.upload_url, files={name: (name, content)}, headers=headers)
                if put.is_error:
                    raise PageRefusedError(put)
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

    def ask(self, question: str, *, wait: bool = True) -> None:
        """Ask on the chat page, and look at the answer until it is there, or once if it is not waited for."""
        if self.page or CHAT_INPUT not in self.elements:
            self.open()
        field = self._element(CHAT_INPUT).chat_input.id
        state = WidgetState(id=field)
        state.chat_input_value.data = question
        self._states[field] = state
        self._run()
        del self._states[field]
        deadline = time.monotonic() + SECONDS
        while wait and self._element(CHAT_INPUT).chat_input.disabled:
            if time.monotonic() > deadline:
                raise PageError("no answer came")
            time.sleep(0.1)
            self._run()

    def press(self, label: str, *, with_tick_of: str | None = None) -> None:
        """Press a button, alone or in the moment in which the fragment `with_tick_of` ticks."""
        widget, fragment = self.buttons[label]
        state = WidgetState(id=widget)
        state.trigger_value = True
        self._states[widget] = state
        self._run(fragment if with_tick_of is None else with_tick_of)
        del self._states[widget]

    def select_row(self, *rows: int) -> None:
        """Tick rows of the page's table alone; they stay until another page is opened."""
        self._select(rows)
        self._run(self.table[1])

    def type_into(self, label: str, text: str, *, rows: tuple[int, ...]) -> None:
        """Type into a field, in the moment in which the table tells that these rows alone are ticked."""
        self._select(rows)
        widget, fragment = self.fields[label]
        self._states[widget] = WidgetState(id=widget, string_value=text)
        self._run(fragment)

    def choose(self, label: str, place: int, *, with_tick_of: str) -> None:
        """Choose one of a group of buttons in the moment in which a fragment ticks; "" is the page itself."""
        widget, options = self.choices[label]
        self._states[widget] = WidgetState(id=widget)
        self._states[widget].string_array_value.data.append(options[place])
        self._run(with_tick_of)

    def _select(self, rows: tuple[int, ...]) -> None:
        state = WidgetState(id=self.table[0])
        state.string_value = json.dumps({"selection": {"rows": list(rows), "columns": []}})
        self._states[state.id] = state

    def tick(self, fragment: str) -> None:
        """Run one fragment, as its heartbeat does, in the moment in which all others tick, too."""
        for beat in self.beats.values():
            state = WidgetState(id=f"$$STREAMLIT_INTERNAL_KEY_{beat}__events")
            state.json_trigger_value = json.dumps([{"event": "beat", "value": 1}])
            self._states[state.id] = state
        self._run(fragment)
        self._states = {name: state for name, state in self._states.items() if not state.json_trigger_value}

    def leave_in_a_tick(self, page: str, fragment: str) -> None:
        """Follow a link to another page while a fragment of this one ticks: the tick still names this page."""
        left, self.page = self.page, page
        for name, part in ((page, ""), (left, fragment)):
            message = BackMsg()
            message.rerun_script.fragment_id = part
            message.rerun_script.page_script_hash = self.hashes[name]
            self._connection.send(message.SerializeToString())
        self._receive("script_finished")

    def closed(self, seconds: float) -> int:
        """Return the code with which the service closed the connection; fails if it has not done so by then."""
        deadline = time.monotonic() + seconds
        try:
            while True:
                self._connection.recv(timeout=max(0.001, deadline - time.monotonic()))
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else 0
        except TimeoutError as error:
            raise PageError("the connection is still open") from error

    def wait_run(self, seconds: float) -> None:
        """Wait for a run of the page that the service begins by itself; fails if it has not ended by then."""
        self.texts.clear()
        self._receive("script_finished", seconds)

    def break_off(self) -> None:
        """Vanish without a goodbye, as a machine does that loses its network: the connection is reset."""
        raw = self._connection.socket
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.shutdown(socket.SHUT_RDWR)

    def _element(self, kind: str) -> Element:
        if kind not in self.elements:
            raise PageError(f"the page {self.page or 'chat'} has no {kind}")
        return self.elements[kind]

    def _run(self, fragment: str = "") -> None:
        message = BackMsg()
        message.rerun_script.fragment_id = fragment
        message.rerun_script.query_string = self.query
        message.rerun_script.page_name = self.page
        message.rerun_script.widget_states.widgets.extend(self._states.values())
        self._connection.send(message.SerializeToString())
        # A run that asks for another one at once (st.rerun) ends too, as interrupted.
        while self._receive("script_finished").script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            pass

    def _receive(self, wanted: str, seconds: float = SECONDS) -> ForwardMsg:
        deadline = time.monotonic() + seconds
        while True:
            data = self._connection.recv(timeout=max(0.01, deadline - time.monotonic()))
            if not isinstance(data, bytes):
                raise PageError("the service sent text where messages are bytes")
            message = ForwardMsg.FromString(data)
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self.session_id = message.new_session.initialize.session_id
                self.runs.append(message.new_session.page_script_hash)
            elif kind == "navigation":
                pages = message.navigation.app_pages
                self.menu = [page.url_pathname for page in pages if not page.is_hidden]
                self.hashes = {page.url_pathname: page.page_script_hash for page in pages}
            elif kind == "page_info_changed":
                self.query = message.page_info_changed.query_string
            elif kind == "session_event" and message.session_event.HasField("script_compilation_exception"):
                raise PageError(f"the page {self.page or 'chat'} could not be compiled")
            elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
                self._note(message.delta.new_element, message.delta.fragment_id)
            elif kind == "delta" and message.delta.add_block.HasField("dialog"):
                self.dialogs.append(message.delta.add_block.dialog.title)
            if kind == wanted:
                return message

    def _note(self, element: Element, fragment: str) -> None:
        name = element.WhichOneof("type")
        if fragment:
            self.fragments.add(fragment)
        if name == "exception":
            raise PageError(f"the page {self.page or 'chat'} shows an exception: {element.exception.message[:300]}")
        if name in {UPLOADER, CHAT_INPUT}:
            self.elements[name] = element
        elif name == "button":
            self.buttons[element.button.label] = element.button.id, fragment
        elif name == "button_group":
            self.choices[element.button_group.label] = (
                element.button_group.id,
                [option.content for option in element.button_group.options],
            )
        elif name == "text_input":
            self.fields[element.text_input.label] = element.text_input.id, fragment
        elif name == "bidi_component" and element.bidi_component.id.endswith(TICK):
            self.beats[fragment] = element.bidi_component.id
        elif name == "dataframe" and element.dataframe.id:
            self.table = element.dataframe.id, fragment
        elif name == "markdown":
            self.texts.append(element.markdown.body)
        elif name == "alert":
            self.texts.append(f"{element.alert.title} {element.alert.body}")


@contextmanager
def visiting(url: str, cookie: str = "") -> Iterator[Visitor]:
    """Open a tab on the server at `url`, with what a browser's cookie says, and close it in the end."""
    address = url.rstrip("/").replace("http://", "ws://") + "/_stcore/stream"
    with connect(
        address,
        subprotocols=[Subprotocol("streamlit")],
        origin=Origin(url.rstrip("/")),
        max_size=None,
        logger=_quiet(),
        open_timeout=SECONDS,
        additional_headers={"Cookie": cookie} if cookie else None,
    ) as connection:
        yield Visitor(connection, url.rstrip("/"), cookie)


def visit(url: str, number: int) -> None:
    """Come, look around, hand a document in, ask; leave while a further upload of 2.5 MB is on its way."""
    with visiting(url) as visitor:
        visitor.open()
        visitor.upload((f"note-{number}.txt", f"Pump {number} is covered for {number} months. ".encode() * 20))
        visitor.ask(f"How long is pump {number} covered?")
        visitor.open("memory")
        visitor.upload((f"lost-{number}.txt", b"x" * 2_500_000), store=False)


def _quiet() -> logging.Logger:
    """Return a logger for connections: that some of them break is meant."""
    logger = logging.getLogger("tests.visitors")
    logger.setLevel(logging.CRITICAL + 1)
    return logger
