"""Rows by the hash of their secret, as far as they were used of late: requests find them without the database."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Generic, Protocol, TypeVar

from services.core.i18n import plural
from services.core.memory_report import MemoryReport, Owner, object_bytes

_MEASURED = 50  # rows whose size stands for all: they hardly differ


class _Row(Protocol):
    @property
    def id(self) -> int: ...

    @property
    def sha256(self) -> bytes: ...

    @property
    def person_id(self) -> int: ...


RowT = TypeVar("RowT", bound=_Row)


class RecentRows(Generic[RowT]):
    """Bounded and thread-safe. What was removed is not put back by a thread that had read it before.

    It knows when each row was last used, which the database learns from time to time (`pending`, `written`).
    """

    def __init__(self, label: Callable[[], str], most: int) -> None:
        """`label` returns what the rows are, in words; at most `most` are kept."""
        self._label = label
        self._most = most
        self._lock = threading.Lock()
        self._rows: OrderedDict[bytes, RowT] = OrderedDict()
        self._ids: dict[int, bytes] = {}
        self._times: dict[int, float] = {}
        self._unwritten: set[int] = set()
        self._removals = 0
        self._loads = 0

    def get(self, sha256: bytes, load: Callable[[bytes], RowT | None]) -> RowT | None:
        """Return a row, which `load` reads where it is not in memory."""
        while True:
            with self._lock:
                found = self._rows.get(sha256)
                if found is not None:
                    self._rows.move_to_end(sha256)
                    return found
                removals = self._removals
            found = load(sha256)
            with self._lock:
                if removals == self._removals:
                    if found is not None:
                        self._loads += 1
                        self._add(found)
                    return found
            # Something ended while this was read: it may be this very row.

    def by_id(self, row_id: int) -> RowT | None:
        """Return a row that is in memory by its id, None where it is not."""
        with self._lock:
            sha256 = self._ids.get(row_id)
            return self._rows.get(sha256) if sha256 is not None else None

    def add(self, row: RowT) -> None:
        """Keep a row that was just written."""
        with self._lock:
            self._add(row)

    def remove(self, condition: Callable[[RowT], bool]) -> None:
        """Forget the rows that are no longer valid."""
        with self._lock:
            self._removals += 1
            for row in [row for row in self._rows.values() if condition(row)]:
                del self._rows[row.sha256]
                self._ids.pop(row.id, None)
                self._times.pop(row.id, None)

    def clear(self) -> None:
        """Forget all rows, but not their use that the database does not know."""
        with self._lock:
            self._removals += 1
            self._rows.clear()
            self._ids.clear()
            self._times = {row_id: time for row_id, time in self._times.items() if row_id in self._unwritten}

    def touch(self, row_id: int, now: float) -> None:
        """Record that a row was used now."""
        with self._lock:
            self._times[row_id] = now
            self._unwritten.add(row_id)

    def last_use(self, row_id: int, stored: float) -> float:
        """Return when a row was last used; `stored` is what the database says."""
        return max(stored, self._times.get(row_id, stored))

    def pending(self) -> dict[int, float]:
        """Return when rows were last used, as far as the database does not know."""
        with self._lock:
            return {row_id: self._times[row_id] for row_id in self._unwritten if row_id in self._times}

    def written(self, times: Iterable[tuple[int, float]]) -> None:
        """Remember that these times are in the database now, unless there are later ones meanwhile."""
        with self._lock:
            for row_id, time in times:
                if self._times.get(row_id) == time:
                    self._unwritten.discard(row_id)
                    if row_id not in self._ids:  # the row is read anew, with its time
                        del self._times[row_id]
            self._unwritten &= self._times.keys()

    def memory_report(self) -> MemoryReport:
        """Return what is kept."""
        with self._lock:
            count = len(self._rows)
            some = list(islice(self._rows.values(), _MEASURED))
            size, large = object_bytes([self._rows, self._ids, self._times])
        each, _large = object_bytes([*some, *(row.sha256 for row in some)])
        size += each * count // max(1, len(some))
        detail = plural("{count} in use", "{count} in use", count)
        return MemoryReport(self._label(), detail, size, self._loads, owner=Owner.PYTHON, large=large)

    def _add(self, row: RowT) -> None:
        self._rows[row.sha256] = row
        self._ids[row.id] = row.sha256
        self._rows.move_to_end(row.sha256)
        while len(self._rows) > self._most:
            _sha256, oldest = self._rows.popitem(last=False)
            self._ids.pop(oldest.id, None)
            if oldest.id not in self._unwritten:
                self._times.pop(oldest.id, None)
