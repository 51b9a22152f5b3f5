"""Memory reports about Streamlit: sessions, caches, uploaded and media files; the number of connected tabs.

The ledger's thread calls this periodically: it takes a bounded time and keeps nothing alive.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator

from streamlit.runtime.app_session import AppSession

from console.ui.streamlit import internals as streamlit
from services.app.container import Services
from services.app.startup import Application
from services.core.i18n import _, plural
from services.core.memory_report import LARGEST_SMALL, MemoryReport, Owner, Region
from services.memory.ledger.object_size import MOST_OBJECTS, ObjectSize, ObjectSizer

# Owned by the process, not by whoever refers to them.
_SHARED_TYPES = (Application, Services, *streamlit.SHARED_TYPES)
# All sessions that were ever registered and still exist.
_registered: weakref.WeakSet[AppSession] = weakref.WeakSet()
_registered_lock = threading.Lock()


def register_session() -> None:
    """Register the session whose script runs, by a weak reference: it may end before the next report."""
    session = streamlit.current_session()
    if session is not None:
        with _registered_lock:
            _registered.add(session)


def live_sessions() -> list[AppSession]:
    """Return the sessions of connected tabs and of disconnected ones that may still reconnect."""
    return [*streamlit.connected_sessions(), *streamlit.disconnected_sessions()]


def unreachable_sessions() -> list[AppSession]:
    """Return the sessions that no tab can reconnect to and that are still in memory."""
    live = {id(session) for session in live_sessions()}
    with _registered_lock:
        _registered.update(streamlit.expired_sessions())
        return [session for session in _registered if id(session) not in live]


class StreamlitMemory:
    """Reports what Streamlit holds: a callable `services.core.memory_report.MemoryReporter`."""

    def __init__(self, service_types: Callable[[], Iterable[type]] = tuple) -> None:
        """Create a reporter; `service_types` returns the types of services, which fragments of pages refer to."""
        self._service_types = service_types
        # Per session: the report that last measured it, and the size.
        self._sizes: weakref.WeakKeyDictionary[AppSession, tuple[int, ObjectSize]] = weakref.WeakKeyDictionary()
        self._reports = 0

    def __call__(self) -> Iterable[MemoryReport]:
        """Return all reports; memory that two parts share counts for the first."""
        sizer = ObjectSizer((*_SHARED_TYPES, *self._service_types()))
        found = [*uploads(), *media(), *cached_data()]
        cached = sizer.measure(*streamlit.cached_resources())
        found += cached.memory_reports(Owner.STREAMLIT_CACHES, _("Cached resources"), "", 1)
        return [*found, *self._sessions(sizer)]

    def _sessions(self, sizer: ObjectSizer) -> Iterator[MemoryReport]:
        live = live_sessions()
        self._reports += 1
        with _registered_lock:
            _registered.update(live)
        expired = unreachable_sessions()
        for sessions, owner, name in (
            (live, Owner.SESSIONS, _("Browser tabs")),
            (expired, Owner.EXPIRED_SESSIONS, _("Closed tabs still in memory")),
        ):
            if sessions:
                detail = plural("{count} session", "{count} sessions", len(sessions))
                yield from self._measure(sessions, sizer).memory_reports(owner, name, detail, len(sessions))

    def _measure(self, sessions: list[AppSession], sizer: ObjectSizer) -> ObjectSize:
        """Measure as many sessions as one report may, the longest unmeasured first; the others keep their last size."""
        total = ObjectSize()
        for session in sorted(sessions, key=self._last_measured):
            if total.visited < MOST_OBJECTS:
                parts = streamlit.parts_of(session)
                size = sizer.measure(*parts, limit=MOST_OBJECTS - total.visited)
                # One that did not fit after those before it comes first the next time.
                if size.complete or not total.visited or session not in self._sizes:
                    self._sizes[session] = self._reports, size.without_addresses()
                else:
                    total.visited = MOST_OBJECTS
                    size = self._sizes[session][1]
            else:
                size = self._sizes.get(session, (0, ObjectSize()))[1]
            total.add(size)
        return total

    def bytes_of(self, sessions: Iterable[AppSession]) -> int:
        """Return the bytes of sessions as last measured; costs nothing."""
        sizes = [self._sizes[session][1] for session in sessions if session in self._sizes]
        return int(sum(size.python + size.native for size in sizes))

    def _last_measured(self, session: AppSession) -> int:
        return self._sizes.get(session, (0, None))[0]


def session_parts() -> list[object]:
    """Return the objects that all existing sessions keep for their scripts, for a deep measurement."""
    with _registered_lock:
        sessions = {id(session): session for session in (*live_sessions(), *_registered)}
    return [part for session in sessions.values() for part in streamlit.parts_of(session)]


def uploads() -> list[MemoryReport]:
    """Report the bytes of uploaded files."""
    contents = [content for files in streamlit.uploaded_files().values() for content in files]
    return _contents(contents, Owner.UPLOADS, _("Uploaded files"))


def media() -> list[MemoryReport]:
    """Report images, sounds and downloads that pages show."""
    return _contents(list(streamlit.media_files().values()), Owner.MEDIA, _("Media files"))


def cached_data() -> list[MemoryReport]:
    """Report the results that `st.cache_data` keeps, each as bytes."""
    return _contents(streamlit.cached_data(), Owner.STREAMLIT_CACHES, _("Cached data"))


def _contents(contents: list[bytes], owner: Owner, name: str) -> list[MemoryReport]:
    """Report bytes objects; those allocated by malloc with their address ranges."""
    if not contents:
        return []
    sizes = [(id(content), content.__sizeof__()) for content in contents]
    ranges = tuple((address, size) for address, size in sizes if size > LARGEST_SMALL)
    total = sum(size for _address, size in sizes)
    detail = plural("{count} object", "{count} objects", len(contents))
    return [MemoryReport(name, detail, total, len(contents), owner=owner, region=Region.PYTHON, ranges=ranges)]


def connected_tabs() -> int:
    """Return the number of connected tabs."""
    return streamlit.connected_count()
