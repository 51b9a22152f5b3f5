"""What Streamlit holds of this process's memory: sessions, caches, files.

Everything here is asked now and then by the ledger's thread, takes a bounded time, and keeps nothing alive.

How many browser tabs are connected.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator

from streamlit.runtime.app_session import AppSession

from console.ui import runtime_access
from console.ui.streamlit import internals as streamlit
from services.app.container import Runtime as Services
from services.core.i18n import _, plural
from services.core.memory_report import LARGEST_SMALL, MemoryReport, Owner, Region
from services.memory.ledger.object_size import MOST_OBJECTS, ObjectSize, ObjectSizer

# Belong to the process, not to whoever refers to them: Streamlit's own, and the services of each room.
_SHARED_TYPES = (Services, *streamlit.SHARED_TYPES)
# All sessions that were ever seen, and still live.
_met: weakref.WeakSet[AppSession] = weakref.WeakSet()
_met_lock = threading.Lock()


def register_session() -> None:
    """Remember the session whose script runs, without keeping it alive: it may be gone before the next look."""
    session = streamlit.current_session()
    if session is not None:
        with _met_lock:
            _met.add(session)


def live_sessions() -> list[AppSession]:
    """Return the sessions of connected tabs, and of those that were disconnected a moment ago and may come back."""
    return [*streamlit.connected_sessions(), *streamlit.disconnected_sessions()]


def unreachable_sessions() -> list[AppSession]:
    """Return the sessions that nobody can come back to, and that are in memory all the same."""
    live = {id(session) for session in live_sessions()}
    with _met_lock:
        _met.update(streamlit.expired_sessions())
        return [session for session in _met if id(session) not in live]


class StreamlitMemory:
    """Reports what Streamlit holds; call it (`services.core.memory_report.MemoryReporter`)."""

    def __init__(self) -> None:
        # Of each session when it was last weighed, and how much that was.
        self._weights: weakref.WeakKeyDictionary[AppSession, tuple[int, ObjectSize]] = weakref.WeakKeyDictionary()
        self._looks = 0

    def __call__(self) -> Iterable[MemoryReport]:
        """Return all of it; what two parts share counts for the first."""
        scales = ObjectSizer((*_SHARED_TYPES, *_services()))
        found = [*uploads(), *media(), *cached_data()]
        cached = scales.weigh(*streamlit.cached_resources())
        found += cached.resources(Owner.STREAMLIT_CACHES, _("Cached resources"), "", 1)
        return [*found, *self._sessions(scales)]

    def _sessions(self, scales: ObjectSizer) -> Iterator[MemoryReport]:
        live = live_sessions()
        self._looks += 1
        with _met_lock:
            _met.update(live)
        expired = unreachable_sessions()
        for sessions, owner, name in (
            (live, Owner.SESSIONS, _("Browser tabs")),
            (expired, Owner.EXPIRED_SESSIONS, _("Tabs that are gone, but not from memory")),
        ):
            if sessions:
                detail = plural("{count} session", "{count} sessions", len(sessions))
                yield from self._weigh(sessions, scales).resources(owner, name, detail, len(sessions))

    def _weigh(self, sessions: list[AppSession], scales: ObjectSizer) -> ObjectSize:
        """Weigh as many sessions as one look may, first those that have waited longest; of the others take what they
        weighed before."""
        total = ObjectSize()
        for session in sorted(sessions, key=self._last_weighed):
            if total.visited < MOST_OBJECTS:
                parts = streamlit.parts_of(session)
                weight = scales.weigh(*parts, most=MOST_OBJECTS - total.visited)
                # One that was cut short by those before it comes first the next time.
                if weight.complete or not total.visited or session not in self._weights:
                    self._weights[session] = self._looks, weight.without_addresses()
                else:
                    total.visited = MOST_OBJECTS
                    weight = self._weights[session][1]
            else:
                weight = self._weights.get(session, (0, ObjectSize()))[1]
            total.add(weight)
        return total

    def bytes_of(self, sessions: Iterable[AppSession]) -> int:
        """Return what sessions weigh, as far as a look has weighed them; takes no time."""
        weights = [self._weights[session][1] for session in sessions if session in self._weights]
        return int(sum(weight.python + weight.native for weight in weights))

    def _last_weighed(self, session: AppSession) -> int:
        return self._weights.get(session, (0, None))[0]


def _services() -> set[type]:
    """Return the types of the services, as far as they are there: fragments of pages refer to them."""
    runtime = runtime_access.built()
    if runtime is None:
        return set()
    parts = list(vars(runtime).values())
    if "memory" in vars(runtime):
        parts += vars(runtime.memory).values()
    return {type(part) for part in parts if type(part).__module__.startswith("services.")}


def session_parts() -> list[object]:
    """Return what sessions that still live keep for their scripts, for one who measures it closely."""
    with _met_lock:
        sessions = {id(session): session for session in (*live_sessions(), *_met)}
    return [part for session in sessions.values() for part in streamlit.parts_of(session)]


def uploads() -> list[MemoryReport]:
    """Report the bytes of uploaded files."""
    contents = [content for files in streamlit.uploaded_files().values() for content in files]
    return _contents(contents, Owner.UPLOADS, _("Uploaded files"))


def media() -> list[MemoryReport]:
    """Report pictures, sounds and downloads that pages show."""
    return _contents(list(streamlit.media_files().values()), Owner.MEDIA, _("Media files"))


def cached_data() -> list[MemoryReport]:
    """Report the results that `st.cache_data` keeps, each as bytes."""
    return _contents(streamlit.cached_data(), Owner.STREAMLIT_CACHES, _("Cached data"))


def _contents(contents: list[bytes], owner: Owner, name: str) -> list[MemoryReport]:
    """Report objects of bytes: those that malloc holds by their address."""
    if not contents:
        return []
    sizes = [(id(content), content.__sizeof__()) for content in contents]
    ranges = tuple((address, size) for address, size in sizes if size > LARGEST_SMALL)
    total = sum(size for _address, size in sizes)
    detail = _("{count} of them").format(count=len(contents))
    return [MemoryReport(name, detail, total, len(contents), owner=owner, region=Region.PYTHON, ranges=ranges)]


def connected_tabs() -> int:
    """Return the number of tabs with a connection; those that are waiting to come back do not count."""
    return streamlit.connected_count()
