"""(700, 10, 10) against (300, 5, 5) and against no collector: on real work, in turn, as it comes out.

Every figure is a ratio of the settings' runs of the same round. The control is the defaults a second time: what it
differs by is noise. Beside it the count of full collections while nothing but long-lived objects is made, which is
exact: what generation 2's own gate makes of the thresholds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from services.app.gc_experiment import COMMAND
from services.core.actor import SERVICE
from services.core.events import NullEventSink
from services.memory.clock import Clock
from services.memory.gc_experiment.analysis import Figure, Ratio, compare_runs
from services.memory.gc_experiment.messages import figure_name
from services.memory.gc_experiment.runner import ExperimentEnvironment, Experiments
from services.memory.gc_experiment.types import ExperimentPhase, ExperimentResult, RunFigures, Setting, Workload
from services.memory.gc_experiment.workload import CONTROL, DEFAULTS, OFF, REFERENCE, built_in_operations, label
from tests.benchmarks.table import Row

ROUNDS = int(os.environ.get("THRESHOLD_ROUNDS", "6"))
OPERATIONS = int(os.environ.get("THRESHOLD_OPERATIONS", "600"))
LONG_LIVED = 350_000  # objects that the collector knows in a console with its pages loaded
ALPHA = 0.05

# This Python's own, up to 3.12.
BASE = Setting() if DEFAULTS == (700, 10, 10) else Setting((700, 10, 10))
LOW = Setting((300, 5, 5))
SETTINGS = (BASE, CONTROL, LOW, OFF)
SERVICE_SETTINGS = {"embedding_device": "cpu", "embedding_threads": 1, "budget": "off", "free_disk_mb": 0}

_GROWING = """
import gc, json, sys
gc.disable()
base = [[number] for number in range(int(sys.argv[2]))]
gc.collect()
gc.set_threshold(*json.loads(sys.argv[1]))
gc.enable()
before = [each["collections"] for each in gc.get_stats()]
kept = [[number] for number in range(1_000_000)]
print(json.dumps([each["collections"] - was for each, was in zip(gc.get_stats(), before)]))
"""


def run() -> list[Row]:
    result = _experiment()
    _print(result)
    base = _of(result, BASE)
    print(f"\n{_conclusion(result, base)}\n")
    rows = [_row(result, LOW, base, figure) for figure in Figure]
    rows += [_row(result, OFF, base, figure) for figure in (Figure.PAUSE, Figure.PEAK, Figure.THROUGHPUT)]
    rows.append(_row(result, CONTROL, _of(result, REFERENCE), Figure.PAUSE))
    return [*rows, *_gate()]


def _experiment() -> ExperimentResult:
    environment = ExperimentEnvironment(
        COMMAND,
        lambda count, seed: Workload(built_in_operations(count, seed), seed, long_lived=LONG_LIVED),
        lambda: dict(SERVICE_SETTINGS),
        lambda: 2**30,
        lambda: 2**34,
    )
    with tempfile.TemporaryDirectory() as folder:
        experiments = Experiments(Path(folder), Clock(), NullEventSink(), environment)
        try:
            experiments.start(SERVICE, SETTINGS, ROUNDS, OPERATIONS)
            seen = 0
            while experiments.running:
                time.sleep(0.5)
                if (state := experiments.state()).run != seen:
                    seen = state.run
                    print(f"run {seen} of {state.runs}: {label(state.settings[state.setting])}", flush=True)
            state = experiments.state()
            assert state.phase is ExperimentPhase.FINISHED, (state.message, state.hint)
            return experiments.result(state.result)
        finally:
            experiments.close()


def _of(result: ExperimentResult, setting: Setting) -> list[RunFigures]:
    return result.figures_of(result.settings.index(setting))


def _row(result: ExperimentResult, setting: Setting, base: list[RunFigures], figure: Figure) -> Row:
    runs = _of(result, setting)
    ratio = compare_runs(runs, base, alpha=ALPHA)[figure]
    note = ""
    if setting == LOW:
        note = {
            Figure.PAUSE: f" {_conclusion(result, base)}",
            Figure.P99: " Smaller only because there are more small collections beside the same long ones.",
        }.get(figure, "")
    return Row(
        f"{_name(setting)} over {_name(REFERENCE if setting.control else BASE)}: {figure_name(figure)}",
        ratio.value,
        None,
        at_least=False,
        detail=f"{_told(ratio)}; medians {_shown(runs, figure)} and {_shown(base, figure)}.{note}",
    )


def _conclusion(result: ExperimentResult, base: list[RunFigures]) -> str:
    """Return in plain words what (300, 5, 5) does."""
    ratios = compare_runs(_of(result, LOW), base, alpha=ALPHA)

    def said(figure: Figure) -> str:
        ratio = ratios[figure]
        if not ratio.significant:
            return f"{figure_name(figure)} the same as far as can be told"
        return f"{figure_name(figure)} {100 * (ratio.value - 1):+.1f}%"

    figures = (Figure.PAUSE, Figure.FULL, Figure.PEAK, Figure.FLOOR, Figure.THROUGHPUT)
    return f"In plain words, (300, 5, 5) in place of (700, 10, 10): {'; '.join(said(figure) for figure in figures)}."


def _name(setting: Setting) -> str:
    if setting.control:
        return "the same again"
    return "(700, 10, 10)" if setting == BASE else label(setting).lower()


def _told(ratio: Ratio) -> str:
    verdict = "certain" if ratio.significant else "no difference that can be told"
    return f"95% interval {ratio.low:.3f} to {ratio.high:.3f}, {verdict} (exact p {ratio.p:.3f}, {ROUNDS} rounds)"


def _shown(runs: list[RunFigures], figure: Figure) -> str:
    if figure is Figure.PAUSE:
        share = 100 * median(run.pause_share for run in runs)
        return f"{1000 * median(run.pause for run in runs):.0f} ms ({share:.1f}% of the processor time)"
    if figure in {Figure.P99, Figure.LONGEST}:
        values = [run.p99 if figure is Figure.P99 else run.longest for run in runs]
        return f"{1000 * median(values):.2f} ms"
    if figure is Figure.FULL:
        return " / ".join(f"{median(run.collections[generation] for run in runs):.0f}" for generation in range(3))
    if figure in {Figure.PEAK, Figure.FLOOR}:
        return f"{median(run.peak if figure is Figure.PEAK else run.floor for run in runs) / 2**20:.1f} MB"
    return f"{median(run.throughput for run in runs):.1f} a second"


def _gate() -> list[Row]:
    """Count collections while a million lists are made and kept, in an empty process and in one as large as ours."""
    tried = ((700, 10, 10), (700, 10, 5), (700, 10, 1), (300, 5, 5), (2000, 10, 10))
    rows = []
    for base, where in ((0, "an empty process"), (LONG_LIVED, f"a process of {LONG_LIVED:,} objects")):
        counts = {thresholds: _growing(thresholds, base) for thresholds in tried}
        full = counts[300, 5, 5][2] / max(1, counts[700, 10, 10][2])
        told = "; ".join(f"{thresholds}: {' / '.join(map(str, found))}" for thresholds, found in counts.items())
        what = f"(300, 5, 5) over (700, 10, 10): full collections while a million lists are made in {where}"
        rows.append(Row(what, full, None, at_least=False, detail=f"collections 0 / 1 / 2, exact: {told}"))
    return rows


def _growing(thresholds: tuple[int, int, int], base: int) -> list[int]:
    command = [sys.executable, "-c", _GROWING, json.dumps(thresholds), str(base)]
    found: list[int] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def _print(result: ExperimentResult) -> None:
    for place, setting in enumerate(result.settings):
        for number, run in enumerate(result.figures_of(place)):
            print(
                f"{_name(setting):24} round {number + 1}: pause {1000 * run.pause:6.0f} ms, "
                f"p50 {1e6 * run.p50:5.1f} us, "
                f"p99 {1000 * run.p99:6.3f} ms, longest {1000 * run.longest:5.0f} ms, collections {run.collections}, "
                f"peak {run.peak / 2**20:6.1f} MB, floor {run.floor / 2**20:6.1f} MB, "
                f"{run.throughput:6.1f} operations per CPU second, {run.seconds:5.1f} s"
            )
