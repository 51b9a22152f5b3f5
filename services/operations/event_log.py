"""The event log behind the time line: accepts events without waiting, keeps the newest on disk.

Each node of several has a time line of its own: the node's number is in the upper bits of the ids of its events.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count, islice
from math import isfinite
from typing import Any

import psutil
import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError

from services.core.database import WHOLE, Database, metadata
from services.core.errors import MillpondError, StorageError
from services.core.events import EventKind, unnamed_file
from services.core.i18n import _
from services.core.kept_column import KeptText
from services.core.masking import mask

log = structlog.get_logger(__name__)

KEPT = 20_000
# Events that wait to be written; without a database, all that are kept.
_MAX_WAITING = 1000
_MAX_DETAIL = 500
_MAX_FIGURES = 20
_MOST_NAMES = 500  # in one query
_ID_BITS = 40  # of an event's id, below the number of its node
events = sa.Table(
    "events",
    metadata,
    sa.Column("id", WHOLE, primary_key=True, autoincrement=False),
    sa.Column("time", sa.Float, nullable=False, index=True),  # seconds since 1970, UTC
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("detail", KeptText, nullable=False),
    sa.Column("figures", sa.JSON, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `figures` by name: bytes, seconds, counts, as the name says."""

    time: float
    kind: EventKind
    detail: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    actor: str = ""
    id: int = 0


class EventLog:
    """Accepts events from any thread without waiting, writes them with `flush`, returns them by time.

    Without a database it keeps the newest in RAM. On disk are the newest 20,000.
    """

    def __init__(self, now: Callable[[], float], database: Database | None = None, *, kept: int = KEPT) -> None:
        self._now = now
        self._store = EventStore(database, kept) if database is not None else None
        # No lock: the garbage collector may run a finalizer that records in the middle of another record.
        self._waiting: deque[Event] = deque(maxlen=_MAX_WAITING)
        self._ids = count((self._store.last_id() if self._store else 0) + 1)
        self._flushing = threading.Lock()
        self._failing = False

    def record(
        self,
        kind: EventKind,
        detail: str = "",
        figures: Mapping[str, float] | None = None,
        *,
        actor: str = "",
        at: float | None = None,
    ) -> None:
        """Record an event, now or at the time when it happened (`at`). Never waits, never raises."""
        kept = {name: float(value) for name, value in islice((figures or {}).items(), _MAX_FIGURES) if isfinite(value)}
        moment = self._now() if at is None else at
        self._waiting.append(Event(moment, kind, _detail(detail), kept, mask(actor)[:200], next(self._ids)))

    def flush(self) -> None:
        """Write what is not on disk yet. A failure is logged once; the next call tries again."""
        if self._store is None or not self._waiting:
            return
        with self._flushing:
            batch = sorted(self._waiting.copy(), key=lambda event: event.id)
            if not batch:
                return
            try:
                self._store.insert([_row(event) for event in batch])
            except MillpondError as error:
                if not self._failing:
                    log.warning("events are kept in RAM for now", error=str(error), cause=str(error.__cause__ or ""))
                self._failing = True
                return
            self._failing = False
            written = {event.id for event in batch}
            while self._waiting and self._waiting[0].id in written:
                self._waiting.popleft()

    def forget(self, names: Collection[str]) -> None:
        """Take the names of documents that were deleted out of the events that have them."""
        wanted = {form for name in names for form in (name[:_MAX_DETAIL], _detail(name))}
        if not wanted:
            return
        self.flush()
        # What could not be written, or is kept in RAM only.
        for event in self._waiting.copy():
            if _names(event.kind, event.figures) and event.detail in wanted:
                with suppress(ValueError):  # written and removed meanwhile
                    self._waiting[self._waiting.index(event)] = replace(event, detail=_forgotten())
        if self._store is not None:
            self._store.forget(sorted(wanted))

    def forget_others(self, present: Callable[[], Collection[str]]) -> int:
        """Take all names of documents that are not `present` out of the events; return how many there were.

        At the start, and when another node was taken over: who was killed may not have come to `forget` them.
        """
        found = self._store.document_names() if self._store is not None else set()
        names = present()  # read later: what another node has stored meanwhile is among them
        others = found - {name[:_MAX_DETAIL] for name in names} - {_forgotten(), unnamed_file()}
        if any("[" in name for name in others):  # names with personal data are masked in events
            others -= {_detail(name) for name in names}
        self.forget(others)
        return len(others)

    def between(
        self, start: float, end: float, limit: int = 200, kinds: Collection[EventKind] | None = None
    ) -> list[Event]:
        """Return the newest `limit` events from `start` to `end`, oldest first; of some kinds, or of all."""
        chosen = frozenset(EventKind) if kinds is None else frozenset(kinds)
        # Waiting events first, then written ones: so none is missed that is written meanwhile.
        found = {
            event.id: event for event in self._waiting.copy() if start <= event.time <= end and event.kind in chosen
        }
        if self._store is not None:
            found |= {row["id"]: _event(row) for row in self._store.newest(start, end, limit, chosen)}
        ordered = sorted(found.values(), key=lambda event: (event.time, event.id))
        return ordered[max(0, len(ordered) - limit) :]

    def find(self, event_id: int) -> Event | None:
        """Return an event by its id, None where it is not kept."""
        waiting = next((event for event in self._waiting.copy() if event.id == event_id), None)
        if waiting is not None or self._store is None:
            return waiting
        row = self._store.find(event_id)
        return None if row is None else _event(row)

    def last_end(self, seen: float | None = None) -> str:
        """Return in words how the last run ended; to be called before this run records its START.

        Args:
            seen: when the last run was certainly alive, in seconds since the epoch.
        """
        mark = self._store.last((EventKind.START, EventKind.STOP)) if self._store else None
        newest = self._store.last() if self._store else None
        if mark is None or newest is None:
            return _("first start with this data folder")
        if mark["kind"] == EventKind.STOP:
            return _("the last run ended normally at {moment}").format(moment=_moment(mark["time"]))
        alive = max(newest["time"], seen or 0.0)
        if psutil.boot_time() > alive:
            return _("the last run did not end by itself: the machine went down after {moment}").format(
                moment=_moment(alive)
            )
        return _("the last run did not end by itself: it was killed or crashed after {moment}").format(
            moment=_moment(alive)
        )


def _names(kind: str, figures: Mapping[str, float]) -> bool:
    """Whether the detail of an event is the name of a document: an upload's is, a summary's of several is not."""
    return kind == EventKind.UPLOAD and "count" not in figures


def _detail(text: str) -> str:
    """Return the detail of an event: with personal data and secrets masked, of bounded length."""
    masked = mask(text)[:_MAX_DETAIL]
    return text if masked == text else masked  # a text that knows its message is said again for each reader


def _forgotten() -> str:
    return _("a document that was deleted")


def _row(event: Event) -> dict[str, object]:
    return {
        "id": event.id,
        "time": event.time,
        "kind": event.kind.value,
        "detail": event.detail,
        "figures": dict(event.figures),
        "actor": event.actor,
    }


def _event(row: Mapping[str, Any]) -> Event:
    # Those of versions that did not mask are masked as they are read.
    detail, actor = _detail(row["detail"]), mask(row["actor"])
    return Event(row["time"], EventKind(row["kind"]), detail, row["figures"], actor, row["id"])


def _moment(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")


class EventStore:
    """The events of this node in the table, the newest `kept` of them; what concerns all nodes says so."""

    def __init__(self, database: Database, kept: int) -> None:
        self._database = database
        self._kept = kept
        self._first = database.node << _ID_BITS
        self._own = events.c.id.between(self._first, self._first + (1 << _ID_BITS) - 1)
        # Those of the time before there were nodes are everybody's.
        self._shown = sa.or_(self._own, events.c.id < 1 << _ID_BITS)

    def last_id(self) -> int:
        """Return the id of the newest event; without one, what the first one's id comes after."""
        with self._database.read() as connection:
            return int(connection.scalar(sa.select(sa.func.max(events.c.id)).where(self._own)) or self._first)

    def insert(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write events, in the order of their ids and none twice, and delete the oldest.

        Raises:
            StorageError: none of them could be written.
        """
        try:
            with self._database.write() as connection:
                known = set(
                    connection.scalars(sa.select(events.c.id).where(events.c.id.in_([row["id"] for row in rows])))
                )
                fresh = [row for row in rows if row["id"] not in known]
                if fresh:
                    connection.execute(events.insert(), fresh)
                connection.execute(events.delete().where(self._own, events.c.id <= rows[-1]["id"] - self._kept))
        except SQLAlchemyError as error:
            raise StorageError(_("The events could not be written.")) from error

    def document_names(self) -> set[str]:
        """Return the names of documents in the events of all nodes."""
        query = sa.select(events.c.detail, events.c.figures).where(events.c.kind == EventKind.UPLOAD.value)
        with self._database.read() as connection:
            return {row.detail for row in connection.execute(query) if _names(EventKind.UPLOAD, row.figures)}

    def forget(self, names: Sequence[str]) -> None:
        """Take names of documents out of the events of all nodes that have them.

        Raises:
            StorageError: the database could not be written.
        """
        for start in range(0, len(names), _MOST_NAMES):
            part = events.c.detail.in_(names[start : start + _MOST_NAMES])
            named = sa.select(events.c.id, events.c.figures).where(events.c.kind == EventKind.UPLOAD.value, part)
            with self._database.write() as connection:
                rows = connection.execute(named).all()
                ids = [row.id for row in rows if _names(EventKind.UPLOAD, row.figures)]
                for first in range(0, len(ids), _MOST_NAMES):
                    some = events.c.id.in_(ids[first : first + _MOST_NAMES])
                    connection.execute(events.update().where(some).values(detail=_forgotten()))

    def newest(
        self, start: float, end: float, limit: int, kinds: Collection[EventKind] = tuple(EventKind)
    ) -> Sequence[Mapping[str, Any]]:
        """Return the newest `limit` events of these kinds from `start` to `end`, newest first."""
        query = (
            sa.select(events)
            .where(events.c.time.between(start, end), events.c.kind.in_(kinds), self._shown)
            .order_by(events.c.time.desc(), events.c.id.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def find(self, event_id: int) -> Mapping[str, Any] | None:
        """Return the event with this id."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(events).where(events.c.id == event_id)).mappings().first()
        return None if row is None else dict(row)

    def last(self, kinds: Collection[EventKind] = tuple(EventKind)) -> Mapping[str, Any] | None:
        """Return the event that was written last, of these kinds."""
        query = sa.select(events).where(events.c.kind.in_(kinds), self._own).order_by(events.c.id.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else dict(row)
