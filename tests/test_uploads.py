from __future__ import annotations

import inspect

import pytest
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.runtime import Runtime
from streamlit.runtime.scriptrunner import ScriptRunContext
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec
from streamlit.runtime.websocket_session_manager import WebsocketSessionManager

from console import uploads


class Process:
    """What `uploads` asks of Streamlit's runtime: the files, and who is connected."""

    def __init__(self, manager: MemoryUploadedFileManager) -> None:
        self.uploaded_file_mgr = manager
        self._session_mgr = self
        self.connected: list[str] = []

    def list_active_sessions(self) -> list[object]:
        class Info:
            def __init__(self, session_id: str) -> None:
                self.session = self
                self.id = session_id

        return [Info(session_id) for session_id in self.connected]


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    process = Process(MemoryUploadedFileManager("/upload"))
    monkeypatch.setattr(uploads, "exists", lambda: True)
    monkeypatch.setattr(uploads, "get_instance", lambda: process)
    monkeypatch.setattr(uploads, "_away_since", {})
    return process


def put(process: Process, session_id: str, file_id: str, data: bytes = b"12345") -> UploadedFile:
    record = UploadedFileRec(file_id=file_id, name="a.txt", type="text/plain", data=data)
    process.uploaded_file_mgr.add_file(session_id, record)
    return UploadedFile(record, FileURLs())


def test_streamlit_still_has_the_parts_that_uploads_uses() -> None:
    """A new version of Streamlit that moves them must be noticed here, not by memory that never comes back."""
    manager = MemoryUploadedFileManager("/upload")
    assert isinstance(manager.file_storage, dict)
    assert hasattr(manager, "_lock")
    assert list(inspect.signature(manager.remove_file).parameters) == ["session_id", "file_id"]
    assert list(inspect.signature(manager.remove_session_files).parameters) == ["session_id"]
    assert isinstance(inspect.getattr_static(Runtime, "uploaded_file_mgr"), property)
    assert "_session_mgr" in inspect.getsource(Runtime.__init__)
    assert callable(WebsocketSessionManager.list_active_sessions)
    assert {"session_id", "uploaded_file_mgr"} <= set(ScriptRunContext.__dataclass_fields__)
    assert "file_id" in UploadedFileRec._fields


def test_released_files_leave_no_bytes(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `release` neither Streamlit's storage nor the file object itself holds the content."""

    class Context:
        session_id = "tab"
        uploaded_file_mgr = process.uploaded_file_mgr

    monkeypatch.setattr(uploads, "get_script_run_ctx", Context)
    kept, taken = put(process, "tab", "1"), put(process, "tab", "2")
    uploads.release([taken])
    assert uploads.held() == (1, 5)
    assert taken.closed
    uploads.release([kept, taken])  # twice does no harm
    assert uploads.held() == (0, 0)


def test_what_closed_tabs_leave_is_forgotten_after_a_while(process: Process) -> None:
    """Files of a tab that is away long enough go; those of a connected tab, or one that came back, stay."""
    process.connected = ["here"]
    put(process, "here", "1")
    put(process, "gone", "2")
    assert uploads.release_orphans(after_seconds=3600) == 0
    assert uploads.held() == (2, 10)
    assert uploads.release_orphans(after_seconds=0) == 1
    assert uploads.held() == (1, 5)
    assert "here" in process.uploaded_file_mgr.file_storage
