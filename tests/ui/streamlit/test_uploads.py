from __future__ import annotations

import pytest
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.runtime.session_manager import SessionInfo
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

from console.ui.streamlit import internals, uploads
from tests.ui.streamlit.process import Process, session


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    return Process(monkeypatch)


def put(process: Process, session_id: str, file_id: str, data: bytes = b"12345") -> UploadedFile:
    record = UploadedFileRec(file_id=file_id, name="a.txt", type="text/plain", data=data)
    process.uploaded_file_mgr.add_file(session_id, record)
    return UploadedFile(record, FileURLs())


def held_uploads() -> tuple[int, int]:
    """Return the number of uploaded files that Streamlit holds for all tabs, and their bytes."""
    contents = [content for files in internals.uploaded_files().values() for content in files]
    return len(contents), sum(map(len, contents))


def test_released_files_leave_no_bytes(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `release` neither Streamlit's storage nor the file object itself holds the content."""

    class Context:
        session_id = "tab"
        uploaded_file_mgr = process.uploaded_file_mgr

    monkeypatch.setattr(internals, "get_script_run_ctx", lambda **_: Context)
    kept, taken = put(process, "tab", "1"), put(process, "tab", "2")
    uploads.release_uploads([taken])
    assert held_uploads() == (1, 5)
    assert taken.closed
    uploads.release_uploads([kept, taken])  # twice does no harm
    assert held_uploads() == (0, 0)


def test_only_what_nobody_can_come_back_to_is_abandoned(process: Process) -> None:
    """Files of a tab that may come back are not offered for release; those of an expired or ended one are."""
    waiting = session(process)
    process.sessions.save(SessionInfo(client=None, session=waiting))
    put(process, waiting.id, "1")
    put(process, "gone", "2", b"1234567")
    assert uploads.abandoned_uploads() == {"gone": 7}
    process.later()
    assert uploads.abandoned_uploads() == {waiting.id: 5, "gone": 7}


def test_without_a_server_there_are_no_uploads() -> None:
    """Pages run without a server in tests."""
    assert held_uploads() == (0, 0)
    assert uploads.abandoned_uploads() == {}
