"""What the memory page shows, built once per range and tick: twenty open tabs cost hardly more than one."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from console.components.chart import Drawn
from console.components.charts.figure import Chart
from console.components.charts.ledger import LEDGER_COLUMNS, LEDGER_POINTS, ledger_chart, owners_chart
from console.components.charts.lines import LINE_COLUMNS, LINE_POINTS, TIME_CHARTS, requests_chart
from console.ranges import PACES, Range, span
from services.runtime import Runtime

_ZOOM = "memory"
_MOST_MARKS = 100
Value = TypeVar("Value")


class Shared(Generic[Value]):
    """Values that all tabs share for a tick of `seconds` each: the first to ask builds, the others wait for it.

    Keeps one value per key, at most `most` keys. Time is the process's own, whatever clock the samples have.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._entries: OrderedDict[object, _Entry[Value]] = OrderedDict()

    def get(self, key: object, seconds: float, build: Callable[[], Value]) -> Value:
        """Return the value of `key`, built at most once per tick."""
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)
        with entry.lock:
            tick = int(time.monotonic() / seconds)
            if entry.value is None or entry.tick != tick:
                entry.value = build()
                entry.tick = tick
            return entry.value

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()


class _Entry(Generic[Value]):
    """One value, the tick that it was built in, and the lock under which that is done."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tick = -1
        self.value: Value | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """The charts of one range: the ledger, those over time by name, growth per request (None: too few requests)."""

    ledger: Drawn
    lines: dict[str, Drawn]
    requests: Drawn | None
    empty: bool


_boards: Shared[Board] = Shared(most=len(Range))
_owners: Shared[Drawn] = Shared(most=2)


def board(runtime: Runtime, choice: Range) -> Board:
    """Return the charts of a range, at most as old as its beat."""
    return _boards.get((id(runtime), choice), PACES[choice].beat / 2, lambda: _build(runtime, choice))


def owners(runtime: Runtime) -> Drawn | None:
    """Return the chart of the newest ledger, None before the first."""
    ledger = runtime.memory.ledger.last
    if ledger is None:
        return None
    return _owners.get((id(runtime), ledger.time), 3600.0, lambda: Drawn.of(owners_chart(ledger)))


def _build(runtime: Runtime, choice: Range) -> Board:
    history, now = runtime.memory.history, runtime.memory.clock.time()
    start, end = span(choice, now, LEDGER_POINTS)
    stacked = history.window(start, end, columns=LEDGER_COLUMNS, points=LEDGER_POINTS)
    events = runtime.events.between(start, end, _MOST_MARKS)
    seen = (now - PACES[choice].seconds, now)
    ledger = ledger_chart(stacked, events, span=seen, zoom=_ZOOM)
    start, end = span(choice, now, LINE_POINTS)
    fine = history.window(start, end, columns=LINE_COLUMNS, points=LINE_POINTS)
    charts: list[Chart | None] = [make(fine, span=seen, zoom=_ZOOM) for make in TIME_CHARTS]
    requests = requests_chart(fine, per_request=runtime.memory.detector.verdict.per_request)
    return Board(
        _drawn(ledger, choice),
        {chart.name: _drawn(chart, choice) for chart in charts if chart is not None},
        _drawn(requests, choice) if requests else None,
        len(fine) == 0,
    )


def _drawn(chart: Chart, choice: Range) -> Drawn:
    return Drawn.of(replace(chart, subject=f"{choice}{chart.subject}"))
