"""The tracer: tracemalloc for a limited time, snapshots on disk, comparisons."""

from __future__ import annotations

import threading
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import psutil

from services.core.actor import SERVICE, Actor, Permission
from services.core.auditing import Action, Target, TargetKind
from services.core.errors import BadInputError, ConflictError, UnavailableError
from services.core.events import EventKind, EventSink
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.memory import fork_snapshot
from services.memory.clock import Clock
from services.memory.tracing import session as tracing_session
from services.memory.tracing.call_tree import CallTree, build_call_tree
from services.memory.tracing.compare import compare_traces, growing_lines, growth_text
from services.memory.tracing.profiles import ProfileFormat, as_profile
from services.memory.tracing.session import TraceSession
from services.memory.tracing.snapshot_store import SnapshotStore, capture_snapshot
from services.memory.tracing.switch import TracingSwitch
from services.memory.tracing.types import (
    MOST_FRAMES,
    MOST_MINUTES,
    GroupBy,
    SnapshotInfo,
    SourceLine,
    TraceComparison,
    TraceFilters,
    TraceGrowth,
    TracingCost,
    TracingStatus,
)

_COMPARISONS = 8
_CALL_TREES = 4


class Tracer:
    """Switches tracemalloc on and off and keeps its snapshots in `folder`.

    Tracing ends by itself: a thread waits for the end and takes automatic snapshots. All snapshots are taken in forked
    children. Only the snapshots survive a restart. Times are those of `clock`. `sampled` returns the traced bytes as
    everything else shows them (None: read now).
    """

    def __init__(
        self, folder: Path, clock: Clock, reporter: EventSink, sampled: Callable[[], int | None] = lambda: None
    ) -> None:
        self._clock = clock
        self._reporter = reporter
        self._sampled = sampled
        self._store = SnapshotStore(folder / "allocations")
        self._lock = threading.RLock()
        self._switch = TracingSwitch()
        self._session: TraceSession | None = None
        self._foreign_since = clock.time()
        self._costs: dict[int, TracingCost] = {}
        self._comparisons: OrderedDict[object, TraceComparison] = OrderedDict()
        self._call_trees: OrderedDict[object, CallTree] = OrderedDict()
        self._growth: tuple[tuple[str, str], tuple[TraceGrowth, ...]] | None = None

    def cost(self, frames: int) -> TracingCost:
        """Return the cost of tracing with `frames` frames on this machine; measured once, in a forked child."""
        _check_limits(frames, 1)
        known = self._costs.get(frames)
        if known is None:
            known = self._costs[frames] = tracing_session.measure_cost(frames)
        return known

    def known_cost(self, frames: int) -> TracingCost | None:
        """Return the cost if it was measured before."""
        return self._costs.get(frames)

    def start(self, actor: Actor, frames: int = 1, minutes: float = 15.0) -> TracingStatus:
        """Switch tracing on for `minutes`, recording `frames` frames of each allocation.

        Raises:
            ForbiddenError: `actor` may only view.
            BadInputError: a number out of range.
            ConflictError: tracing is on already.
        """
        actor.require(Permission.OPERATE, _("Trace allocations"))
        _check_limits(frames, minutes)
        with self._lock:
            if self._session is not None:
                raise ConflictError(_("Tracing is on already."), _("Stop it first to choose another depth or time."))
            if tracemalloc.is_tracing():
                raise ConflictError(
                    _("Something else traces already, PYTHONTRACEMALLOC for example; nothing was changed."),
                    _("Snapshots can still be taken."),
                )
            self._switch.on(frames)
            session = TraceSession(
                self._clock, frames, minutes * 60, take_snapshot=self._take_automatic, on_end=self._session_ended
            )
            self._session = session
            session.start()
        self._reporter.action(actor.name, EventKind.TRACING, _("Tracing on"), frames=frames, minutes=minutes)
        text = _("on for {minutes:g} min, frames: {frames}").format(frames=frames, minutes=minutes)
        self._reporter.audit(actor, Action.TRACING_CHANGED, Target(TargetKind.TRACING), detail=text)
        return self.status()

    def stop(self, actor: Actor) -> TracingStatus:
        """Switch tracing off; no effect when this tracer did not switch it on. The snapshots stay.

        Raises:
            ForbiddenError: `actor` may only view.
        """
        actor.require(Permission.OPERATE, _("End tracing"))
        with self._lock:
            session = self._session
        if session is not None:
            self._end(session, _("Tracing off"), actor)
            self._reporter.audit(actor, Action.TRACING_CHANGED, Target(TargetKind.TRACING), detail=_("off"))
        return self.status()

    def close(self) -> None:
        """Switch tracing off; safe to call twice."""
        self.stop(SERVICE)

    def status(self) -> TracingStatus:
        """Return whether tracing is on, what it holds, and how long a snapshot would stop all threads (cheap)."""
        count = len(self._store.snapshots())
        with self._lock:
            session = self._session
        if not tracemalloc.is_tracing():
            return TracingStatus(on=False, snapshots=count)
        traced, peak = tracemalloc.get_traced_memory()
        blocks, overhead = tracing_session.trace_tables()
        return TracingStatus(
            on=True,
            foreign=session is None,
            frames=tracemalloc.get_traceback_limit() if session is None else session.frames,
            since=session.began if session else self._foreign_since,
            until=session.until if session else 0.0,
            remaining=max(0.0, session.until - self._clock.time()) if session else 0.0,
            traced=self._sampled() or traced,
            peak=peak,
            overhead=overhead,
            blocks=blocks,
            pause=fork_snapshot.expected_pause_seconds(),
            stop_pause=blocks * tracing_session.STOP_SECONDS_PER_TRACE,
            snapshot_bytes=blocks * tracing_session.COPY_BYTES_PER_TRACE,
            automatic_seconds=session.interval if session else 0.0,
            problem=session.problem if session else "",
            snapshots=count,
        )

    def expected_pause_seconds(self) -> float:
        """Return for about how many seconds a snapshot would stop all threads now."""
        return fork_snapshot.expected_pause_seconds()

    def take_snapshot(self, actor: Actor, name: str = "", note: str = "") -> SnapshotInfo:
        """Take a snapshot in a forked child; this process stops for the fork only.

        Raises:
            ForbiddenError: `actor` may only view.
            ConflictError: tracing is off.
            UnavailableError: not enough memory for the child, or no fork on this system.
            StorageError: the disk refused.
        """
        actor.require(Permission.OPERATE, _("Take a snapshot of the allocations"))
        info = self._capture(automatic=False, actor=actor)
        self._reporter.audit(actor, Action.ALLOCATIONS_LOOKED_AT, Target(TargetKind.SNAPSHOT, info.id))
        return self._store.describe(info.id, name=name or None, note=note or None) if name or note else info

    def damaged_snapshots(self) -> list[str]:
        """Return the ids of snapshots of which something was damaged or missing at the start."""
        return list(self._store.damaged)

    def snapshots(self) -> list[SnapshotInfo]:
        """Return the snapshots, newest first, including those of earlier runs of the server."""
        return self._store.snapshots()

    def info(self, snapshot_id: str) -> SnapshotInfo:
        """Return a snapshot; raises NotFoundError when it does not exist."""
        return self._store.get(snapshot_id)

    def file(self, snapshot_id: str) -> Path:
        """Return the file of a snapshot, for downloads."""
        path = self._store.path(snapshot_id)
        self._reporter.audit(None, Action.EXPORT, Target(TargetKind.SNAPSHOT, snapshot_id))
        return path

    def profile(self, snapshot_id: str, wanted: ProfileFormat) -> bytes:
        """Return a whole snapshot as a profile that other programs read.

        Raises:
            NotFoundError: it does not exist.
            DamagedError: its file is damaged.
        """
        found = as_profile(self._store.traces(snapshot_id), self._store.get(snapshot_id), wanted)
        self._reporter.audit(None, Action.EXPORT, Target(TargetKind.SNAPSHOT, snapshot_id))
        return found

    def describe(self, snapshot_id: str, *, name: str | None = None, note: str | None = None) -> SnapshotInfo:
        """Set the name or note of a snapshot."""
        described = self._store.describe(snapshot_id, name=name, note=note)
        self._reporter.audit(None, Action.SNAPSHOT_CHANGED, Target(TargetKind.SNAPSHOT, snapshot_id))
        return described

    def delete(self, actor: Actor, snapshot_id: str) -> None:
        """Remove a snapshot for good.

        Raises:
            ForbiddenError: `actor` may only view.
            NotFoundError: it does not exist.
        """
        actor.require(Permission.OPERATE, _("Delete a snapshot of the allocations"))
        self._store.delete(snapshot_id)
        self._reporter.audit(actor, Action.SNAPSHOT_DELETED, Target(TargetKind.SNAPSHOT, snapshot_id))

    def compare(
        self,
        old_id: str,
        new_id: str,
        by: GroupBy = GroupBy.LINE,
        filters: TraceFilters = TraceFilters(),  # noqa: B008 - frozen
        *,
        limit: int = 200,
        at: SourceLine | None = None,
    ) -> TraceComparison:
        """Compare two snapshots; with `old_id` "" list what is in the newer one.

        Raises:
            NotFoundError: one of them does not exist.
            DamagedError: the file of one of them is damaged.
        """
        new = self._store.get(new_id)
        old = self._store.get(old_id) if old_id else None
        key = (new, old, by, filters, limit, at)
        with self._lock:
            if key in self._comparisons:
                self._comparisons.move_to_end(key)
                return self._comparisons[key]
        before = self._store.traces(old_id) if old_id else None
        found = compare_traces(
            self._store.traces(new_id), before, (new, old), by=by, filters=filters, limit=limit, at=at
        )
        with self._lock:
            self._comparisons[key] = found
            while len(self._comparisons) > _COMPARISONS:
                self._comparisons.popitem(last=False)
        return found

    def call_tree(self, snapshot_id: str, filters: TraceFilters = TraceFilters()) -> CallTree:  # noqa: B008 - frozen
        """Return the calls that led to what a snapshot holds; errors as `compare`."""
        key = (self._store.get(snapshot_id).id, filters)
        with self._lock:
            if key in self._call_trees:
                self._call_trees.move_to_end(key)
                return self._call_trees[key]
        found = build_call_tree(self._store.traces(snapshot_id), filters)
        with self._lock:
            self._call_trees[key] = found
            while len(self._call_trees) > _CALL_TREES:
                self._call_trees.popitem(last=False)
        return found

    def growth(self, limit: int = 20) -> tuple[TraceGrowth, ...]:
        """Return the lines that grew between the oldest and newest snapshot of this session, the fastest first.

        Empty until there are two; recomputed only when there is a new snapshot.
        """
        with self._lock:
            session = self._session
        if session is None:
            return ()
        taken = [info for info in self._store.snapshots() if info.run == session.began]
        if len(taken) < 2:
            return ()
        pair = (taken[-1].id, taken[0].id)
        if self._growth is None or self._growth[0] != pair:
            found = growing_lines(
                self._store.traces(pair[0]), self._store.traces(pair[1]), taken[0].time - taken[-1].time
            )
            self._growth = (pair, found)
        return self._growth[1][:limit]

    def growing_lines(self, limit: int = 20) -> list[tuple[str, float]]:
        """Return the growing lines as text with their bytes per hour, the fastest first."""
        return [(growth_text(found), found.bytes_per_hour) for found in self.growth(limit)]

    def _capture(self, *, automatic: bool, actor: Actor = SERVICE) -> SnapshotInfo:
        status = self.status()
        if not status.on:
            raise ConflictError(_("Tracing is off, so there is nothing to snapshot."), _("Start tracing first."))
        if psutil.virtual_memory().available < status.snapshot_bytes:
            raise UnavailableError(
                _("A snapshot needs about {megabytes:.0f} MB for a copy, more than is free; none was taken.").format(
                    megabytes=status.snapshot_bytes / MEGABYTE
                ),
                _("Stop tracing, or free some memory."),
            )
        info = capture_snapshot(self._store, status, self._clock.time(), automatic=automatic)
        self._reporter.action(
            actor.name,
            EventKind.TRACING,
            _("Automatic snapshot of allocations") if automatic else _("Snapshot of allocations"),
            bytes=info.bytes,
            blocks=info.blocks,
            paused_seconds=info.paused,
        )
        return info

    def _take_automatic(self) -> None:
        """Take a snapshot unless the pause would be noticeable."""
        pause = fork_snapshot.expected_pause_seconds()
        if pause > fork_snapshot.NOTICEABLE_PAUSE_SECONDS:
            raise UnavailableError(
                _(
                    "The last automatic snapshot was skipped: it would have stopped everything for about "
                    "{pause:.0f} ms."
                ).format(pause=pause * 1000)
            )
        self._capture(automatic=True)

    def _session_ended(self, session: TraceSession) -> None:
        self._end(session, _("Tracing off, its time was up"))

    def _end(self, session: TraceSession, detail: str, actor: Actor = SERVICE) -> None:
        with self._lock:
            if self._session is not session:
                return  # ended elsewhere meanwhile
            self._session = None
            traced, overhead = tracemalloc.get_traced_memory()[0], tracing_session.trace_tables()[1]
            self._switch.off()
        session.close()
        figures = {"traced_bytes": traced, "overhead_bytes": overhead}
        self._reporter.action(actor.name, EventKind.TRACING, detail, **figures)


def _check_limits(frames: int, minutes: float) -> None:
    if not 1 <= frames <= MOST_FRAMES:
        raise BadInputError(_("The depth must be from 1 to {most} frames.").format(most=MOST_FRAMES))
    if not 0 < minutes <= MOST_MINUTES:
        raise BadInputError(_("The time must be over 0 and at most {most} minutes.").format(most=MOST_MINUTES))
