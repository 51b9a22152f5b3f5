"""Deletions that begin some seconds after somebody asked for them on a page, and can be called off until then.

Whoever deletes by API or command line does so at once. A process that ends as it should deletes what is waiting first;
one that is killed does not: then nothing was deleted, and the documents are seen to be there.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

import structlog

from services.core.actor import AccessLevel, Actor
from services.core.errors import MillpondError, NotFoundError
from services.core.i18n import _
from services.knowledge.store.rights import require_collection_level
from services.knowledge.types import Collection, DeletionReport

log = structlog.get_logger(__name__)

_MOST_ENDED = 100  # whose outcome nobody has looked at


class Deletes(Protocol):
    """What the library does: see `services.knowledge.library`."""

    def deletable(self, actor: Actor, ids: Sequence[int]) -> list[int]:
        """Return those of the documents that can be deleted, or raise ForbiddenError."""

    def collections(self, actor: Actor, level: AccessLevel = ...) -> list[Collection]:
        """Return the collections in which `actor` has reached a level."""

    def delete(self, actor: Actor, ids: Sequence[int], *, erase_quotes: bool = False) -> DeletionReport:
        """Delete documents."""

    def delete_collection(self, actor: Actor, collection_id: int, *, erase_quotes: bool = False) -> DeletionReport:
        """Delete a collection with its documents."""


@dataclass(frozen=True, slots=True)
class DelayedDeletion:
    """What will be deleted: `documents` by id, or a collection by its name; `due` by the monotonic clock."""

    id: int
    who: tuple[int | None, str]
    due: float
    documents: frozenset[int] = frozenset()
    collection: str = ""
    delete: Callable[[], DeletionReport] = field(repr=False, compare=False, default=DeletionReport)

    @property
    def seconds(self) -> float:
        """How long it can be called off."""
        return max(self.due - time.monotonic(), 0.0)


class DelayedDeletions:
    """Deletions that wait, and the outcome of those that nobody was told of yet. Thread-safe."""

    def __init__(self, library: Deletes, mark_changed: Callable[[], None], seconds: float) -> None:
        """`mark_changed` says that pages are to be drawn anew."""
        self._mark_changed = mark_changed
        self.seconds = seconds
        self._library = library
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[DelayedDeletion, threading.Timer]] = {}
        self._ended: deque[tuple[tuple[int | None, str], DeletionReport | MillpondError]] = deque(maxlen=_MOST_ENDED)
        self._closed = False

    def documents(self, actor: Actor, ids: Sequence[int], *, erase_quotes: bool = False) -> None:
        """Delete documents in a while, as `Library.delete` does.

        Raises:
            ForbiddenError: `actor` may read one of them, but not change it; nothing will be deleted.
        """
        found = self._library.deletable(actor, ids)
        self._begin(actor, lambda: self._library.delete(actor, found, erase_quotes=erase_quotes), documents=found)

    def collection(self, actor: Actor, collection_id: int, *, erase_quotes: bool = False) -> None:
        """Delete a collection in a while, as `Library.delete_collection` does.

        Raises:
            NotFoundError: there is no such collection.
            ForbiddenError: `actor` does not manage it.
        """
        require_collection_level(actor, collection_id, AccessLevel.MANAGE, _("Delete a collection"))
        name = next((each.name for each in self._library.collections(actor) if each.id == collection_id), "")
        self._begin(
            actor,
            lambda: self._library.delete_collection(actor, collection_id, erase_quotes=erase_quotes),
            collection=name,
        )

    def waiting(self, actor: Actor) -> list[DelayedDeletion]:
        """Return the deletions of `actor` that can be called off, the newest first."""
        with self._lock:
            return [each for each, _timer in reversed(self._waiting.values()) if each.who == _key(actor)]

    def is_waiting(self, document_id: int) -> bool:
        """Return whether a document will be deleted, whoever asked for it."""
        with self._lock:
            return any(document_id in each.documents for each, _timer in self._waiting.values())

    def undo(self, actor: Actor, number: int) -> None:
        """Call a deletion off.

        Raises:
            NotFoundError: it has begun.
        """
        with self._lock:
            found = self._waiting.get(number)
            if found is None or found[0].who != _key(actor):
                raise NotFoundError(_("This was deleted meanwhile."), _("Upload the files again."))
            del self._waiting[number]
        found[1].cancel()
        self._mark_changed()

    def ended(self, actor: Actor) -> list[DeletionReport | MillpondError]:
        """Return once what became of the deletions of `actor` that have ended."""
        who = _key(actor)
        with self._lock:
            found = [outcome for each, outcome in self._ended if each == who]
            if found:
                others = [one for one in self._ended if one[0] != who]
                self._ended.clear()
                self._ended.extend(others)
        return found

    def close(self) -> None:
        """Delete what is waiting, now; what is asked for from here on is deleted at once."""
        with self._lock:
            self._closed = True
            numbers = list(self._waiting)
        for number in numbers:
            self._run(number)

    def _begin(
        self,
        actor: Actor,
        delete: Callable[[], DeletionReport],
        *,
        documents: Sequence[int] = (),
        collection: str = "",
    ) -> None:
        number = next(self._numbers)
        due = time.monotonic() + self.seconds
        deletion = DelayedDeletion(number, _key(actor), due, frozenset(documents), collection, delete)
        timer = threading.Timer(self.seconds, self._run, (number,))
        timer.name, timer.daemon = "delayed-deletion", True
        with self._lock:
            at_once = self._closed or self.seconds <= 0
            self._waiting[number] = deletion, timer
            if not at_once:
                timer.start()
        if at_once:
            self._run(number)
        self._mark_changed()

    def _run(self, number: int) -> None:
        with self._lock:
            found = self._waiting.pop(number, None)
        if found is None:
            return
        deletion, timer = found
        timer.cancel()
        outcome: DeletionReport | MillpondError
        try:
            outcome = deletion.delete()
        except MillpondError as error:
            log.error("delayed deletion failed", reason=str(error))  # noqa: TRY400 - expected, no traceback
            outcome = error
        with self._lock:
            self._ended.append((deletion.who, outcome))
        self._mark_changed()


def _key(actor: Actor) -> tuple[int | None, str]:
    return actor.person_id, actor.name
