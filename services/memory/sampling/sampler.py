"""The one thread that looks at the process, once a second, however many tabs are open.

What watching itself costs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from services.memory.clock import Clock
from services.memory.types import Sample, Series

log = structlog.get_logger(__name__)

Source = Callable[[], Mapping[str, float]]
# What one source may take of a core. One that took longer is asked less often; its last values stand meanwhile.
_MAX_SOURCE_SHARE = 0.0005
_MAX_PERIOD_SECONDS = 15.0


@dataclass(slots=True)
class _SourceState:
    """A source, how often it is asked (seconds of the clock), and what it said last."""

    name: str
    source: Source
    seconds: float
    due: float = 0.0
    values: Mapping[str, float] = field(default_factory=dict)
    failing: bool = False
    calls: int = 0
    spent: float = 0.0


class Sampler:
    """Takes a sample a second and hands it to `sink`. Sources are asked in their order and return values by column.

    A source that fails is left out of the sample, and logged once until it works again.
    """

    def __init__(self, clock: Clock, sink: Callable[[Sample], None], seconds: float = 1.0) -> None:
        self._clock = clock
        self._sink = sink
        self._seconds = seconds
        self._lock = threading.Lock()
        self._sources: list[_SourceState] = []
        self._derived: list[Callable[[Mapping[str, float]], Mapping[str, float]]] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._in_trouble = False

    def add_source(self, source: Source, *, seconds: float = 0.0, name: str = "") -> None:
        """Have each sample carry what `source` returns; it is asked every `seconds`, by default with each sample."""
        self._sources.append(_SourceState(name or _name(source), source, seconds))

    def add_derived(self, derive: Callable[[Mapping[str, float]], Mapping[str, float]]) -> None:
        """Have each sample also carry what `derive` makes of the values that the sources have returned."""
        self._derived.append(derive)

    def start(self) -> None:
        """Begin sampling."""
        self._thread = threading.Thread(target=self._run, name="memory-sampler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; safe to call twice."""
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def sample(self) -> Sample:
        """Look once, now."""
        with self._lock:
            now = self._clock.time()
            values: dict[str, float] = {}
            for asked in self._sources.copy():
                values.update(self._ask(asked, now))
            for derive in self._derived:
                values.update(derive(values))
            return Sample(now, values)

    def costs(self) -> dict[str, float]:
        """Return the mean CPU seconds of one call by source."""
        return {asked.name: asked.spent / asked.calls for asked in self._sources.copy() if asked.calls}

    def _ask(self, asked: _SourceState, now: float) -> Mapping[str, float]:
        if now < asked.due:
            return asked.values
        began = time.thread_time()
        try:
            asked.values = asked.source()
            asked.failing = False
        except Exception:
            # Sampling must not end because one figure cannot be had.
            asked.values = {}
            if not asked.failing:
                log.exception("a figure cannot be sampled", source=asked.name)
            asked.failing = True
        took = time.thread_time() - began
        asked.calls += 1
        asked.spent += took
        pace = min(max(asked.seconds, took / _MAX_SOURCE_SHARE), _MAX_PERIOD_SECONDS)
        # Half a sample early, so that a pace of five samples does not become six.
        asked.due = now + pace - self._seconds / 2
        return asked.values

    def _run(self) -> None:
        due = self._clock.time()
        while not self._clock.wait(self._stopping, due - self._clock.time()):
            due += self._seconds
            if due < self._clock.time():
                due = self._clock.time() + self._seconds  # what was missed is not made up for
            try:
                self._sink(self.sample())
            except Exception:
                # A sample that cannot be taken or kept is a gap in a curve, no reason to end.
                if not self._in_trouble:
                    log.exception("sampling failed")
                self._in_trouble = True
            else:
                self._in_trouble = False


def _name(source: Source) -> str:
    own = getattr(source, "__qualname__", "") or type(source).__name__
    return str(own)


class CpuShare:
    """CPU of the threads that watch. Each of them says now and then how much it has used; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}
        self._left_out: dict[str, float] = {}
        self._last: tuple[float, float] | None = None

    def note(self) -> None:
        """Note the CPU time of the thread that calls."""
        name, seconds = threading.current_thread().name, time.thread_time()
        with self._lock:
            self._seconds[name] = seconds - self._left_out.get(name, 0.0)

    def leave_out(self, seconds: float) -> None:
        """Do not count `seconds` of CPU of the thread that calls: it did something else than to watch."""
        name = threading.current_thread().name
        with self._lock:
            self._left_out[name] = self._left_out.get(name, 0.0) + seconds

    def seconds(self) -> Mapping[str, float]:
        """Return the CPU seconds by thread."""
        with self._lock:
            return dict(self._seconds)

    def __call__(self) -> Mapping[str, float]:
        """Return the share of one core since the last call."""
        self.note()
        now, spent = time.monotonic(), sum(self.seconds().values())
        last, self._last = self._last, (now, spent)
        if last is None or now <= last[0]:
            return {}
        return {Series.SAMPLER_CPU: max(0.0, spent - last[1]) / (now - last[0])}
