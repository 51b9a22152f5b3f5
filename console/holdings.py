"""What Streamlit holds of this process's memory: sessions, caches, files.

Like `console.uploads`, this touches parts of Streamlit that are not its public interface; a test fails loudly when a
new version moves them. Everything here is asked now and then by the ledger's thread, takes a bounded time, and keeps
nothing alive.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

from streamlit.runtime import Runtime, exists, get_instance
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.caching.cache_data_api import _data_caches
from streamlit.runtime.caching.cache_resource_api import _resource_caches
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.runtime.websocket_session_manager import WebsocketSessionManager

from services.held import LARGEST_SMALL, HeldResource, Owner, Region
from services.memory.ledger.weighing import MOST_OBJECTS, Scales, Weight
from services.runtime import Runtime as Services
from services.texts import _, plural

# Belong to the process, not to whoever refers to them.
_SHARED = (Services, Runtime, AppSession, MemoryUploadedFileManager, MemoryMediaFileStorage, PagesManager, ScriptCache)
_SHARED_TYPES = (*_SHARED, threading.Thread, WebsocketSessionManager)
# Of a session: what its script and its widgets left there, what waits to be sent, what its fragments enclose.
_PARTS = ("_session_state", "_fragment_storage", "_browser_queue")
# All sessions that were ever seen, and still live.
_met: weakref.WeakSet[AppSession] = weakref.WeakSet()
_met_lock = threading.Lock()


def meet_session() -> None:
    """Remember the session whose script runs, without keeping it alive: it may be gone before the next look."""
    context = get_script_run_ctx(suppress_warning=True)
    # AppTest runs scripts without sessions.
    manager = getattr(get_instance(), "_session_mgr", None) if exists() else None
    info = manager.get_session_info(context.session_id) if context is not None and manager is not None else None
    if info is not None and isinstance(info.session, AppSession):
        with _met_lock:
            _met.add(info.session)


class StreamlitHoldings:
    """Reports what Streamlit holds; call it (`services.held.Holder`)."""

    def __init__(self) -> None:
        # Of each session when it was last weighed, and how much that was.
        self._weights: weakref.WeakKeyDictionary[AppSession, tuple[int, Weight]] = weakref.WeakKeyDictionary()
        self._looks = 0

    def __call__(self) -> Iterable[HeldResource]:
        """Return all of it; what two parts share counts for the first."""
        scales = Scales(_SHARED_TYPES)
        found = [*uploads(), *media(), *cached_data()]
        resources = scales.weigh(*_cached_resources())
        found += resources.resources(Owner.STREAMLIT_CACHES, _("Cached resources"), "", 1)
        return [*found, *self._sessions(scales)]

    def _sessions(self, scales: Scales) -> Iterator[HeldResource]:
        live = _live_sessions()
        self._looks += 1
        with _met_lock:
            _met.update(live)
            met = list(_met)
        known = {id(session) for session in live}
        expired = [session for session in met if id(session) not in known]
        for sessions, owner, name in (
            (live, Owner.SESSIONS, _("Browser tabs")),
            (expired, Owner.EXPIRED_SESSIONS, _("Tabs that are gone, but not from memory")),
        ):
            if sessions:
                detail = plural("{count} session", "{count} sessions", len(sessions))
                yield from self._weigh(sessions, scales).resources(owner, name, detail, len(sessions))

    def _weigh(self, sessions: list[AppSession], scales: Scales) -> Weight:
        """Weigh as many sessions as one look may, first those that have waited longest; of the others take what they
        weighed before."""
        total = Weight()
        for session in sorted(sessions, key=self._last_weighed):
            if total.visited < MOST_OBJECTS:
                parts = [getattr(session, part, None) for part in _PARTS]
                weight = scales.weigh(*parts, most=MOST_OBJECTS - total.visited)
                # One that was cut short by those before it comes first the next time.
                if weight.complete or not total.visited or session not in self._weights:
                    self._weights[session] = self._looks, weight.without_addresses()
                else:
                    total.visited = MOST_OBJECTS
                    weight = self._weights[session][1]
            else:
                weight = self._weights.get(session, (0, Weight()))[1]
            total.add(weight)
        return total

    def _last_weighed(self, session: AppSession) -> int:
        return self._weights.get(session, (0, None))[0]


def session_parts() -> list[object]:
    """Return what sessions that still live keep for their scripts, for one who measures it closely."""
    with _met_lock:
        sessions = {id(session): session for session in (*_live_sessions(), *_met)}
    return [getattr(session, part, None) for session in sessions.values() for part in _PARTS]


def uploads() -> list[HeldResource]:
    """Report the bytes of uploaded files."""
    manager = get_instance().uploaded_file_mgr if exists() else None
    if not isinstance(manager, MemoryUploadedFileManager):
        return []
    with manager._lock:  # noqa: SLF001 - see the module
        contents = [record.data for files in manager.file_storage.values() for record in files.values()]
    return _contents(contents, Owner.UPLOADS, _("Uploaded files"))


def media() -> list[HeldResource]:
    """Report pictures, sounds and downloads that pages show."""
    storage = get_instance().media_file_mgr._storage if exists() else None  # noqa: SLF001 - see the module
    if not isinstance(storage, MemoryMediaFileStorage):
        return []
    contents = [file.content for file in storage._files_by_id.copy().values()]  # noqa: SLF001 - see the module
    return _contents(contents, Owner.MEDIA, _("Media files"))


def cached_data() -> list[HeldResource]:
    """Report the results that `st.cache_data` keeps, each as bytes."""
    contents: list[bytes] = []
    for cache in _caches(_data_caches):
        storage = cache.storage
        if hasattr(storage, "_mem_cache"):
            with storage._mem_cache_lock:  # noqa: SLF001 - see the module
                contents += storage._mem_cache._data.values()  # noqa: SLF001 - see the module
    return _contents(contents, Owner.STREAMLIT_CACHES, _("Cached data"))


def _cached_resources() -> list[object]:
    values: list[object] = []
    for cache in _caches(_resource_caches):
        with cache._mem_cache_lock:  # noqa: SLF001 - see the module
            values += [result.value for result in cache._mem_cache._data.values()]  # noqa: SLF001 - see the module
    return values


def _caches(caches: Any) -> list[Any]:
    with caches._caches_lock:  # noqa: SLF001 - see the module
        return [cache for functions in caches._function_caches.values() for cache in functions.values()]  # noqa: SLF001


def _live_sessions() -> list[AppSession]:
    """Return the sessions of connected tabs, and of those that were disconnected a moment ago and may come back."""
    if not exists():
        return []
    manager = get_instance()._session_mgr  # noqa: SLF001 - see the module
    active = [info.session for info in manager.list_active_sessions()]
    storage = getattr(manager, "_session_storage", None)
    return active + ([info.session for info in storage.list()] if storage is not None else [])


def _contents(contents: list[bytes], owner: Owner, name: str) -> list[HeldResource]:
    """Report objects of bytes: those that malloc holds by their address."""
    if not contents:
        return []
    sizes = [(id(content), content.__sizeof__()) for content in contents]
    ranges = tuple((address, size) for address, size in sizes if size > LARGEST_SMALL)
    total = sum(size for _address, size in sizes)
    detail = _("{count} of them").format(count=len(contents))
    return [HeldResource(name, detail, total, len(contents), owner=owner, region=Region.PYTHON, ranges=ranges)]
