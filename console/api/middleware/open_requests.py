"""Requests and WebSockets that are open now, by the session they came with: what a revocation ends.

Everything but `revoke` belongs to one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

import anyio
import structlog

from services.app.container import Platform
from services.core.actor import Actor
from services.identity.types import Revocation

log = structlog.get_logger(__name__)

# Answers and searches are told to end first, and have this long to say so to the client.
GRACE_SECONDS = 0.25
_WATCH_SECONDS = 0.2


@dataclass(eq=False, slots=True)
class AdmittedRequest:
    """A request or WebSocket; `end` ends it, at once. Without an actor: one from before anybody could sign in."""

    actor: Actor | None
    websocket: bool
    end: Callable[[], object]

    def concerned(self, revocation: Revocation) -> bool:
        """Return whether a revocation is about this one."""
        if self.actor is None:
            return False
        return is_concerned(revocation, self.actor.person_id, self.actor.session_id)


def is_concerned(revocation: Revocation, person_id: int | None, session_id: str) -> bool:
    """Return whether a revocation is about a person's session."""
    if revocation.session_ids:
        return session_id in revocation.session_ids
    return revocation.person_id is None or revocation.person_id == person_id


class AdmittedRequests:
    """Keeps what is open, and ends what a revocation concerns.

    Args:
        cancel: cancels running answers, searches and uploads, by the names of their people and by session; from any
            thread.
        end_tabs: ends the tabs of some sessions for good, their state and files as well.
        redraw_tabs: runs the pages of some sessions again, with other rights.
    """

    def __init__(
        self,
        cancel: Callable[[frozenset[str], frozenset[str]], object],
        end_tabs: Callable[[Callable[[int | None, str], bool]], object],
        redraw_tabs: Callable[[Callable[[int | None, str], bool]], object],
    ) -> None:
        self._cancel = cancel
        self._end_tabs = end_tabs
        self._redraw_tabs = redraw_tabs
        self._open: set[AdmittedRequest] = set()
        self._names: dict[int, set[str]] = {}  # of everybody who was here: requests are kept by name
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._open)

    def add(self, request: AdmittedRequest) -> None:
        """Register one that begins."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._open.add(request)
        actor = request.actor
        if actor is not None and actor.person_id is not None:
            self._names.setdefault(actor.person_id, set()).add(actor.name)

    def discard(self, request: AdmittedRequest) -> None:
        """Forget one that has ended."""
        self._open.discard(request)

    def end_unknown(self) -> None:
        """End the WebSockets of nobody in particular: from now on nobody passes without signing in."""
        for request in list(self._open):
            if request.actor is None and request.websocket:
                request.end()

    def revoke(self, revocation: Revocation) -> None:
        """End what a revocation concerns; from any thread, returns at once."""
        if revocation.session_ids and revocation.ends_sessions:
            self._cancel(frozenset(), revocation.session_ids)
        elif revocation.person_id is None:
            self._cancel(frozenset().union(*self._names.values()), frozenset())
        else:
            self._cancel(frozenset(self._names.get(revocation.person_id, ())), frozenset())
        if self._loop is not None:
            with suppress(RuntimeError):  # the server has ended, and the loop with it
                self._loop.call_soon_threadsafe(self._apply, revocation)

    def _apply(self, revocation: Revocation) -> None:
        concerned = partial(is_concerned, revocation)
        if not revocation.ends_sessions:
            self._redraw_tabs(concerned)
            return
        ended = [request for request in self._open if request.concerned(revocation)]
        for request in ended:
            if request.websocket:
                request.end()
            elif self._loop is not None:
                self._loop.call_later(GRACE_SECONDS, self._end, request)
        self._end_tabs(concerned)
        log.info("revoked", why=revocation.why, open=len(ended))

    def _end(self, request: AdmittedRequest) -> None:
        if request in self._open:
            request.end()


@asynccontextmanager
async def watching(platform: Callable[[], Platform | None], requests: AdmittedRequests) -> AsyncIterator[None]:
    """Within it, what is revoked is ended; and once there are accounts, the WebSockets from before that."""

    async def watch() -> None:
        while (opened := platform()) is None:
            await asyncio.sleep(_WATCH_SECONDS)
        opened.identity.on_revoked(requests.revoke)
        while True:
            if not opened.identity.open_mode:
                requests.end_unknown()
            await asyncio.sleep(_WATCH_SECONDS)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        yield
        tasks.cancel_scope.cancel()
