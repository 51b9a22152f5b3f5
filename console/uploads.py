"""Uploaded bytes: out of Streamlit's RAM as soon as they are on disk.

`st.file_uploader` keeps every file in the process until the browser tab closes, and longer when it closes at the wrong
moment. This is the only module that touches parts of Streamlit that are not its public interface; a test fails loudly
when a new version moves them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from streamlit.runtime import exists, get_instance
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.typing import UploadedFile

_away_since: dict[str, float] = {}  # session id -> when its tab was first seen to be gone
_away_lock = threading.Lock()


def release(files: Iterable[UploadedFile]) -> None:
    """Forget uploaded files: their bytes, and the records by which this tab could read them again."""
    context = get_script_run_ctx()
    for file in files:
        if context is not None and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
            context.uploaded_file_mgr.remove_file(session_id=context.session_id, file_id=file.file_id)
        file.close()  # the widget's old value stays in the session until the next run; an empty one costs nothing


def held() -> tuple[int, int]:
    """Return how many uploaded files Streamlit holds for all tabs, and how many bytes."""
    manager = _manager()
    if manager is None:
        return 0, 0
    with manager._lock:  # noqa: SLF001
        records = [record for files in manager.file_storage.values() for record in files.values()]
    return len(records), sum(len(record.data) for record in records)


def release_orphans(*, after_seconds: float = 120.0) -> int:
    """Forget what closed tabs have left behind; return how many tabs that were.

    Streamlit keeps the files of a broken connection with its session, which it drops only when the next tab comes or
    goes. Called now and then; files whose tab has been away for `after_seconds`, more than
    `server.disconnectedSessionTTL`, have no one to come back to them.
    """
    manager = _manager()
    if manager is None:
        return 0
    now = time.monotonic()
    connected = {info.session.id for info in get_instance()._session_mgr.list_active_sessions()}  # noqa: SLF001
    away = [session_id for session_id in list(manager.file_storage) if session_id not in connected]
    with _away_lock:
        for session_id in list(_away_since):
            if session_id not in away:
                del _away_since[session_id]
        orphans = [name for name in away if now - _away_since.setdefault(name, now) >= after_seconds]
    for session_id in orphans:
        manager.remove_session_files(session_id)
    return len(orphans)


def _manager() -> MemoryUploadedFileManager | None:
    if not exists():
        return None
    manager = get_instance().uploaded_file_mgr
    return manager if isinstance(manager, MemoryUploadedFileManager) else None
