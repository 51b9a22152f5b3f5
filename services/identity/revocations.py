"""Who is told at once when a session, a token or a right ends: open connections, running answers, uploads.

The listeners of the other nodes are told as well, within about a second.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

import structlog

from services.core.errors import MillpondError
from services.identity.store.told_revocations import RevocationStore
from services.identity.types import Revocation, RevocationReason

log = structlog.get_logger(__name__)

_MOST_UNTOLD = 10_000


class Revocations:
    """Calls its listeners, in the thread of the change and before the change returns. Thread-safe."""

    def __init__(self, store: RevocationStore) -> None:
        """`store` tells the other nodes."""
        self._store = store
        self._listeners: tuple[Callable[[Revocation], None], ...] = ()
        self._untold: deque[Revocation] = deque(maxlen=_MOST_UNTOLD)
        self._telling = threading.Lock()

    def add_listener(self, listener: Callable[[Revocation], None]) -> None:
        """Have `listener` called; it must not wait, and may be called from any thread."""
        self._listeners = (*self._listeners, listener)

    def publish(self, person_id: int | None, why: RevocationReason) -> None:
        """Say that something of a person, or of everybody, ended; by then requests get the new state."""
        revocation = Revocation(person_id, frozenset(), why)
        self.call_listeners(revocation)
        self._untold.append(revocation)
        self.write_untold()

    def call_listeners(self, revocation: Revocation) -> None:
        """Say what ended at this node alone: the others were told with the change itself, or have told of it."""
        for listener in self._listeners:
            try:
                listener(revocation)
            except Exception:  # the others must hear of it, and the change has been made
                log.exception("listener of revocations failed")

    def write_untold(self) -> None:
        """Tell the other nodes what they were not told yet; what fails is kept for the next time."""
        with self._telling:
            untold = list(self._untold)
            if not untold:
                return
            try:
                self._store.write(untold)
            except MillpondError as error:  # the change has been made
                log.warning("other nodes not told of revocations yet", count=len(untold), reason=error.message)
                return
            for _each in untold:
                self._untold.popleft()


def revocations_of(ended: Iterable[tuple[int, str]], why: RevocationReason) -> list[Revocation]:
    """Return what the end of sessions or tokens, as (person, `Actor.session_id`), means: one for each person."""
    names: dict[int, set[str]] = {}
    for person_id, name in ended:
        names.setdefault(person_id, set()).add(name)
    return [Revocation(person_id, frozenset(names[person_id]), why) for person_id in sorted(names)]
