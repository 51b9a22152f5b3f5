"""One scenario in this process: `python -m tests.benchmarks.leaks.real.child NAME --output FILE`.

A real service over a folder of its own does its daily work. Once it is warm its clock runs fast, the scenario takes a
step or more with each request, and the service's own monitor judges. A leak's run ends soon after it was named.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import threading
import time
import warnings
from pathlib import Path

from services.memory.leaks.types import State, Verdict
from services.memory.process import rss_bytes
from services.memory.types import Series
from services.runtime import Runtime
from tests.benchmarks.leaks.real.hurry import HurryingClock
from tests.benchmarks.leaks.real.library import scenario
from tests.benchmarks.leaks.real.records import Change, Record
from tests.benchmarks.leaks.real.scenario import Scenario
from tests.benchmarks.leaks.real.work import Work, settings
from tests.servers import eventually

# As fast as a census, which takes real seconds, allows: it must not take most of the time that a leak needs.
SPEED = 30.0
SECONDS = 80.0  # of the real clock
REQUESTS_PER_SECOND = 5.0  # of the real clock
WARM_UP_REQUESTS = 24
CENSUS_SECONDS = 60.0
AFTERWARDS = 4.0  # seconds that a leak goes on after it was named, to see the next verdicts
MOST_BYTES = 1_500_000_000
_RANK = {State.UNKNOWN: 0, State.FLAT: 1, State.WATCH: 2, State.LEAK: 3}


class _Observer:
    """Looks at the verdicts as they come and keeps the one that counts."""

    def __init__(self, runtime: Runtime, is_leak: bool) -> None:
        self._detector = runtime.memory.detector
        self._clock = runtime.clock
        self._is_leak = is_leak
        self.began = runtime.clock.time()
        self.counts: Verdict = self._detector.verdict
        self.seconds: float | None = None
        self.changes: list[Change] = []

    def look(self) -> None:
        """Take in the newest verdict."""
        verdict = self._detector.verdict
        if not self.changes or (verdict.state, verdict.kind) != (self.changes[-1].state, self.changes[-1].kind):
            self.changes.append(Change(self._clock.time() - self.began, verdict.state, verdict.kind))
        if self.seconds is None and (self._is_leak or _RANK[verdict.state] >= _RANK[self.counts.state]):
            self.counts = verdict
        if self.seconds is None and verdict.state is State.LEAK:
            self.seconds = self._clock.time() - self.began


def run(case: Scenario, folder: Path, *, speed: float, seconds: float) -> Record:
    """Run one scenario for at most `seconds` of the real clock."""
    clock = HurryingClock()
    with Runtime(settings(folder), clock) as runtime:
        work = Work(runtime)
        for _ in range(WARM_UP_REQUESTS):
            work.request()
        clock.hurry(speed)
        _wait_for_census(runtime)
        runtime.memory.sampler.add_source(lambda: {Series.REQUESTS: float(work.requests)})
        before = rss_bytes()
        step = case.begin(runtime)
        observer = _Observer(runtime, case.is_leak)
        pause = threading.Event()
        numbers = itertools.count()
        began = due = time.monotonic()
        end = began + seconds
        while due < end and rss_bytes() < MOST_BYTES:
            pause.wait(due - time.monotonic())
            work.request()
            for _ in range(case.steps):
                step(next(numbers))
            observer.look()
            if observer.seconds is not None and case.is_leak:
                end = min(end, began + observer.seconds / speed + AFTERWARDS)
            due = max(due + 1.0 / _rate(case, (time.monotonic() - began) * speed), time.monotonic())
        return Record(
            name=case.name,
            verdict=observer.counts,
            last=runtime.memory.detector.verdict,
            seconds=observer.seconds,
            watched=runtime.clock.time() - observer.began,
            requests=work.requests,
            rss=float(rss_bytes()),
            grown=float(rss_bytes() - before),
            cost=_cost(runtime, observer.began),
            changes=tuple(observer.changes),
        )


def _wait_for_census(runtime: Runtime) -> None:
    """Let the detector see the service as it is without the scenario, as far as that is a matter of a minute."""
    censuses = runtime.memory.detector._censuses
    eventually(lambda: censuses.kept, seconds=CENSUS_SECONDS, what="the first census")


def _rate(case: Scenario, seconds: float) -> float:
    return case.rate(seconds) if case.rate else REQUESTS_PER_SECOND


def _cost(runtime: Runtime, began: float) -> float:
    import numpy as np

    window = runtime.memory.history.window(began, runtime.clock.time(), columns=[Series.SAMPLER_CPU])
    shares = window.means[Series.SAMPLER_CPU]
    return float(np.nanmean(shares)) if len(shares) and not np.isnan(shares).all() else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--speed", type=float, default=SPEED)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # deprecated classes and unclosed files are what this is about
    with tempfile.TemporaryDirectory() as folder:
        record = run(scenario(arguments.name), Path(folder), speed=arguments.speed, seconds=arguments.seconds)
    record.write(arguments.output)
    # A leak's threads and tasks must not hold up the end.
    os._exit(0)


if __name__ == "__main__":
    main()
