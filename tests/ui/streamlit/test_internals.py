"""A new version of Streamlit that moves a part must be noticed here, not by memory that has lost its name or stays."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from unittest.mock import Mock

import pytest
import streamlit as st
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.caching import cache_data_api, cache_resource_api
from streamlit.runtime.caching.storage.in_memory_cache_storage_wrapper import InMemoryCacheStorageWrapper
from streamlit.runtime.caching.ttl_cache import TTLCache
from streamlit.runtime.fragment import MemoryFragmentStorage
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryFile, MemoryMediaFileStorage
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.runtime import Runtime
from streamlit.runtime.scriptrunner import ScriptRunContext
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData, ScriptRequests
from streamlit.runtime.session_manager import SessionInfo
from streamlit.runtime.state import SessionState
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from streamlit.runtime.websocket_session_manager import WebsocketSessionManager

from console.ui.streamlit import internals
from tests.ui.streamlit.process import Process, session

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    yield Process(monkeypatch)
    st.cache_data.clear()


def test_the_runtime_has_its_managers() -> None:
    """Everything is reached through the runtime."""
    source = inspect.getsource(Runtime.__init__)
    assert {"_media_file_mgr", "_session_mgr"} <= set(source.replace(".", " ").split())
    for name in ("media_file_mgr", "uploaded_file_mgr", "dataframe_source_mgr"):
        assert isinstance(inspect.getattr_static(Runtime, name), property), name


def test_sessions_have_their_parts() -> None:
    """Sessions are listed, weighed, and ended."""
    made = inspect.getsource(AppSession.__init__)
    parts = (*internals.PARTS, "_scriptrunner")
    assert all(f"self.{part} " in made or f"self.{part}:" in made for part in parts)
    for call in (AppSession.shutdown, SessionState.clear, MemoryFragmentStorage.clear_outside_wrappers):
        assert callable(call)
    manager = inspect.getsource(WebsocketSessionManager.__init__)
    assert "self._session_storage = session_storage" in manager
    assert "self._storage_lock = " in manager
    assert callable(WebsocketSessionManager.get_session_info)
    assert callable(WebsocketSessionManager.list_active_sessions)
    assert callable(WebsocketSessionManager.num_active_sessions)
    assert isinstance(MemorySessionStorage()._cache, TTLCache)
    assert {"_data", "_expirations"} <= set(vars(TTLCache(maxsize=1, ttl=1)))
    assert list(inspect.signature(TTLCache.expire).parameters) == ["self", "at_time"]


def test_a_runner_has_what_was_asked_of_it() -> None:
    """A tick of a page that is being left is told by it."""
    assert "self._requests = ScriptRequests()" in inspect.getsource(ScriptRunner.__init__)
    assert ScriptRequests()._rerun_data.page_script_hash == ""
    assert "page_script_hash" in ClientState.DESCRIPTOR.fields_by_name


def test_the_server_gives_the_storage_its_time() -> None:
    """What is asked for in the configuration is what a tab has to come back."""
    from streamlit.web.server.starlette import starlette_app

    assert 'ttl_seconds=config.get_option("server.disconnectedSessionTTL")' in inspect.getsource(starlette_app)


def test_files_have_their_parts() -> None:
    """Uploads and media files are counted and forgotten."""
    uploads, media = MemoryUploadedFileManager("/upload"), MediaFileManager(MemoryMediaFileStorage("/media"))
    assert isinstance(uploads.file_storage, dict)
    assert hasattr(uploads, "_lock")
    assert list(inspect.signature(uploads.remove_file).parameters) == ["session_id", "file_id"]
    assert list(inspect.signature(uploads.remove_session_files).parameters) == ["session_id"]
    assert {"session_id", "uploaded_file_mgr"} <= set(ScriptRunContext.__dataclass_fields__)
    assert "file_id" in UploadedFileRec._fields
    assert {"_storage", "_lock", "_files_by_session_and_coord"} <= set(vars(media))
    assert list(inspect.signature(media.clear_session_refs).parameters) == ["session_id"]
    assert callable(media.remove_orphaned_files)
    assert "_files_by_id" in vars(MemoryMediaFileStorage("/media"))
    assert MemoryFile._fields[0] == "content"


def test_caches_have_their_parts() -> None:
    """Caches are counted and expired."""
    assert {"_caches_lock", "_function_caches"} <= set(vars(cache_data_api._data_caches))
    assert {"_caches_lock", "_function_caches"} <= set(vars(cache_resource_api._resource_caches))
    assert "self._mem_cache_lock" in inspect.getsource(InMemoryCacheStorageWrapper.__init__)
    assert "self._mem_cache_lock" in inspect.getsource(cache_resource_api.ResourceCache.__init__)
    assert callable(InMemoryCacheStorageWrapper._report_removals)
    assert callable(InMemoryCacheStorageWrapper._take_pending_removals)


def test_expired_sessions_stay_until_they_are_taken(process: Process) -> None:
    """This is what Streamlit leaves behind (streamlit#12506): should it ever clean up by itself, the reaper may go."""
    tab = session(process)
    process.sessions.save(SessionInfo(client=None, session=tab))
    assert internals.disconnected_sessions() == [tab]
    assert internals.expired_sessions() == internals.pop_expired_sessions() == []
    process.later()
    assert internals.disconnected_sessions() == []
    assert internals.expired_sessions() == [tab]
    assert internals.pop_expired_sessions() == [tab]
    assert internals.expired_sessions() == []


def test_an_ended_session_is_empty(process: Process) -> None:
    """What its script left goes at once, even while something still holds the session itself."""
    tab = session(process)
    tab.session_state["text"] = "t" * 1000
    process.uploaded_file_mgr.add_file(tab.id, UploadedFileRec("1", "a.txt", "text/plain", b"12345"))
    assert asyncio.run(ended(tab))
    assert len(tab.session_state._old_state) == len(tab.session_state._new_session_state) == 0
    assert internals.uploaded_files() == {}
    assert tab._script_event_loop.is_closed()
    assert asyncio.run(ended(tab))  # twice does no harm


async def ended(tab: AppSession) -> bool:
    return internals.shut_down(tab)


def test_a_tick_tells_what_is_new(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """The values of a view that was just left do not come back with it: its fields would be empty the next time."""
    asked: list[ClientState] = []
    monkeypatch.setattr(AppSession, "request_rerun", lambda _session, state: asked.append(state))
    internals.patch_fragment_targets()
    tab = session(process)
    runs = (
        {"search": "heron"},
        {"search": "heron", "live-beat__beat": "1"},
        {"search": "heron"},
        {"search": "grebe", "live-beat__beat": "2"},
        {"search": "grebe", "button": "3", "live-beat__beat": "4"},
    )
    for values in runs:
        state = ClientState(fragment_id="live")
        for name, value in values.items():
            widget = state.widget_states.widgets.add(id=name)
            if name == "search":
                widget.string_value = value
            else:
                widget.json_trigger_value = value
        tab.request_rerun(state)
    told = [{widget.id for widget in state.widget_states.widgets} for state in asked]
    assert told == [
        {"search"},
        {"live-beat__beat"},
        {"search"},
        {"search", "live-beat__beat"},
        {"search", "button", "live-beat__beat"},
    ]

    # What waits for its turn is replaced by what comes after it: Streamlit drops the fields of the earlier one.
    waiting = ClientState(fragment_id="live")
    waiting.widget_states.widgets.add(id="switch", bool_value=True)
    waiting.widget_states.widgets.add(id="search", string_value="grebe")
    tab._scriptrunner = Mock(_requests=ScriptRequests())
    tab._scriptrunner._requests.request_rerun(RerunData(widget_states=waiting.widget_states))
    tab.request_rerun(waiting)
    waiting.widget_states.widgets.add(id="live-beat__beat", json_trigger_value="5")
    tab.request_rerun(waiting)
    assert {widget.id for widget in asked[-1].widget_states.widgets} == {"switch", "search", "live-beat__beat"}


def test_entries_that_are_too_old_leave_the_caches() -> None:
    """Streamlit keeps them until the same function is called again."""
    cached = st.cache_data(show_spinner=False, ttl=0.001)(lambda: "d" * 1000)
    cached()
    assert len(internals.cached_data()) == 1
    while not internals.expire_caches():
        pass
    assert internals.cached_data() == []


def test_a_run_knows_whether_the_browser_went_back() -> None:
    """Without it Back would change the address and leave filters as they are, which would change it again."""
    assert "is_history_navigation" in inspect.signature(ScriptRunContext.reset).parameters
    assert internals.is_history_navigation() is False
