"""Who is told at once when a session, a token or a right ends: open connections, running answers, uploads."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog

from services.identity.types import Revocation, RevocationReason

log = structlog.get_logger(__name__)


class Revocations:
    """Calls its listeners, in the thread of the change and before the change returns. Thread-safe."""

    def __init__(self) -> None:
        self._listeners: tuple[Callable[[Revocation], None], ...] = ()

    def add_listener(self, listener: Callable[[Revocation], None]) -> None:
        """Have `listener` called; it must not wait, and may be called from any thread."""
        self._listeners = (*self._listeners, listener)

    def publish(self, person_id: int | None, why: RevocationReason, session_ids: Iterable[str] = ()) -> None:
        """Say that something ended; by then requests get the new state."""
        revocation = Revocation(person_id, frozenset(session_ids), why)
        for listener in self._listeners:
            try:
                listener(revocation)
            except Exception:  # the others must hear of it, and the change has been made
                log.exception("listener of revocations failed")
