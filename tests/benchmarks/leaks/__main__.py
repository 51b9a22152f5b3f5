"""How well leaks are distinguished from harmless growth: `python -m tests.benchmarks.leaks`.

Replays shapes of memory over time to the detector, then runs real leaks and look-alikes in child processes. What the
detector was tuned on and what was kept from it are listed separately.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from tests.benchmarks.leaks import held_out, scoring, shapes
from tests.benchmarks.leaks.outcome import Outcome
from tests.benchmarks.leaks.replay import replay
from tests.benchmarks.table import Row, markdown

ROOT = Path(__file__).resolve().parents[3]
# The detector was tuned on seeds below 100.
TUNED_SEEDS, FRESH_SEED = 3, 1000
SHAPES = {**shapes.HARMLESS, **shapes.LEAKS, **held_out.HARMLESS, **held_out.LEAKS}
WITHIN_MINUTES = ("fast",)
WITHIN_A_DAY = ("slow", "native", "after_flat_day")


def run_shape(name: str, seed: int) -> tuple[Outcome, float]:
    """Replay one shape; return the outcome and the mean cost of a judgement in seconds."""
    chance = np.random.default_rng([seed, sum(map(ord, name))])
    outcome, costs = replay(name, SHAPES[name](chance))
    return outcome, float(np.mean(costs))


def replayed(names: list[str], seeds: range, processes: int) -> tuple[list[Outcome], list[float]]:
    trials = [(name, seed) for name in names for seed in seeds]
    outcomes, costs = [], []
    with ProcessPoolExecutor(processes) as pool:
        jobs = [(name, seed, pool.submit(run_shape, name, seed)) for name, seed in trials]
        for name, seed, job in jobs:
            outcome, cost = job.result()
            outcomes.append(outcome)
            costs.append(cost)
            print(_line(f"{name} {seed}", outcome), flush=True)
    return outcomes, costs


def _line(name: str, outcome: Outcome) -> str:
    right = "ok   " if outcome.called_leak == outcome.is_leak else "WRONG"
    took = "" if outcome.seconds is None else f", named after {outcome.seconds / 60:.1f} min"
    kind = (
        "" if not outcome.called_leak or not outcome.is_leak or outcome.right_kind else f", not {outcome.verdict.kind}"
    )
    return f"{right} {name}: {outcome.verdict.state}{took}{kind} {outcome.detail}"


def replay_rows(arguments: argparse.Namespace) -> list[Row]:
    known = [*shapes.HARMLESS, *shapes.LEAKS]
    tuned, costs = replayed(known, range(arguments.seeds), arguments.processes)
    fresh_seeds = range(FRESH_SEED, FRESH_SEED + arguments.seeds)
    fresh, more = replayed(known, fresh_seeds, arguments.processes)
    kept, most = replayed([*held_out.HARMLESS, *held_out.LEAKS], fresh_seeds, arguments.processes)
    costs += more + most
    every = tuned + fresh
    return [
        *scoring.rows(f"{len(known)} replayed shapes, seeds tuned on", tuned),
        *scoring.rows(f"{len(known)} replayed shapes, fresh seeds", fresh),
        *scoring.rows(f"{len(held_out.HARMLESS) + len(held_out.LEAKS)} replayed shapes held out", kept),
        scoring.longest(
            "30 MB a minute or more, minutes until named",
            [one for one in every if one.name in WITHIN_MINUTES],
            60,
            5,
            "the longest of all seeds",
        ),
        scoring.longest(
            "1 MB an hour or more, hours until named",
            [one for one in every if one.name in WITHIN_A_DAY],
            3600,
            24,
            "the longest of all seeds",
        ),
        Row(
            "one judgement, ms of CPU", float(np.mean(costs)) * 1000, 10, at_least=False, detail="mean over all replays"
        ),
    ]


def real_rows(arguments: argparse.Namespace) -> list[Row]:
    from tests.benchmarks.leaks.real.held_out import SCENARIOS as KEPT
    from tests.benchmarks.leaks.real.runner import run_all

    def progress(line: str) -> None:
        print(line, flush=True)

    known = run_all(progress)
    kept = [] if arguments.short else run_all(progress, KEPT)
    found = scoring.rows("real leaks and look-alikes", known)
    return found + (scoring.rows("real leaks and look-alikes held out", kept) if kept else [])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["replay", "real"], help="one half")
    parser.add_argument("--seeds", type=int, default=TUNED_SEEDS, help="seeds for each shape")
    parser.add_argument("--short", action="store_true", help="one seed for each shape, nothing real that was held out")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, default=ROOT / "bench-results" / "leaks.md")
    arguments = parser.parse_args()
    if arguments.short:
        arguments.seeds = 1
    found: list[Row] = []
    if arguments.only != "real":
        found += replay_rows(arguments)
    if arguments.only != "replay":
        found += real_rows(arguments)
    table = markdown(found)
    print(table)
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(table + "\n")
    return 0 if all(row.met for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
