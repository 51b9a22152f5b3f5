"""Runs scenarios, each in a fresh process, two at a time, and returns their outcomes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from services.memory.leaks.types import Verdict, VerdictState
from tests.benchmarks.leaks.outcome import Outcome
from tests.benchmarks.leaks.real import child
from tests.benchmarks.leaks.real.records import Record
from tests.benchmarks.leaks.real.scenario import Scenario

ROOT = Path(__file__).resolve().parents[4]
AT_ONCE = 2
MOST_SECONDS = 600.0  # real ones, for a process that hangs


def run_all(
    progress: Callable[[str], object],
    scenarios: Sequence[Scenario] | None = None,
    *,
    minutes: float = child.MINUTES,
    at_once: int = AT_ONCE,
) -> list[Outcome]:
    """Run scenarios (all that are not held out by default) and return an outcome for each, in their order.

    `progress` is called with a line when one has ended. One that fails counts as wrongly judged, whatever it is.
    """
    from tests.benchmarks.leaks.real.library import SCENARIOS

    chosen = list(SCENARIOS.values()) if scenarios is None else list(scenarios)
    with ThreadPoolExecutor(at_once) as pool:
        jobs = {pool.submit(run_one, scenario, minutes=minutes): scenario for scenario in chosen}
        for number, job in enumerate(as_completed(jobs), start=1):
            progress(f"[{number}/{len(chosen)}] {line(job.result())}")
    return [job.result() for job in jobs]


def run_one(scenario: Scenario, *, minutes: float = child.MINUTES) -> Outcome:
    """Run one scenario in a fresh process. When that fails, the outcome is the wrong one and says why."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "record.json"
        command = [sys.executable, "-m", child.__name__, scenario.name, "--output", str(output)]
        command += ["--minutes", str(minutes)]
        log = Path(folder) / "log.txt"
        with log.open("w") as file:
            try:
                subprocess.run(
                    command,
                    cwd=ROOT,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    check=True,
                    timeout=MOST_SECONDS,
                )
            except subprocess.SubprocessError as error:
                state = VerdictState.UNKNOWN if scenario.is_leak else VerdictState.LEAK
                detail = f"{error}\n{log.read_text()[-3000:]}"
                return Outcome(scenario.name, scenario.is_leak, Verdict(state, time.time()), detail=detail)
        return outcome(scenario, Record.read(output))


def outcome(scenario: Scenario, record: Record) -> Outcome:
    """Return how a run is scored."""
    kind = scenario.kind
    if record.verdict.kind in scenario.also:
        kind = record.verdict.kind
    changes = ", ".join(f"{change.state} at {change.seconds / 60:.0f} min" for change in record.changes)
    grown = f"{record.grown / 1e6:+.0f} MB to {record.rss / 1e6:.0f} MB"
    detail = f"{record.requests} requests in {record.watched / 60:.0f} min, {grown}; {changes}"
    return Outcome(
        name=scenario.name,
        is_leak=scenario.is_leak,
        verdict=record.verdict,
        expected_kind=kind,
        expected_suspects=scenario.suspects,
        seconds=record.seconds,
        detail=detail,
    )


def line(outcome: Outcome) -> str:
    """Return one progress line about an outcome."""
    verdict = outcome.verdict
    right = outcome.called_leak == outcome.is_leak
    words = [f"{'ok' if right else 'WRONG':5} {outcome.name}: {verdict.state}"]
    if outcome.called_leak:
        minutes = "?" if outcome.seconds is None else f"{outcome.seconds / 60:.1f}"
        words.append(f"{verdict.kind} after {minutes} min")
    if outcome.is_leak and outcome.called_leak:
        words.append("right kind" if outcome.right_kind else f"WRONG KIND, not {outcome.expected_kind}")
        words.append("right suspect" if outcome.right_suspect else "WRONG SUSPECT")
    return ", ".join(words)
