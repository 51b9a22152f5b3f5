"""Streamlit's managers without its server: what the console asks of the runtime, with the real parts in it."""

from __future__ import annotations

import asyncio
import time

import pytest
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.caching.ttl_cache import TTLCache
from streamlit.runtime.dataframe_source_manager import DataframeSourceManager
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.script_data import ScriptData
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.runtime.websocket_session_manager import WebsocketSessionManager

from console.ui.streamlit import internals

TTL_SECONDS = 60


class Process:
    """Stands in for `streamlit.runtime.Runtime`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead = 0.0
        self.uploaded_file_mgr = MemoryUploadedFileManager("/upload")
        self.storage = MemoryMediaFileStorage("/media")
        self.media_file_mgr = MediaFileManager(self.storage)
        self.dataframe_source_mgr = DataframeSourceManager()
        self.sessions = MemorySessionStorage()
        self.sessions._cache = TTLCache(128, TTL_SECONDS, timer=lambda: time.monotonic() + self._ahead)
        self._session_mgr = WebsocketSessionManager(self.sessions, self.uploaded_file_mgr, ScriptCache(), None)
        monkeypatch.setattr(internals, "exists", lambda: True)
        monkeypatch.setattr(internals, "get_instance", lambda: self)

    def later(self) -> None:
        """Go on to when a tab that was disconnected can no longer come back."""
        self._ahead += TTL_SECONDS + 1


def session(process: Process) -> AppSession:
    """Make a session of a tab."""

    async def create() -> AppSession:
        data = ScriptData(main_script_path=__file__, is_hello=False)
        made = AppSession(data, process.uploaded_file_mgr, ScriptCache(), None, {})
        # No script runs in it; collected as garbage with its session, its socket may be gone before it is closed.
        made._script_event_loop.close()
        return made

    return asyncio.run(create())
