"""Does something n times and tells what each time leaves behind: the three-snapshot method.

What one repetition makes and lets go again is in no later snapshot. What was made in the first half and is still there
at the end has been left behind; if there are n of it, or a multiple, each repetition leaves so many.
(Mozilla's and Chrome's developers describe the method for browsers; the warm-up repetitions fill caches first.)

Which types and containers grow with each repetition, judged from the snapshots of a series.

One series of repetitions, from the first snapshot to the report.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from services.core.access import SERVICE, Actor
from services.core.errors import BadInputError, BusyError, CancelledError, ConflictError, MillpondError, NotFoundError
from services.core.i18n import _
from services.memory.clock import Clock
from services.memory.objects.repeat_types import (
    ContainerGrowth,
    RepeatGrowth,
    RepeatProgress,
    RepeatReport,
    RepeatState,
    Stage,
    TypeGrowth,
)
from services.memory.objects.snapshots import Snapshot
from services.memory.objects.types import Amount, Census, Lengthened, TypeCount
from services.memory.process import heap_bytes, rss_bytes

log = structlog.get_logger(__name__)

LEAST, MOST = 4, 1000
KEPT = 10
_MOST = 50
_NOTHING = TypeCount(0, 0)
WARM_UPS = 2
_PATIENCE_SECONDS = 1800.0  # for a person who repeats something by hand
_BUSY_SECONDS = 60.0


class RepeatRunner:
    """Runs one series of repetitions at a time in a thread of its own; keeps the last reports."""

    def __init__(self, looks: CensusTaker, clock: Clock) -> None:
        self._looks = looks
        self._clock = clock
        self._actions: dict[str, tuple[str, Callable[[], object]]] = {}
        self._lock = threading.Lock()
        self._run: RepeatSeries | None = None
        self._reports: deque[RepeatReport] = deque(maxlen=KEPT)

    def add(self, name: str, action: Callable[[], object], label: str = "") -> None:
        """Offer `action` under `name`; it is called from another thread and may raise a `MillpondError`."""
        self._actions[name] = label or name, action

    @property
    def actions(self) -> dict[str, str]:
        """What can be repeated: what people call it, by name."""
        return {name: label for name, (label, _action) in self._actions.items()}

    @property
    def progress(self) -> RepeatProgress | None:
        """How far the present series is, None when there is none."""
        run = self._run
        return run.progress() if run is not None and run.thread.is_alive() else None

    @property
    def reports(self) -> tuple[RepeatReport, ...]:
        """The last reports, newest first."""
        return tuple(reversed(self._reports))

    def start(self, actor: Actor, action: str, times: int) -> None:
        """Begin to repeat a registered action `times` times, after two more for the warm-up.

        Raises:
            ForbiddenError: `actor` may only look.
            NotFoundError: there is no such action.
            BadInputError: too few or too many times.
            ConflictError: a series is running.
        """
        actor.require_admin(_("Repeat something"))
        label, work = self._actions.get(action, ("", None))
        if work is None:
            raise NotFoundError(_("No such action can be repeated."), _("Choose one that is listed."))
        self._start(label, times, work)

    def start_by_hand(self, actor: Actor, times: int, what: str = "") -> None:
        """Begin a series in which a person does something and calls `mark` after each time; raises as `start` does."""
        actor.require_admin(_("Repeat something"))
        self._start(what.strip()[:80] or _("by hand"), times, None)

    def mark(self, actor: Actor) -> None:
        """Say that the person has done it once more.

        Raises:
            ForbiddenError: `actor` may only look.
            ConflictError: nobody waits for that.
        """
        actor.require_admin(_("Repeat something"))
        run = self._run
        if run is None or not run.mark():
            raise ConflictError(_("Nothing is being repeated by hand."), _("Start a series first."))

    def cancel(self, actor: Actor) -> None:
        """End the present series after the repetition in progress; nothing happens when there is none.

        Raises:
            ForbiddenError: `actor` may only look.
        """
        actor.require_admin(_("Cancel a series"))
        if run := self._run:
            run.stopping.set()
            run.marks.release()

    def close(self) -> None:
        """Cancel and wait."""
        self.cancel(SERVICE)
        if (run := self._run) is not None and run.thread.is_alive():
            run.thread.join()

    def _start(self, action: str, times: int, work: Callable[[], object] | None) -> None:
        if not LEAST <= times <= MOST:
            raise BadInputError(
                _("{times} repetitions are not possible.").format(times=times),
                _("Choose between {least} and {most}.").format(least=LEAST, most=MOST),
            )
        with self._lock:
            if self._run is not None and self._run.thread.is_alive():
                raise ConflictError(_("Something is being repeated already."), _("Wait for its end, or cancel it."))
            self._run = RepeatSeries(
                self._looks, self._clock, action=action, times=times, work=work, report=self._reports.append
            )
            self._run.thread.start()


class _Looks(Protocol):
    def snapshot(self, name: str) -> Census: ...

    def lengthened(self, *names: str) -> tuple[Lengthened, ...]: ...

    def survivors(self, first: str, second: str, third: str) -> dict[str, Amount]: ...


def growth_of(looks: _Looks, names: Sequence[str], times: int) -> RepeatGrowth:
    """Return what grew; `names` are the snapshots at the start, warmed up, in the middle and at the end."""
    _start, warm, middle, end = names
    left = looks.survivors(warm, middle, end)
    censuses = (looks.snapshot(warm), looks.snapshot(middle), looks.snapshot(end))
    return RepeatGrowth(_types(*censuses, left, times), _containers(looks.lengthened(warm, middle, end), times))


def _types(warm: Census, middle: Census, end: Census, left: dict[str, Amount], times: int) -> tuple[TypeGrowth, ...]:
    found = []
    for name in end.types:
        counts = [census.types.get(name, _NOTHING) for census in (warm, middle, end)]
        first, second = _difference(counts[0], counts[1]), _difference(counts[1], counts[2])
        added = Amount(first.count + second.count, first.bytes + second.bytes)
        half = times // 2
        # Half of the repetitions must have left one in each half of the series: less is a cache or chance.
        if first.count * 2 >= half and second.count * 2 >= times - half:
            found.append(
                TypeGrowth(name, added, first, second, left.get(name, Amount()), each(first, second, half, times))
            )
    # What each repetition leaves exactly comes first: other threads' growth is seldom a multiple.
    found.sort(key=lambda growth: (growth.each is None, growth.each != growth.added.count / times, -growth.added.bytes))
    return tuple(found[:_MOST])


def each(first: Amount, second: Amount, half: int, times: int) -> int | None:
    """Return how many objects every repetition leaves if both halves agree to within one in ten, else None."""
    number = round((first.count + second.count) / times)
    if number < 1:
        return None
    for amount, repetitions in ((first, half), (second, times - half)):
        expected = number * repetitions
        if abs(amount.count - expected) > expected // 10:
            return None
    return number


def _containers(found: Sequence[Lengthened], times: int) -> tuple[ContainerGrowth, ...]:
    half = times // 2
    grown = []
    for entry in found:
        before, between, after = entry.lengths
        first, second = Amount(between - before), Amount(after - between)
        if first.count * 2 >= half and second.count * 2 >= times - half:
            grown.append(ContainerGrowth(entry.name, entry.type, before, after, each(first, second, half, times)))
    return tuple(grown[:_MOST])


def _difference(before: TypeCount, after: TypeCount) -> Amount:
    return Amount(after.count - before.count, after.bytes - before.bytes)


class CensusTaker(Protocol):
    """What the repetitions need of the inspector."""

    def take(self, label: str = "", *, kept: bool = False) -> Snapshot:
        """Store a census."""

    def snapshot(self, name: str) -> Census:
        """Return a stored census."""

    def lengthened(self, *names: str) -> tuple[Lengthened, ...]:
        """Return the containers that became longer from snapshot to snapshot."""

    def survivors(self, first: str, second: str, third: str) -> dict[str, Amount]:
        """Compare three."""


class RepeatSeries:
    """One series."""

    def __init__(
        self,
        looks: CensusTaker,
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

    def progress(self) -> RepeatProgress:
        by_hand = self._work is None
        waits = by_hand and self._stage in {Stage.WARM_UP, Stage.REPEATING}
        return RepeatProgress(self._action, self._stage, self._done, self._times, by_hand, waits, self._began)

    def mark(self) -> bool:
        if not self.thread.is_alive() or self._work is not None:
            return False
        self.marks.release()
        return True

    def _whole(self) -> None:
        state, error, names = RepeatState.DONE, "", list[str]()
        try:
            self._repeat(names)
        except CancelledError:
            state = RepeatState.CANCELLED
        except MillpondError as failure:
            state, error = RepeatState.FAILED, str(failure)
        except Exception as failure:  # an action may be anything; its failure belongs to the report
            log.exception("a repetition failed", action=self._action)
            state, error = RepeatState.FAILED, type(failure).__name__
        self._finish(state, error, names)

    def _finish(self, state: RepeatState, error: str, names: list[str]) -> None:
        last = len(self._blocks) - 1
        growth = None
        try:
            if state is RepeatState.DONE:
                growth = growth_of(self._looks, names, self._times)
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
