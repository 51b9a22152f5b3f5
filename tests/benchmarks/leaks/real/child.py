"""One scenario in this process: `python -m tests.benchmarks.leaks.real.child NAME --output FILE`.

A real service over a folder of its own does its daily work. Once it is warm its clock is moved on with each request,
the scenario takes a step or more, and the service's own monitor judges. A leak's run ends soon after it was named.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace

from services.app.container import Services
from services.app.startup import Application
from services.memory.leaks import probes
from services.memory.leaks.types import Verdict, VerdictState
from services.memory.process import rss_bytes
from services.memory.types import Series
from tests.benchmarks.leaks.real.library import scenario
from tests.benchmarks.leaks.real.records import Change, Record
from tests.benchmarks.leaks.real.scenario import Scenario
from tests.benchmarks.leaks.real.stepping import SteppedClock
from tests.benchmarks.leaks.real.work import Work, settings

# On the service's clock.
MINUTES = 50.0
REQUESTS_PER_MINUTE = 10.0
WARM_UP_MINUTES = 3.0
AFTERWARDS_SECONDS = 120.0  # a leak goes on for so long after it was named, to see the next verdicts
MOST_BYTES = 1_500_000_000
_RANK = {VerdictState.UNKNOWN: 0, VerdictState.FLAT: 1, VerdictState.WATCH: 2, VerdictState.LEAK: 3}


class _Observer:
    """Records changes of the verdict and keeps the one that counts."""

    def __init__(self, services: Services, is_leak: bool) -> None:
        self._detector = services.memory.detector
        self._clock = services.clock
        self._is_leak = is_leak
        self.began = services.clock.time()
        self.counts: Verdict = self._detector.verdict
        self.seconds: float | None = None
        self.changes: list[Change] = []

    @property
    def passed(self) -> float:
        """Seconds since the scenario began."""
        return self._clock.time() - self.began

    def update(self) -> None:
        """Record the newest verdict."""
        verdict = self._detector.verdict
        if not self.changes or (verdict.state, verdict.kind) != (self.changes[-1].state, self.changes[-1].kind):
            self.changes.append(Change(self.passed, verdict.state, verdict.kind))
        if self.seconds is None and (self._is_leak or _RANK[verdict.state] >= _RANK[self.counts.state]):
            self.counts = verdict
        if self.seconds is None and verdict.state is VerdictState.LEAK:
            self.seconds = self.passed


def run(case: Scenario, folder: Path, *, minutes: float) -> Record:
    """Run one scenario for at most `minutes` of the service's clock."""
    clock = SteppedClock()
    # The cost of censuses is counted against the service's clock, at a tenth: they take real seconds.
    probes.time = SimpleNamespace(perf_counter=lambda: clock.time() / 10.0)  # type: ignore[assignment] # all it uses
    with Application(settings(folder), clock) as services:
        work = Work(services)
        services.memory.sampler.add_source(lambda: {Series.REQUESTS: float(work.requests)})
        clock.begin()
        for _ in range(int(WARM_UP_MINUTES * REQUESTS_PER_MINUTE)):
            work.request()
            clock.advance(60.0 / REQUESTS_PER_MINUTE)
        before = rss_bytes()
        step = case.begin(services)
        observer = _Observer(services, case.is_leak)
        numbers = itertools.count()
        end = minutes * 60.0
        while observer.passed < end and rss_bytes() < MOST_BYTES:
            work.request()
            for _ in range(case.steps):
                step(next(numbers))
            per_minute = case.rate(observer.passed) if case.rate else REQUESTS_PER_MINUTE
            clock.advance(60.0 / per_minute)
            observer.update()
            if observer.seconds is not None and case.is_leak:
                end = min(end, observer.seconds + AFTERWARDS_SECONDS)
        return Record(
            name=case.name,
            verdict=observer.counts,
            last=services.memory.detector.verdict,
            seconds=observer.seconds,
            watched=observer.passed,
            requests=work.requests,
            rss=float(rss_bytes()),
            grown=float(rss_bytes() - before),
            changes=tuple(observer.changes),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # deprecated classes and unclosed files are what this is about
    with tempfile.TemporaryDirectory() as folder:
        record = run(scenario(arguments.name), Path(folder), minutes=arguments.minutes)
    record.write(arguments.output)
    # A leak's threads and tasks must not hold up the end.
    os._exit(0)


if __name__ == "__main__":
    main()
