"""One series of repetitions, from the first snapshot to the report."""

from __future__ import annotations

import gc
import sys
import threading
import time
from array import array
from collections.abc import Callable
from typing import Protocol

import structlog

from services.errors import BusyError, CancelledError, MillpondError
from services.memory.clock import Clock
from services.memory.objects.growth import growth_of
from services.memory.objects.repeat_types import Progress, RepeatReport, Stage, State
from services.memory.objects.snapshots import Snapshot
from services.memory.objects.types import Amount, Census, Lengthened
from services.memory.process import heap_bytes, rss_bytes
from services.texts import _

log = structlog.get_logger(__name__)

WARM_UPS = 2
_PATIENCE_SECONDS = 1800.0  # for a person who repeats something by hand
_BUSY_SECONDS = 60.0


class Looks(Protocol):
    """What the repetitions need of the inspector."""

    def take(self, label: str = "", *, kept: bool = False) -> Snapshot:
        """Store a census."""

    def snapshot(self, name: str) -> Census:
        """Return a stored census."""

    def lengthened(self, *names: str) -> tuple[Lengthened, ...]:
        """Return the containers that became longer from snapshot to snapshot."""

    def survivors(self, first: str, second: str, third: str) -> dict[str, Amount]:
        """Compare three."""


class Series:
    """One series."""

    def __init__(
        self,
        looks: Looks,
        clock: Clock,
        *,
        action: str,
        times: int,
        work: Callable[[], object] | None,
        report: Callable[[RepeatReport], None],
    ) -> None:
        self.stopping = threading.Event()
        self.marks = threading.Semaphore(0)
        self.thread = threading.Thread(target=self._whole, name="memory-repeats", daemon=True)
        self._looks, self._clock, self._report = looks, clock, report
        self._action, self._times, self._work = action, times, work
        self._began = clock.time()
        self._stage, self._done, self._pause = Stage.START, 0, 0.0
        # Filled in place: what a series remembers must not grow with its repetitions.
        self._blocks = array("q", bytes(8 * (times + 1)))
        self._heap = array("q", bytes(8 * (times + 1)))
        self._rss = array("q", bytes(8 * (times + 1)))

    def progress(self) -> Progress:
        by_hand = self._work is None
        waits = by_hand and self._stage in {Stage.WARM_UP, Stage.REPEATING}
        return Progress(self._action, self._stage, self._done, self._times, by_hand, waits, self._began)

    def mark(self) -> bool:
        if not self.thread.is_alive() or self._work is not None:
            return False
        self.marks.release()
        return True

    def _whole(self) -> None:
        state, error, names = State.DONE, "", list[str]()
        try:
            self._repeat(names)
        except CancelledError:
            state = State.CANCELLED
        except MillpondError as failure:
            state, error = State.FAILED, str(failure)
        except Exception as failure:  # an action may be anything; its failure belongs to the report
            log.exception("a repetition failed", action=self._action)
            state, error = State.FAILED, type(failure).__name__
        self._finish(state, error, names)

    def _finish(self, state: State, error: str, names: list[str]) -> None:
        last = len(self._blocks) - 1
        growth = None
        try:
            if state is State.DONE:
                growth = growth_of(self._looks, names, self._times)
        except MillpondError as failure:
            state, error = State.FAILED, str(failure)
        done = last if state is State.DONE else min(self._done, last)
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
        names.append(self._look("start"))
        for repetition in range(1, WARM_UPS + 1):
            self._once(Stage.WARM_UP)
            self._done = repetition
        names.append(self._look("warm"))
        self._done = 0
        self._measure(0)
        for repetition in range(1, self._times + 1):
            self._once(Stage.REPEATING)
            self._measure(repetition)
            self._done = repetition
            if repetition in {self._times // 2, self._times}:
                names.append(self._look("middle" if repetition < self._times else "end"))
        self._stage = Stage.COMPARING

    def _once(self, stage: Stage) -> None:
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

    def _look(self, when: str) -> str:
        """Store a census of what is left after a collection; the collection stops every thread, as was said."""
        self._stage = Stage.LOOKING
        began = time.monotonic()
        gc.collect()
        self._pause = max(self._pause, time.monotonic() - began)
        until = began + _BUSY_SECONDS
        while True:
            if self.stopping.is_set():
                raise CancelledError(_("The series was cancelled."))
            try:
                return self._looks.take(f"{self._action}: {when}").name
            except BusyError:
                if time.monotonic() > until:
                    raise
                self.stopping.wait(0.5)
