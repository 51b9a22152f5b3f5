"""The history of samples: the last hour in RAM, a year on disk; read as windows and exported as CSV."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import structlog

from services.core.database.checkpoints import set_aside
from services.core.errors import DamagedError, MillpondError
from services.core.i18n import _, plural
from services.core.memory_report import MemoryReport, Owner, Region
from services.core.private_files import make_folder
from services.memory.history import HistoryStore
from services.memory.history.downsample import HOURS, MINUTES, Points, Tier, Values, join, limit_points, samples
from services.memory.history.ring import HOUR, ClosedHour, Ring, close_hour, downsample, split_hours
from services.memory.types import COLUMNS, Floats, Sample, Window

log = structlog.get_logger(__name__)

MAX_POINTS = 2000
# More than an hour, so that a window of an hour is complete.
_RING_ROWS = 4200
# Completed hours kept in RAM while the disk cannot be written.
_WAITING_HOURS = 48
# Columns read and merged at once, which bounds the memory of a long window of all columns.
_COLUMNS_PER_READ = 6
_INDEX = {column: place for place, column in enumerate(COLUMNS)}
_ROWS_PER_CHUNK = 200


class History:
    """Stores samples at three resolutions (1 s, 1 min, 1 h) and returns windows of them. Thread-safe.

    Samples of the last 70 minutes are in RAM, and in a journal on disk. Once an hour is complete, its minutes and the
    hour itself go into blocks on disk. Without `folder`, or when it cannot be used, two days are kept in RAM.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._ring = Ring(_RING_ROWS)
        self._latest: Sample | None = None
        self._closed: deque[ClosedHour] = deque(maxlen=_WAITING_HOURS)
        self._merged = 0  # number of the first row not in a closed hour
        self._written = 0  # number of the first row not in the journal
        self._open_hour: int | None = None
        self._run = 1
        self._run_start = 0.0
        self._last_seen: float | None = None
        self._oldest = np.inf  # time of the oldest point on disk, if known
        self._failing = False
        self.damage = ""  # what was wrong with the file, in words, and where it is now
        self._store = self._open(folder) if folder is not None else None

    def add(self, sample: Sample) -> None:
        """Add a sample; never waits for the disk. A sample not later than the previous one is left out."""
        with self._lock:
            if self._latest is None:
                self._run_start = sample.time
                self._ring.drop_after(sample.time)
                self._closed = deque((hour for hour in self._closed if hour.begin <= sample.time), _WAITING_HOURS)
            elif sample.time <= self._latest.time:
                return
            hour = int(sample.time // HOUR)
            if self._open_hour not in {None, hour}:
                self._close_hour()
            self._open_hour = hour
            self._ring.append(sample, self._run)
            self._latest = sample

    def memory_report(self) -> MemoryReport:
        """Return the bytes that the samples in RAM take."""
        ranges = self._ring.ranges()
        return MemoryReport(
            name=_("Memory history"),
            detail=plural("{count} sample", "{count} samples", min(self._ring.next, self._ring.capacity)),
            bytes=sum(length for _address, length in ranges),
            loads=1,
            owner=Owner.WATCHING,
            region=Region.NATIVE,
            ranges=ranges,
        )

    def flush(self) -> None:
        """Write what is not on disk yet; a failure is logged once and retried next time."""
        store = self._store
        if store is None:
            return
        with self._flushing:
            with self._lock:
                rows = self._ring.rows(self._written)
                closed = list(self._closed)
                written, merged = self._ring.next, self._merged
            points: list[tuple[Tier, Points]] = []
            for hour in closed:
                points += [(MINUTES, hour.minutes), (HOURS, hour.hour)]
            try:
                store.write(rows, points, merged)
            except MillpondError as error:
                self._report(error)
                return
            self._failing = False
            with self._lock:
                self._written = written
                while self._closed and self._closed[0] in closed:
                    self._oldest = min(self._oldest, self._closed.popleft().begin)

    def close(self) -> None:
        """Write what is not on disk yet and close the file; safe to call twice."""
        self.flush()
        if self._store is not None:
            self._store.close()

    def latest(self) -> Sample | None:
        """Return the newest sample of this run."""
        with self._lock:
            return self._latest

    def run_start(self) -> float:
        """Return the time of the first sample of this process."""
        with self._lock:
            return self._run_start

    def last_seen(self) -> float | None:
        """Return the time of the last sample of an earlier run, None when there was none."""
        return self._last_seen

    def first_time(self, start: float, end: float) -> float | None:
        """Return the time of the first point between two times (seconds since the epoch), None without one.

        As exact as the finest resolution that reaches back so far.
        """
        for part in self._pieces(self._tier(start, end), start, end, []):
            found = _between(part, start, end)
            if len(found):
                return float(found.times[0])
        return None

    def window(
        self, start: float, end: float, *, columns: Collection[str] = COLUMNS, points: int = MAX_POINTS
    ) -> Window:
        """Return the history from `start` to `end` (seconds since the epoch) in at most `points` points.

        The finest resolution that reaches back to `start` is used; neighbouring points are merged as needed.
        """
        known = [_INDEX[column] for column in columns if column in _INDEX]
        tier = self._tier(start, end)
        thinned = [
            limit_points(_between(part, start, end), tier.step if tier else 1.0, points)
            for part in self._pieces(tier, start, end, known)
        ]
        whole, step = thinned[0]
        means, minima, maxima = (
            _by_column(columns, known, [getattr(piece, name) for piece, _ in thinned], len(whole))
            for name in ("means", "minima", "maxima")
        )
        return Window(whole.times, step, means, minima, maxima, whole.runs)

    def _tier(self, start: float, end: float) -> Tier | None:
        """Return the finest tier with all known points since `start`, None for the ring."""
        with self._lock:
            if self._ring.first == 0:
                return None  # it has every sample ever taken
            ring, now = self._ring.oldest(), self._latest.time if self._latest else end
            oldest = min([self._oldest, *(hour.begin for hour in self._closed)])
        since = max(start, oldest)
        if since >= ring:
            return None
        return MINUTES if since >= now - MINUTES.reach else HOURS

    def _pieces(self, tier: Tier | None, start: float, end: float, columns: Sequence[int]) -> Iterator[Points]:
        """Yield the points of a tier (None: the ring), some columns at a time: those on disk, then those in RAM."""
        with self._lock:
            rows = self._ring.rows(0 if tier is None else self._merged, columns)
            closed = list(self._closed)
        if tier is None:
            yield samples(rows.times, rows.runs, rows.values)
            return
        in_ram = join([*(_select_columns(hour.points(tier), columns) for hour in closed), downsample(rows, tier)])
        places = [
            range(place, min(place + _COLUMNS_PER_READ, len(columns)))
            for place in range(0, len(columns), _COLUMNS_PER_READ)
        ]
        places = places or [range(0)]
        read = 0
        try:
            for piece in self._read(tier, start, end, [[columns[place] for place in part] for part in places]):
                # An hour written meanwhile would be included twice.
                before = piece.where(piece.times < in_ram.times[0]) if len(in_ram) else piece
                yield join([before, _select_columns(in_ram, places[read])])
                read += 1
        except MillpondError as error:
            self._report(error)
            if read:
                raise
        if not read:
            yield in_ram

    def _read(self, tier: Tier, start: float, end: float, pieces: Sequence[Sequence[int]]) -> Iterator[Points]:
        if self._store is None:
            return
        for points in self._store.read(tier, start, end, pieces):
            # Points of earlier runs after the start of this one are from a clock that was ahead.
            begun = self._run_start or np.inf
            yield points.where((points.runs == self._run) | (points.times <= begun))

    def _close_hour(self) -> None:
        """Downsample the rows since the last closed hour; the lock is held."""
        rows = self._ring.rows(self._merged)
        self._merged = self._ring.next
        if len(rows):
            self._closed.append(close_hour(rows))

    def _open(self, folder: Path) -> HistoryStore | None:
        try:
            make_folder(folder)
            path = folder / "history.db"
            for repair in (self._drop_log, self._set_aside):
                try:
                    return self._load(path)
                except DamagedError as error:
                    self.damage = repair(path)
                    log.warning("memory history damaged", reason=str(error), action=self.damage)
            return self._load(path)
        except (MillpondError, OSError) as error:
            self._report(error)
            self.damage = _("The memory history is kept in RAM only: {reason}").format(reason=error)
            return None

    @staticmethod
    def _drop_log(path: Path) -> str:
        """Go on without the write-ahead log, which has the newest samples alone; return in words what was done."""
        path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
        path.with_name(f"{path.name}-wal").write_bytes(b"")
        return _("The newest samples of the memory history are missing: its write-ahead log was damaged.")

    @staticmethod
    def _set_aside(path: Path) -> str:
        """Rename the damaged file, and return in words what was done."""
        aside = set_aside(path) if path.exists() else None
        for kept in path.parent.glob(f"{path.name}.damaged-*"):
            if kept != aside:
                kept.unlink(missing_ok=True)  # the newest one is enough
        for companion in ("-wal", "-shm", "-sums"):
            path.with_name(path.name + companion).unlink(missing_ok=True)
        if aside is None:
            return _("The memory history begins anew: its file was removed.")
        return _("The memory history begins anew: its file was damaged and is kept as {name}.").format(name=aside.name)

    def _load(self, path: Path) -> HistoryStore:
        store = HistoryStore(path, _RING_ROWS)
        rows = store.rows()
        self._ring.load(rows)
        self._run = store.run
        self._last_seen = float(rows.times[-1]) if len(rows) else None
        self._merged, self._written = max(store.merged, self._ring.first), self._ring.next
        hours = split_hours(self._ring.rows(self._merged))
        if hours:
            # Hours that were complete when the last run ended are closed now; the last one continues.
            self._closed.extend(map(close_hour, hours[:-1]))
            self._open_hour = int(hours[-1].times[0] // HOUR)
            self._merged = int(hours[-1].numbers[0])
        oldest = store.oldest(float(rows.times.max()) if len(rows) else 0.0)
        self._oldest = np.inf if oldest is None else oldest // HOUR * HOUR
        return store

    def _report(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            log.warning("memory history kept in RAM only", error=str(error), cause=str(error.__cause__ or ""))


def _between(points: Points, start: float, end: float) -> Points:
    return points.where((points.times >= start) & (points.times <= end))


def _select_columns(points: Points, columns: Sequence[int]) -> Points:
    chosen = np.asarray(columns, dtype=np.intp)
    means, minima, maxima = points.means[:, chosen], points.minima[:, chosen], points.maxima[:, chosen]
    return Points(points.times, points.counts, points.runs, means, minima, maxima)


def _by_column(columns: Collection[str], known: Sequence[int], pieces: list[Values], length: int) -> dict[str, Floats]:
    joined = np.concatenate(pieces, axis=1).astype(np.float64, copy=False).T
    values = {COLUMNS[place]: column for place, column in zip(known, joined, strict=True)}
    return {column: values[column] if column in values else np.full(length, np.nan) for column in columns}


def csv_lines(window: Window, *, extremes: bool = False) -> Iterator[str]:
    """Yield CSV (RFC 4180), some hundred lines at a time, so that the text is never in RAM as a whole.

    Columns: UTC time, seconds since the epoch, run, then the means by column, with `extremes` also minima and maxima;
    a field is empty where the value is unknown.
    """
    header = ["moment", "time", "run", *window.means]
    values = list(window.means.values())
    if extremes:
        header += [f"{column}.min" for column in window.minima] + [f"{column}.max" for column in window.maxima]
        values += [*window.minima.values(), *window.maxima.values()]
    yield ",".join(header) + "\r\n"
    for start in range(0, len(window), _ROWS_PER_CHUNK):
        part = slice(start, start + _ROWS_PER_CHUNK)
        parts = (window.times, window.runs, *values)
        rows = zip(*(of[part].tolist() for of in parts), strict=True)
        yield "".join(
            f"{_moment(time)},{time:.3f},{run},{','.join(map(_field, fields))}\r\n" for time, run, *fields in rows
        )


def _moment(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")


def _field(value: float) -> str:
    return repr(value) if math.isfinite(value) else ""
