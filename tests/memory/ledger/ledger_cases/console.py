"""What the console keeps for its tabs."""

from __future__ import annotations

import gc
import os
import threading

import numpy as np

from services.core.memory_report import Owner
from services.memory.ledger.ledger import LedgerBuilder
from tests.memory.ledger.ledger_cases.registry import MEGABYTE, SIZE, Allocations, ledger_case


class _Streamlit:
    """What `console.ui.streamlit.internals` asks of Streamlit's runtime."""

    def __init__(self) -> None:
        from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
        from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

        self.uploaded_file_mgr = MemoryUploadedFileManager("/upload")
        self.media_file_mgr = self
        self._storage = MemoryMediaFileStorage("/media")
        self._session_mgr = _tabs(self)
        self.session: object = None
        self.sessions: list[_Streamlit] = []


def _tabs(shell: _Streamlit) -> object:

    from streamlit.runtime.memory_session_storage import MemorySessionStorage
    from streamlit.runtime.websocket_session_manager import WebsocketSessionManager

    class Tabs(WebsocketSessionManager):
        def __init__(self) -> None:
            self._session_storage = MemorySessionStorage()
            self._storage_lock = threading.RLock()

        def list_active_sessions(self) -> list[_Streamlit]:  # type: ignore[override]
            return shell.sessions

    return Tabs()


_streamlit: _Streamlit | None = None


def _console(builder: LedgerBuilder) -> _Streamlit:
    global _streamlit  # noqa: PLW0603 - one for all cases of this process
    if _streamlit is None:
        from console.ui.streamlit import internals, memory

        _streamlit = _Streamlit()
        internals.exists = lambda: True  # type: ignore[assignment]
        internals.get_instance = lambda: _streamlit  # type: ignore[assignment, return-value]
        builder.add_memory_reporter(memory.StreamlitMemory())
    return _streamlit


@ledger_case("console")
def uploaded_files(builder: LedgerBuilder) -> Allocations:
    from streamlit.proto.Common_pb2 import FileURLs
    from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

    manager = _console(builder).uploaded_file_mgr
    yield None
    sizes = [60 * MEGABYTE, 30 * MEGABYTE, *[10_000] * 1000]
    records = [UploadedFileRec(str(i), "a.txt", "text/plain", os.urandom(size)) for i, size in enumerate(sizes)]
    for record in records:
        manager.add_file("tab", record)
    # What a page has of them shares their content.
    pages = [UploadedFile(record, FileURLs()) for record in records]
    yield Owner.UPLOADS, SIZE
    del pages
    manager.remove_session_files("tab")


@ledger_case("console")
def media_files(builder: LedgerBuilder) -> Allocations:
    storage = _console(builder)._storage
    names = [storage.load_and_get_id(os.urandom(5 * MEGABYTE), "image/png", None) for _ in range(20)]  # type: ignore[arg-type]
    yield Owner.MEDIA, SIZE
    for name in names:
        storage.delete_file(name)


@ledger_case("console")
def cached_results(builder: LedgerBuilder) -> Allocations:
    import streamlit

    _console(builder)
    cached = streamlit.cache_data(show_spinner=False)(lambda number: os.urandom(10 * MEGABYTE + number))
    for number in range(10):
        cached(number)
    gc.collect()
    yield Owner.STREAMLIT_CACHES, SIZE
    cached.clear()


@ledger_case("console")
def cached_objects(builder: LedgerBuilder) -> Allocations:
    import streamlit

    _console(builder)

    @streamlit.cache_resource(show_spinner=False)
    def resource() -> object:
        return {"vectors": np.ones(SIZE // 2, np.uint8), "names": [os.urandom(200) for _ in range(SIZE // 2 // 240)]}

    resource()
    yield Owner.STREAMLIT_CACHES, SIZE
    resource.clear()


@ledger_case("console")
def session_state(builder: LedgerBuilder) -> Allocations:
    shell = _console(builder)
    shell.session = session = _session()
    shell.sessions = [shell]
    yield None
    yield Owner.SESSIONS, _fill(session)
    shell.sessions = []
    shell.session = None


@ledger_case("console")
def expired_session(builder: LedgerBuilder) -> Allocations:
    shell = _console(builder)
    shell.session = kept_by_mistake = _session()
    shell.sessions = [shell]
    builder.build()
    shell.sessions = []
    shell.session = None
    yield None
    yield Owner.EXPIRED_SESSIONS, _fill(kept_by_mistake)
    del kept_by_mistake


def _fill(session: object) -> int:
    import pandas

    before = _allocated()
    state = session._session_state
    state["rows"] = [{"name": os.urandom(100).hex(), "number": float(number)} for number in range(80_000)]
    state["text"] = "x" * (20 * MEGABYTE)
    state["table"] = pandas.DataFrame({"a": np.ones(5_000_000)})
    return _allocated() - before


def _allocated() -> int:
    """Return what both allocators have in use."""
    from services.memory.ledger.allocators import AllocatorReader

    figures = AllocatorReader().read()
    assert figures.heap is not None
    assert figures.pymalloc is not None
    return figures.heap.used + figures.heap.mapped + figures.pymalloc.used


def _session() -> object:
    import asyncio

    import pandas  # noqa: F401 - what it takes is not the session's
    from streamlit.runtime.app_session import AppSession
    from streamlit.runtime.script_data import ScriptData
    from streamlit.runtime.scriptrunner.script_cache import ScriptCache

    async def create() -> AppSession:
        data = ScriptData(main_script_path=__file__, is_hello=False)
        return AppSession(data, _streamlit.uploaded_file_mgr, ScriptCache(), None, {})  # type: ignore[union-attr]

    return asyncio.run(create())
