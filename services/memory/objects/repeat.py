"""Repeats an action n times and reports what each repetition leaves behind: the three-snapshot method.

What a repetition creates and frees is in no later snapshot. What was created in the first half and is still there at
the end has been left behind; if it is n objects or a multiple, each repetition leaves that many. Warm-up repetitions
fill caches first. (Mozilla's and Chrome's developers describe the method for browsers.)
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable

import structlog

from services.core.actor import SERVICE, Actor, Permission
from services.core.errors import BadInputError, BusyError, CancelledError, ConflictError, MillpondError, NotFoundError
from services.core.i18n import _
from services.memory.clock import Clock
from services.memory.objects.repeat_report import (
    RepeatProgress,
    RepeatReport,
    RepeatStage,
    RepeatState,
    SnapshotTaker,
    repeat_growth,
)
from services.memory.process import heap_bytes, rss_bytes

log = structlog.get_logger(__name__)

FEWEST_REPETITIONS, MOST_REPETITIONS = 4, 1000
KEPT_REPORTS = 10
WARM_UPS = 2
_PATIENCE_SECONDS = 1800.0  # for a person who repeats something by hand
_BUSY_SECONDS = 60.0


class RepeatRunner:
    """Runs one series of repetitions at a time in its own thread; keeps the last reports."""

    def __init__(self, taker: SnapshotTaker, clock: Clock) -> None:
        self._taker = taker
        self._clock = clock
        self._actions: dict[str, tuple[str, Callable[[], object]]] = {}
        self._lock = threading.Lock()
        self._run: RepeatSeries | None = None
        self._reports: deque[RepeatReport] = deque(maxlen=KEPT_REPORTS)

    def add(self, name: str, action: Callable[[], object], label: str = "") -> None:
        """Register `action` under `name`; it is called from another thread and may raise a `MillpondError`."""
        self._actions[name] = label or name, action

    @property
    def actions(self) -> dict[str, str]:
        """The labels of registered actions, by name."""
        return {name: label for name, (label, _action) in self._actions.items()}

    @property
    def progress(self) -> RepeatProgress | None:
        """The progress of the running series, None when there is none."""
        run = self._run
        return run.progress() if run is not None and run.thread.is_alive() else None

    @property
    def reports(self) -> tuple[RepeatReport, ...]:
        """The last reports, newest first."""
        return tuple(reversed(self._reports))

    def start(self, actor: Actor, action: str, times: int) -> None:
        """Start repeating a registered action `times` times, after two warm-up repetitions.

        Raises:
            ForbiddenError: `actor` may only view.
            NotFoundError: there is no such action.
            BadInputError: too few or too many times.
            ConflictError: a series is running.
        """
        actor.require(Permission.OPERATE, _("Repeat something"))
        label, work = self._actions.get(action, ("", None))
        if work is None:
            raise NotFoundError(_("No such action can be repeated."), _("Choose one that is listed."))
        self._start(label, times, work)

    def start_by_hand(self, actor: Actor, times: int, what: str = "") -> None:
        """Start a series in which a person repeats something and calls `mark` each time; raises as `start` does."""
        actor.require(Permission.OPERATE, _("Repeat something"))
        self._start(what.strip()[:80] or _("by hand"), times, None)

    def mark(self, actor: Actor) -> None:
        """Record that the person has done one repetition.

        Raises:
            ForbiddenError: `actor` may only view.
            ConflictError: no series by hand is running.
        """
        actor.require(Permission.OPERATE, _("Repeat something"))
        run = self._run
        if run is None or not run.mark():
            raise ConflictError(_("Nothing is being repeated by hand."), _("Start a series first."))

    def cancel(self, actor: Actor) -> None:
        """End the running series after the current repetition; no effect when there is none.

        Raises:
            ForbiddenError: `actor` may only view.
        """
        actor.require(Permission.OPERATE, _("Cancel a series"))
        if run := self._run:
            run.stopping.set()
            run.marks.release()

    def close(self) -> None:
        """Cancel the running series and wait for its end."""
        self.cancel(SERVICE)
        if (run := self._run) is not None and run.thread.is_alive():
            run.thread.join()

    def _start(self, action: str, times: int, work: Callable[[], object] | None) -> None:
        if not FEWEST_REPETITIONS <= times <= MOST_REPETITIONS:
            raise BadInputError(
                _("{times} is no possible number of repetitions.").format(times=times),
                _("Choose between {least} and {most}.").format(least=FEWEST_REPETITIONS, most=MOST_REPETITIONS),
            )
        with self._lock:
            if self._run is not None and self._run.thread.is_alive():
                raise ConflictError(_("Something is being repeated already."), _("Wait until it ends, or cancel it."))
            self._run = RepeatSeries(
                self._taker, self._clock, action=action, times=times, work=work, report=self._reports.append
            )
            self._run.thread.start()


class RepeatSeries:
    """One series of repetitions, from the first snapshot to the report."""

    def __init__(
        self,
        taker: SnapshotTaker,
        clock: Clock,
        *,
        action: str,
        times: int,
        work: Callable[[], object] | None,
        report: Callable[[RepeatReport], None],
    ) -> None:
        self.stopping = threading.Event()
        self.marks = threading.Semaphore(0)
        self.thread = threading.Thread(target=self._run, name="memory-repeats", daemon=True)
        self._taker, self._clock, self._report = taker, clock, report
        self._action, self._times, self._work = action, times, work
        self._began = clock.time()
        self._stage, self._done, self._pause = RepeatStage.START, 0, 0.0
        # Filled in place: the memory of a series must not grow with its repetitions.
        self._blocks = array("q", bytes(8 * (times + 1)))
        self._heap = array("q", bytes(8 * (times + 1)))
        self._rss = array("q", bytes(8 * (times + 1)))

    def progress(self) -> RepeatProgress:
        """Return how far the series is."""
        by_hand = self._work is None
        waits = by_hand and self._stage in {RepeatStage.WARM_UP, RepeatStage.REPEATING}
        return RepeatProgress(self._action, self._stage, self._done, self._times, by_hand, waits, self._began)

    def mark(self) -> bool:
        """Record a repetition by hand; false when the series does not wait for one."""
        if not self.thread.is_alive() or self._work is not None:
            return False
        self.marks.release()
        return True

    def _run(self) -> None:
        state, error, names = RepeatState.DONE, "", list[str]()
        try:
            self._repeat(names)
        except CancelledError:
            state = RepeatState.CANCELLED
        except MillpondError as failure:
            state, error = RepeatState.FAILED, str(failure)
        except Exception as failure:  # an action may raise anything; the report says so
            log.exception("a repetition failed", action=self._action)
            state, error = RepeatState.FAILED, type(failure).__name__
        self._finish(state, error, names)

    def _finish(self, state: RepeatState, error: str, names: list[str]) -> None:
        last = len(self._blocks) - 1
        growth = None
        try:
            if state is RepeatState.DONE:
                growth = repeat_growth(self._taker, names, self._times)
        except MillpondError as failure:
            state, error = RepeatState.FAILED, str(failure)
        done = last if state is RepeatState.DONE else min(self._done, last)
        self._report(
            RepeatReport(
                action=self._action,
                time=self._began,
                state=state,
                error=error,
                times=self._times,
                done=done,
                seconds=self._clock.time() - self._began,
                longest_pause=self._pause,
                blocks=tuple(self._blocks[: done + 1]),
                heap=tuple(self._heap[: done + 1]),
                rss=tuple(self._rss[: done + 1]),
                snapshots=tuple(names),
                types=growth.types if growth else (),
                containers=growth.containers if growth else (),
            )
        )

    def _repeat(self, names: list[str]) -> None:
        names.append(self._take_snapshot("start"))
        for repetition in range(1, WARM_UPS + 1):
            self._repeat_once(RepeatStage.WARM_UP)
            self._done = repetition
        names.append(self._take_snapshot("warm"))
        self._done = 0
        self._measure(0)
        for repetition in range(1, self._times + 1):
            self._repeat_once(RepeatStage.REPEATING)
            self._measure(repetition)
            self._done = repetition
            if repetition in {self._times // 2, self._times}:
                names.append(self._take_snapshot("middle" if repetition < self._times else "end"))
        self._stage = RepeatStage.COMPARING

    def _repeat_once(self, stage: RepeatStage) -> None:
        self._stage = stage
        if self._work is not None:
            self._work()
        elif not self.marks.acquire(timeout=_PATIENCE_SECONDS):
            self.stopping.set()
        if self.stopping.is_set():
            raise CancelledError(_("The series was cancelled."))

    def _measure(self, place: int) -> None:
        self._blocks[place] = sys.getallocatedblocks()
        self._heap[place] = int(heap_bytes() or 0)
        self._rss[place] = rss_bytes()

    def _take_snapshot(self, when: str) -> str:
        """Take a snapshot of what is left after a full collection, which stops all threads."""
        self._stage = RepeatStage.SNAPSHOT
        began = time.monotonic()
        gc.collect()
        self._pause = max(self._pause, time.monotonic() - began)
        until = began + _BUSY_SECONDS
        while True:
            if self.stopping.is_set():
                raise CancelledError(_("The series was cancelled."))
            try:
                return self._taker.take_snapshot(f"{self._action}: {when}").name
            except BusyError:
                if time.monotonic() > until:
                    raise
                self.stopping.wait(0.5)
