from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import streamlit as st
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.runtime.session_manager import ActiveSessionInfo, SessionInfo
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

from console.ui.streamlit import internals, memory
from console.ui.streamlit.memory import StreamlitMemory
from services.app.startup import Application
from services.core.memory_report import MemoryReport, Owner
from services.core.settings import Settings
from tests.ui.streamlit.process import Process, session

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    yield Process(monkeypatch)
    st.cache_data.clear()
    st.cache_resource.clear()


def sizes(found: list[MemoryReport]) -> dict[Owner, int]:
    return {owner: sum(each.bytes for each in found if each.owner is owner) for owner in Owner}


def test_without_a_server_nothing_is_held() -> None:
    """Importing and asking must not need a running Streamlit."""
    found = sizes(list(StreamlitMemory()()))
    assert found[Owner.UPLOADS] == found[Owner.MEDIA] == found[Owner.SESSIONS] == 0


def test_uploads_and_media_are_reported_by_address(process: Process) -> None:
    """Bytes of files have an owner each, even while a page holds the same bytes in its session."""
    record = UploadedFileRec("1", "a.txt", "text/plain", b"u" * 2_000_000)
    process.uploaded_file_mgr.add_file("tab", record)
    tab = session(process)
    tab.session_state["file"] = UploadedFile(record, FileURLs())
    process.storage.load_and_get_id(b"m" * 3_000_000, "image/png", None)  # type: ignore[arg-type]
    process.sessions.save(SessionInfo(client=None, session=tab))
    found = list(StreamlitMemory()())
    by_owner = sizes(found)
    assert by_owner[Owner.UPLOADS] == pytest.approx(2_000_000, rel=0.001)
    assert by_owner[Owner.MEDIA] == pytest.approx(3_000_000, rel=0.001)
    assert by_owner[Owner.SESSIONS] < 100_000
    (upload,) = [each for each in found if each.owner is Owner.UPLOADS]
    assert upload.ranges[0][0] == id(record.data)


def test_sessions_that_expired_are_told_from_those_that_live(process: Process) -> None:
    """Streamlit's own statistics do not see a tab that is gone and still held: here it has a name of its own, and
    asking does not keep it alive."""
    holder = StreamlitMemory()
    living, gone = session(process), session(process)
    for number, tab in enumerate((living, gone)):
        tab.session_state["text"] = str(number) * 1_000_000
        process.sessions.save(SessionInfo(client=None, session=tab))
    found = sizes(list(holder()))
    assert found[Owner.SESSIONS] == pytest.approx(2_000_000, rel=0.02)
    process.sessions.delete(gone.id)
    found = sizes(list(holder()))
    assert found[Owner.SESSIONS] == pytest.approx(1_000_000, rel=0.02)
    assert found[Owner.EXPIRED_SESSIONS] >= 1_000_000
    before = found[Owner.EXPIRED_SESSIONS]
    del gone, tab
    gc.collect()
    assert sizes(list(holder()))[Owner.EXPIRED_SESSIONS] <= before - 1_000_000


def test_a_session_that_no_look_has_met_is_known_from_its_script(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tab may come and go between two looks, and stay in memory for ever."""

    class Context:
        session_id = "brief"

    brief = session(process)
    brief.id = Context.session_id
    brief.session_state["text"] = "t" * 1_000_000
    process._session_mgr._active_session_info_by_id["brief"] = ActiveSessionInfo(client=None, session=brief)  # type: ignore[arg-type]
    monkeypatch.setattr(internals, "get_script_run_ctx", lambda **_: Context)
    memory.register_session()
    process._session_mgr._active_session_info_by_id.clear()
    assert sizes(list(StreamlitMemory()()))[Owner.EXPIRED_SESSIONS] >= 1_000_000


def test_caches_are_reported_without_the_services(process: Process) -> None:
    """The console's only cached resource is the application, whose parts report for themselves."""
    cached = st.cache_data(show_spinner=False)(lambda: "d" * 1_000_000)
    resource = st.cache_resource(show_spinner=False)(lambda: ["r" * 2_000_000])
    before = sizes(list(StreamlitMemory()()))[Owner.STREAMLIT_CACHES]
    cached()
    resource()
    after = sizes(list(StreamlitMemory()()))[Owner.STREAMLIT_CACHES]
    assert after - before == pytest.approx(3_000_000, rel=0.01)

    application = Application(Settings())
    application.ballast = "b" * 5_000_000  # type: ignore[attr-defined]
    st.cache_resource(show_spinner=False)(lambda: application)()
    assert sizes(list(StreamlitMemory()()))[Owner.STREAMLIT_CACHES] - after < 100_000


def test_many_sessions_are_weighed_in_turn(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look takes a bounded time: what it has no time for is taken from an earlier look, and its turn comes."""
    monkeypatch.setattr(memory, "MOST_OBJECTS", 3000)
    tabs = [session(process) for _ in range(10)]
    for tab in tabs:
        tab.session_state["rows"] = [[f"{number:0100d}"] for number in range(400)]
        process.sessions.save(SessionInfo(client=None, session=tab))
    holder = StreamlitMemory()
    found = [sizes(list(holder()))[Owner.SESSIONS] for _ in range(6)]
    assert found[0] < 5 * 400 * 230
    assert found[-1] == pytest.approx(10 * 400 * 230, rel=0.15)
    tabs[0].session_state["more"] = "m" * 1_000_000
    found = [sizes(list(holder()))[Owner.SESSIONS] - found[-1] for _ in range(6)]
    assert found[-1] == pytest.approx(1_000_000, rel=0.05)
