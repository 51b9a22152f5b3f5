"""The report of a drill: a table, what was lost, and the time line of the requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from tests.drill.drill import Noticed
from tests.drill.history import History

_GOOD, _BAD, _EXCUSED = "#0f766e", "#b91c1c", "#d97706"


def write(folder: Path, found: Sequence[Noticed], faults: Sequence[str], history: History, began: float) -> Path:
    """Write report.md, figures.json and timeline.png; return the report's path."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {"faults": [each.as_json() for each in found], "wrong": list(faults), "requests": len(history.attempts)}
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    _draw(folder / "timeline.png", found, history, began)
    path = folder / "report.md"
    path.write_text(text(found, faults, history))
    return path


def text(found: Sequence[Noticed], faults: Sequence[str], history: History) -> str:
    """Return the report."""
    rows = [
        f"| {each.fault} | {each.outcome.asked} | {each.outcome.in_flight} | {each.outcome.soon} | "
        f"{each.outcome.later} | {each.outcome.excused} | {each.outcome.gap:.1f} s | "
        f"{'; '.join(each.missed) or 'met'} |"
        for each in found
    ]
    lost = [f"- {fault}" for fault in faults] or ["Nothing was lost, doubled or wrong."]
    done = (
        f"{len(history.attempts):,} requests: {len(history.added):,} documents were added, "
        f"{len(history.deleted):,} deleted, {sum(map(len, history.asked.values())):,} questions answered in "
        f"{len(history.asked):,} conversations."
    )
    return "\n".join(
        [
            "# The drill",
            "",
            "Two nodes behind HAProxy, over PostgreSQL and an S3 server, all real and on one machine; clients add,",
            "delete, search and ask all the while. `make drill` runs it and writes this report.",
            "",
            "| fault | requests | failed in flight | in the first 2 s | later | told to come again | longest gap | |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
            *rows,
            "",
            "At the end what clients were told was compared with what is there, at each node.",
            done,
            "",
            *lost,
            "",
            "![Requests over time, with the faults](timeline.png)",
            "",
        ]
    )


def _draw(path: Path, found: Sequence[Noticed], history: History, began: float) -> None:
    figure, axes = plt.subplots(figsize=(10.0, 4.0), layout="constrained")
    kinds = sorted({each.kind for each in history.attempts})
    for colour, what, chosen in (
        (_GOOD, "answered", lambda each: not each.error),
        (_EXCUSED, "told to come again", lambda each: each.error and each.excused),
        (_BAD, "failed", lambda each: each.error and not each.excused),
    ):
        attempts = [each for each in history.attempts if chosen(each)]
        axes.scatter(
            [each.ended - began for each in attempts],
            [kinds.index(each.kind) for each in attempts],
            s=9 if colour == _GOOD else 22,
            color=colour,
            label=what,
            marker="|",
        )
    for each in found:
        axes.axvspan(each.at, each.at + each.lasted, color="#94a3b8", alpha=0.25, lw=0)
        axes.text(each.at, len(kinds) - 0.4, each.fault, fontsize=7, rotation=20)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_ylim(-0.6, len(kinds) + 0.4)
    axes.set_xlabel("seconds")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", fontsize=7)
    figure.savefig(path, dpi=110)
    plt.close(figure)
