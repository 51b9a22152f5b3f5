"""The reaper: releases the memory that closed browser tabs leave behind.

It spares tabs that may reconnect: Streamlit keeps a session for `disconnectedSessionTTL` seconds after its connection
broke, and until then it counts as live. Sessions are shut down on the event loop's thread, as Streamlit does.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st
import structlog
from streamlit.runtime.app_session import AppSession

from console.ui.streamlit import internals as streamlit
from console.ui.streamlit import uploads
from console.ui.streamlit.memory import StreamlitMemory, live_sessions, unreachable_sessions
from services.app.container import Services
from services.app.startup import Application
from services.core.errors import UnavailableError
from services.core.events import EventKind
from services.core.i18n import _, plural
from services.memory.reclaimers import Reclaimer

log = structlog.get_logger(__name__)

_READY_SECONDS = 0.1  # between checks whether the services are ready
SWEEP_SECONDS = 15.0
LOOP_SECONDS = 10.0
# What makes a sweep worth an event; smaller ones are added up.
NOTABLE_BYTES = 8_000_000
NOTABLE_SESSIONS = 20


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep released: sessions with their bytes, bytes of uploads and of media files."""

    sessions: int = 0
    session_bytes: int = 0
    upload_bytes: int = 0
    media_bytes: int = 0

    @property
    def bytes(self) -> int:
        """All bytes released."""
        return self.session_bytes + self.upload_bytes + self.media_bytes

    def plus(self, other: SweepResult) -> SweepResult:
        """Return the sum of both."""
        return SweepResult(
            self.sessions + other.sessions,
            self.session_bytes + other.session_bytes,
            self.upload_bytes + other.upload_bytes,
            self.media_bytes + other.media_bytes,
        )


async def reap(application: Application, memory: StreamlitMemory) -> None:
    """Sweep from the moment at which the services are ready, until cancelled."""
    while not application.ready:
        await asyncio.sleep(_READY_SECONDS)
    await Reaper(application.services, memory).run()


class Reaper:
    """Sweeps every `SWEEP_SECONDS` of the services' clock, and on request. To be built on the event loop's thread."""

    def __init__(self, services: Services, memory: StreamlitMemory) -> None:
        self._services = services
        self._memory = memory
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        # Shut down, but still referenced by something: not to be shut down again at each sweep.
        self._ended: weakref.WeakSet[AppSession] = weakref.WeakSet()
        self._unreported = SweepResult()
        self._orphans: frozenset[str] = frozenset()  # media files that no tab showed at the last sweep

    async def run(self) -> None:
        """Register the reclaimers, then sweep until cancelled."""
        self.register_reclaimers()
        while True:
            await asyncio.sleep(SWEEP_SECONDS / self._services.clock.speed)
            try:
                self.sweep()
            except Exception:
                # A failed sweep must not prevent the next one.
                log.exception("sweep failed")

    def register_reclaimers(self) -> None:
        """Make each part releasable by users and by the memory budget."""
        add = self._services.memory.reclaimers.add
        add(
            Reclaimer(
                "uploads",
                _("Uploads of closed tabs"),
                _("Nothing is lost: their tabs cannot reconnect."),
                lambda: sum(uploads.abandoned_uploads().values()),
                lambda: self._on_loop(self._release_uploads),
            )
        )
        add(
            Reclaimer(
                "sessions",
                _("Expired sessions"),
                _("Nothing is lost: their tabs cannot reconnect."),
                lambda: self._memory.bytes_of(self._unreachable()),
                lambda: self._on_loop(self._release_sessions),
            )
        )
        add(
            Reclaimer(
                "media",
                _("Media files of closed tabs"),
                _("Nothing is lost: no tab shows them."),
                lambda: sum(len(content) for content in _orphaned_media().values()),
                lambda: self._on_loop(self._release_media),
            )
        )
        add(
            Reclaimer(
                "streamlit_caches",
                _("Streamlit's caches"),
                _("Cached results of pages are computed again when needed."),
                lambda: sum(len(content) for content in streamlit.cached_data()),
                _release_caches,
            )
        )

    def sweep(self) -> SweepResult:
        """Release everything of unreachable sessions. On the event loop's thread only."""
        released = self._release_all()
        streamlit.expire_caches()
        self._unreported = total = self._unreported.plus(released)
        if total.bytes >= NOTABLE_BYTES or total.sessions >= NOTABLE_SESSIONS:
            self._unreported = SweepResult()
            text = _("left by closed tabs: {sessions}").format(sessions=_count(total.sessions))
            self._services.reporter.event(
                EventKind.RELEASE,
                text,
                sessions=total.sessions,
                bytes=total.bytes,
                upload_bytes=total.upload_bytes,
                media_bytes=total.media_bytes,
            )
            # Files are not objects that the policy counts: only a trim returns their pages to the system.
            self._services.gc_policy.report_large_work(_("closed tabs"), certain=total.bytes >= NOTABLE_BYTES)
        return released

    def _release_all(self) -> SweepResult:
        unreachable = self._unreachable()
        session_bytes = self._memory.bytes_of(unreachable)
        # Before the sessions are shut down, which removes their files.
        upload_bytes = sum(uploads.abandoned_uploads().values())
        expired = streamlit.pop_expired_sessions()
        ended = 0
        for session in {id(session): session for session in (*unreachable, *expired)}.values():
            if streamlit.shut_down(session):
                self._ended.add(session)
                ended += 1
        del unreachable, expired
        for name in uploads.abandoned_uploads():
            streamlit.remove_uploads(name)
        # A page that is being redrawn shows nothing for a moment: only orphans of two sweeps in a row are removed.
        orphans = _orphaned_media()
        lasting = {name: content for name, content in orphans.items() if name in self._orphans}
        self._orphans = frozenset(orphans)
        if lasting:
            _remove_orphaned_media()
        return SweepResult(ended, session_bytes, upload_bytes, sum(map(len, lasting.values())))

    def _unreachable(self) -> list[AppSession]:
        return [session for session in unreachable_sessions() if session not in self._ended]

    def _release_sessions(self) -> str:
        return _count(self._release_all().sessions)

    def _release_uploads(self) -> str:
        found = uploads.abandoned_uploads()
        for name in found:
            streamlit.remove_uploads(name)
        return plural("uploads of {count} closed tab", "uploads of {count} closed tabs", len(found))

    def _release_media(self) -> str:
        before = len(streamlit.media_files())
        _remove_orphaned_media()
        return plural("{count} media file", "{count} media files", max(0, before - len(streamlit.media_files())))

    def _on_loop(self, call: Callable[[], str]) -> str:
        """Run `call` on the event loop's thread, from any thread.

        Raises:
            UnavailableError: the loop is busy or has ended.
        """
        if threading.get_ident() == self._thread:
            return call()
        done: concurrent.futures.Future[str] = concurrent.futures.Future()

        def act() -> None:
            try:
                done.set_result(call())
            except Exception as error:  # noqa: BLE001 - passed to the caller
                done.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(act)
            return done.result(LOOP_SECONDS)
        except (RuntimeError, TimeoutError) as error:
            raise UnavailableError(
                _("The web server is too busy to release the memory of closed tabs; nothing was released."),
                _("Try again in a moment."),
            ) from error


def _orphaned_media() -> dict[str, bytes]:
    """Return the media files that no tab shows."""
    files = streamlit.media_files()
    live = {session.id for session in live_sessions()}
    shown = {name for session, names in streamlit.media_of_sessions().items() if session in live for name in names}
    return {name: content for name, content in files.items() if name not in shown}


def _remove_orphaned_media() -> None:
    live = {session.id for session in live_sessions()}
    streamlit.remove_media(name for name in streamlit.media_of_sessions() if name not in live)


def _release_caches() -> str:
    results = len(streamlit.cached_data())
    streamlit.expire_caches()
    st.cache_data.clear()
    return plural("{count} cached result", "{count} cached results", results)


def _count(sessions: int) -> str:
    return plural("{count} session", "{count} sessions", sessions)
