"""The pictures of the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from tests.soak.figures import MB, comparisons, floors_of, slope_of, warm

OURS, NAIVE, QUIET = "#0f766e", "#b45309", "#64748b"
SIZE = (9.0, 4.2)


def draw(run: dict[str, Any], folder: Path) -> list[tuple[str, str]]:
    """Draw what the run has; return file names with what they show."""
    drawn: list[tuple[str, str]] = []
    soak = run.get("soak")
    if soak and soak["samples"]:
        drawn.append(_save(folder, "rss.png", "RSS over time", _rss, run))
        drawn.append(_save(folder, "threads.png", "Threads and open files", _threads, run))
    if soak and len(soak["floors"]) > 2:
        drawn.append(
            _save(folder, "floors.png", "Floors after collection and trim, with the fitted slope", _floors, run)
        )
    if soak and soak["tenths"]:
        drawn.append(_save(folder, "latency.png", "Latency by tenth of the run", _latency, run))
    if comparisons(run):
        drawn.append(_save(folder, "peaks.png", "Peaks of both services by case", _peaks, run))
    if run.get("budget"):
        drawn.append(_save(folder, "budget.png", "RSS under a tight budget", _budget, run))
    return drawn


def _save(folder: Path, name: str, what: str, draw_it: Any, run: dict[str, Any]) -> tuple[str, str]:
    figure, axes = plt.subplots(figsize=SIZE, layout="constrained")
    draw_it(axes, run)
    axes.set_title(what, fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e2e8f0", linewidth=0.6)
    axes.set_axisbelow(True)
    figure.savefig(folder / name, dpi=110)
    plt.close(figure)
    return name, what


def _minutes(samples: list[dict[str, Any]]) -> list[float]:
    return [sample["seconds"] / 60 for sample in samples]


def _rss(axes: Axes, run: dict[str, Any]) -> None:
    soak, naive = run["soak"], run.get("baseline")
    axes.plot(_minutes(soak["samples"]), [s["rss"] / MB for s in soak["samples"]], color=OURS, lw=0.9, label="Millpond")
    if naive:
        samples = naive["samples"]
        axes.plot(_minutes(samples), [s["rss"] / MB for s in samples], color=NAIVE, lw=0.9, label="naive baseline")
    axes.set(xlabel="minutes since the process was ready", ylabel="RSS in MB", ylim=(0, None))
    axes.legend(frameon=False)


def _threads(axes: Axes, run: dict[str, Any]) -> None:
    samples = run["soak"]["samples"]
    axes.plot(_minutes(samples), [s["threads"] for s in samples], color=OURS, lw=0.9, label="threads")
    axes.plot(_minutes(samples), [s["fds"] for s in samples], color=QUIET, lw=0.9, label="open files")
    axes.set(xlabel="minutes", ylim=(0, None))
    axes.legend(frameon=False)


def _floors(axes: Axes, run: dict[str, Any]) -> None:
    floors = floors_of(run["soak"])
    kept = warm(floors)
    early = floors[: len(floors) - len(kept)]
    axes.plot([f.questions for f in early], [f.rss / MB for f in early], "o", color=QUIET, ms=4, label="warm-up")
    axes.plot([f.questions for f in kept], [f.rss / MB for f in kept], "o", color=OURS, ms=4, label="floor (RSS)")
    axes.plot([f.questions for f in floors], [f.uss / MB for f in floors], ".", color=QUIET, ms=3, label="floor (USS)")
    slope = slope_of(floors)
    if slope:
        asked = np.array([f.questions / 1000 for f in kept])
        found = np.array([f.rss / MB for f in kept])
        start = float(np.median(found - slope.mb * asked))
        label = f"{slope.mb:+.2f} MB for 1,000 questions ({slope.low:+.2f} to {slope.high:+.2f})"
        axes.plot(asked * 1000, start + slope.mb * asked, color=OURS, lw=1.2, label=label)
    axes.set(xlabel="questions asked", ylabel="MB", ylim=(0, None))
    axes.legend(frameon=False, fontsize=8, loc="lower right")


def _latency(axes: Axes, run: dict[str, Any]) -> None:
    parts = run["soak"]["tenths"]
    tenth = range(1, len(parts) + 1)
    axes.plot(tenth, [part["p95_ms"] for part in parts], "o-", color=OURS, lw=1, label="p95")
    axes.plot(tenth, [part["p50_ms"] for part in parts], "o-", color=QUIET, lw=1, label="p50")
    axes.set(xlabel="tenth of the run", ylabel="ms", ylim=(0, None))
    axes.legend(frameon=False)


def _peaks(axes: Axes, run: dict[str, Any]) -> None:
    pairs = comparisons(run)
    places = np.arange(len(pairs))
    axes.bar(places - 0.2, [pair["ours"] / MB for pair in pairs.values()], 0.36, color=OURS, label="Millpond")
    axes.bar(places + 0.2, [pair["naive"] / MB for pair in pairs.values()], 0.36, color=NAIVE, label="naive baseline")
    axes.set_xticks(places, list(pairs))
    axes.set(ylabel="peak in MB, children counted")
    axes.legend(frameon=False)


def _budget(axes: Axes, run: dict[str, Any]) -> None:
    budget = run["budget"]
    samples = budget["samples"]
    axes.plot([s["seconds"] for s in samples], [s["rss"] / MB for s in samples], color=OURS, lw=0.8, label="RSS")
    axes.axhline(budget["limit"] / MB, color=NAIVE, lw=1.2, label="limit")
    axes.axhline(budget["ready"] / MB, color=QUIET, lw=0.8, ls="--", label="when ready")
    axes.set(xlabel="seconds", ylabel="MB", ylim=(0, budget["limit"] / MB * 1.15))
    axes.legend(frameon=False, loc="lower right")
