"""The sampler thread, which samples the process once a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from services.memory.clock import Clock
from services.memory.types import Sample

log = structlog.get_logger(__name__)

Source = Callable[[], Mapping[str, float]]
# The share of a core that one source may use. A slower source is read less often; its last values are used meanwhile.
_MAX_SOURCE_SHARE = 0.0005
_MAX_PERIOD_SECONDS = 15.0


@dataclass(slots=True)
class _SourceState:
    """A source, the period in which it is read (seconds of the clock), and its latest values."""

    name: str
    source: Source
    seconds: float
    due: float = 0.0
    values: Mapping[str, float] = field(default_factory=dict)
    failing: bool = False
    calls: int = 0
    spent: float = 0.0


class Sampler:
    """Samples once a second and passes the sample to `sink`. Sources are read in order and return values by column.

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
        self._failing = False

    def add_source(self, source: Source, *, seconds: float = 0.0, name: str = "") -> None:
        """Add the values of `source` to each sample; it is read every `seconds`, by default with each sample."""
        self._sources.append(_SourceState(name or _name(source), source, seconds))

    def add_derived(self, derive: Callable[[Mapping[str, float]], Mapping[str, float]]) -> None:
        """Add to each sample the values that `derive` computes from those of the sources."""
        self._derived.append(derive)

    def start(self) -> None:
        """Start sampling."""
        self._thread = threading.Thread(target=self._run, name="memory-sampler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop sampling; safe to call twice."""
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def sample(self) -> Sample:
        """Take a sample now."""
        with self._lock:
            now = self._clock.time()
            values: dict[str, float] = {}
            for state in self._sources.copy():
                values.update(self._read(state, now))
            for derive in self._derived:
                values.update(derive(values))
            return Sample(now, values)

    def costs(self) -> dict[str, float]:
        """Return the mean CPU seconds of one call by source."""
        return {state.name: state.spent / state.calls for state in self._sources.copy() if state.calls}

    def _read(self, state: _SourceState, now: float) -> Mapping[str, float]:
        if now < state.due:
            return state.values
        began = time.thread_time()
        try:
            state.values = state.source()
            state.failing = False
        except Exception:
            # One failing source must not end sampling.
            state.values = {}
            if not state.failing:
                log.exception("memory source failed", source=state.name)
            state.failing = True
        took = time.thread_time() - began
        state.calls += 1
        state.spent += took
        period = min(max(state.seconds, took / _MAX_SOURCE_SHARE), _MAX_PERIOD_SECONDS)
        # Half a sample early, so that a period of five samples does not become six.
        state.due = now + period - self._seconds / 2
        return state.values

    def _run(self) -> None:
        due = self._clock.time()
        while not self._clock.wait(self._stopping, due - self._clock.time()):
            due += self._seconds
            if due < self._clock.time():
                due = self._clock.time() + self._seconds  # missed samples are not made up for
            try:
                self._sink(self.sample())
            except Exception:
                # A sample that fails is a gap in the history, no reason to end.
                if not self._failing:
                    log.exception("sampling failed")
                self._failing = True
            else:
                self._failing = False


def _name(source: Source) -> str:
    own = getattr(source, "__qualname__", "") or type(source).__name__
    return str(own)
