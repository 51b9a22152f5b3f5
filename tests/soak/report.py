"""The report: what was measured against what was wanted, in Markdown with pictures, and the figures as JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from tests.soak.figures import ENDS, MB, WARM_UP, Figure, Slope, table
from tests.soak.phrases import BASELINE, BUDGET, FLOORS, WORK
from tests.soak.workload import CORPUS_FACTS, HUNG_UP, PICTURE_MB, REPEATED, REPLACED

PACKAGES = ("streamlit", "fastapi", "torch", "faiss-cpu", "langchain", "langchain-community", "sentence-transformers")
FIGURES, REPORT = "figures.json", "report.md"


def machine() -> dict[str, str]:
    """Return what it ran on, in words; no names of hosts or folders."""
    found = {
        "processor cores": str(psutil.cpu_count() or "unknown"),
        "RAM": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "system": f"{platform.system()} on {platform.machine()}, {' '.join(platform.libc_ver())}".strip(),
        "Python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write(run: dict[str, Any], folder: Path) -> Path:
    """Write report, pictures and figures into `folder`; return the report's path."""
    from tests.soak.plots import draw

    folder.mkdir(parents=True, exist_ok=True)
    (folder / FIGURES).write_text(json.dumps(run, ensure_ascii=False, indent=1) + "\n")
    pictures = draw(run, folder)
    path = folder / REPORT
    path.write_text(text(run, pictures))
    return path


def read(folder: Path) -> dict[str, Any]:
    """Return the figures of an earlier run, so that a part of it can be run anew."""
    path = folder / FIGURES
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def text(run: dict[str, Any], pictures: Sequence[tuple[str, str]]) -> str:
    """Return the report."""
    lines = ["# Soak report", ""]
    if run.get("interrupted"):
        parts = ", ".join(run["interrupted"])
        lines += [
            f"**Interrupted ({parts}):** stopped before the end; the figures are of what was done until then.",
            "",
        ]
    lines += ["Written by `make soak`; anyone can run it again. Figures that fall short are reported as they are.", ""]
    lines += _targets(table(run))
    shown = dict(pictures)
    for part, builder in (("soak", _soak), ("baseline", _baseline), ("budget", _budget)):
        if run.get(part) or (part == "baseline" and run.get("cases")):
            lines += builder(run, shown)
    lines += ["## The machine", ""]
    lines += [f"- {name}: {value}" for name, value in run.get("machine", {}).items()]
    lines += ["", f"Command: `{run.get('command', 'make soak')}`", ""]
    return "\n".join(lines)


def _targets(rows: Iterable[Figure]) -> list[str]:
    lines = ["| figure | target | measured | | how |", "| --- | --- | --- | --- | --- |"]
    words = {True: "met", False: "**not met**", None: "not measured"}
    lines += [f"| {row.name} | {row.target} | {row.value} | {words[row.met]} | {row.how} |" for row in rows]
    return [*lines, ""]


def _picture(shown: dict[str, str], *names: str) -> list[str]:
    lines: list[str] = []
    for name in names:
        if name in shown:
            lines += [f"![{shown[name]}]({name})", ""]
    return lines


def _soak(run: dict[str, Any], shown: dict[str, str]) -> list[str]:
    soak = run["soak"]
    amount, done = soak["amount"], soak["done"]
    ended = "It ran to its end." if soak["finished"] else "**It did not come to its end.**"
    lines = [
        "## The run",
        "",
        f"A real server process, driven from outside for {soak['seconds'] / 60:.1f} minutes"
        + (f", the work spread over {soak['paced_seconds'] / 60:.0f}" if soak["paced_seconds"] else "")
        + f". {ended} Done:",
        "",
    ]
    lines += [f"- {what}: {number:,}" for what, number in sorted(done.items())]
    correct = done.get("answers that name the figure", 0) / max(1, done.get("answers", 0))
    lines += [
        "",
        WORK.format(
            conversations=amount["conversations"],
            documents=amount["shelf"],
            facts=CORPUS_FACTS,
            correct=correct,
            repeated=REPEATED,
            hung_up=HUNG_UP,
            replaced=REPLACED,
            picture=PICTURE_MB,
            tabs=soak["tabs"],
            charts=", ".join(map(str, soak["charts"])) or "no",
            model=soak["model"],
        ),
        "",
        _cache_line(soak),
        "",
        FLOORS.format(blocks=amount["blocks"], tools=" and ".join(soak["tools"]), warm_up=WARM_UP, ends=ENDS),
        "",
    ]
    lines += _picture(shown, "rss.png", "floors.png", "latency.png", "threads.png")
    return lines + _ends(soak) + _failures(soak)


def _cache_line(soak: dict[str, Any]) -> str:
    repeated = soak["done"].get("questions asked before", 0)
    asked = max(1, soak["done"].get("questions", 0))
    caches = []
    for name, found in sorted(soak.get("caches", {}).items()):
        total = found["hits"] + found["misses"]
        if total:
            caches.append(f"{name.replace('_', ' ')} {found['hits'] / total:.1%} of {total:,.0f}")
    return (
        f"{repeated / asked:.1%} of the questions had been asked before, so caches cannot hide the work. Hit rates: "
        f"{'; '.join(caches) or 'none are counted'}."
    )


def _ends(soak: dict[str, Any]) -> list[str]:
    start, end = soak["start"] or {}, soak["end"] or {}
    floors = soak["floors"]
    lines = ["| | at the start | at the end |", "| --- | ---: | ---: |"]
    lines.append(f"| threads | {start.get('threads', '')} | {end.get('threads', '')} |")
    lines.append(f"| open files | {start.get('fds', '')} | {end.get('fds', '')} |")
    if floors:
        first, last = floors[0], floors[-1]
        lines.append(f"| threads at rest | {first['threads']} | {last['threads']} |")
        lines.append(f"| open files at rest | {first['fds']} | {last['fds']} |")
        lines.append(f"| floor, RSS in MB | {first['rss'] / MB:.1f} | {last['rss'] / MB:.1f} |")
        lines.append(f"| floor, USS in MB | {first['uss'] / MB:.1f} | {last['uss'] / MB:.1f} |")
    lines += [
        "",
        f"Peak RSS: {soak['peak'] / MB:.0f} MB; with child processes {soak['peak_with_children'] / MB:.0f} MB.",
    ]
    if soak.get("uss_slope"):
        slope = Slope(**soak["uss_slope"])
        lines.append(f"Slope by USS for 1,000 questions: {slope.mb:+.2f} MB ({slope.low:+.2f} to {slope.high:+.2f}).")
    verdict = soak.get("verdict")
    if verdict:
        seen = [found["state"] for found in soak["verdicts"]]
        lines.append(
            f"Millpond's own verdict at the end: {verdict['state']}, “{verdict['headline']}”; at the quiesce points: "
            f"{_counted(seen)}."
        )
    there = "was there to the end" if soak.get("alive") else "was gone before the end"
    lines.append(f"The process that was started {there}; exit code when it was stopped: {soak.get('exit_code')}.")
    if soak.get("events"):
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(soak["events"].items()))
        lines.append(f"Events on its time line (of the newest 2,000): {kinds}.")
    if floors:
        lines += ["", *_owners(floors)]
    return [*lines, ""]


def _owners(floors: Sequence[dict[str, Any]]) -> list[str]:
    """Return which owner of memory grew most between the first floor after warm-up and the last."""
    first = floors[min(len(floors) - 1, round(len(floors) * WARM_UP))]["owners"]
    last = floors[-1]["owners"]
    changes = sorted(
        ((last.get(name, 0) - first.get(name, 0), name) for name in {*first, *last}), key=lambda c: -abs(c[0])
    )
    lines = ["| owner | after warm-up, MB | at the end, MB | change, MB |", "| --- | ---: | ---: | ---: |"]
    for change, name in changes[:12]:
        was, now = first.get(name, 0) / MB, last.get(name, 0) / MB
        lines.append(f"| {name} | {was:.1f} | {now:.1f} | {change / MB:+.1f} |")
    return lines


def _failures(soak: dict[str, Any]) -> list[str]:
    if not soak["failures"]:
        return []
    lines = ["### What failed", ""]
    lines += [f"- {one['seconds']:.0f} s, {one['what']}: {_clean(one['error'])}" for one in soak["failures"][:30]]
    return [*lines, ""]


def _baseline(run: dict[str, Any], shown: dict[str, str]) -> list[str]:
    lines = ["## The naive baseline", "", BASELINE, ""]
    if run.get("baseline"):
        done = run["baseline"]["done"]
        lines += [f"Everything: {run['baseline']['said']} ({run['baseline']['failed']} requests failed).", ""]
        lines += [f"- {what}: {number:,}" for what, number in sorted(done.items())] + [""]
    lines += _picture(shown, "peaks.png")
    for case in run.get("cases", []):
        lines.append(
            f"- {case['name']}: Millpond {case['ours'] / MB:,.0f} MB, baseline {case['naive'] / MB:,.0f} MB; "
            f"{case['said']}; failed: {case['failed']['ours']} and {case['failed']['naive']}."
        )
    return [*lines, ""]


def _budget(run: dict[str, Any], shown: dict[str, str]) -> list[str]:
    budget = run["budget"]
    summary = BUDGET.format(
        ready=budget["ready"] / MB,
        headroom=budget["headroom_mb"],
        model=budget["model"],
        minutes=budget["pressed_seconds"] / 60,
        free=budget["free_peak"] / MB,
        statuses=", ".join(f"{number} × {status}" for status, number in budget["statuses"].items()),
    )
    lines = ["## A tight budget", "", summary, ""]
    lines += _picture(shown, "budget.png")
    if budget["examples"]:
        lines += ["What refusals said:", ""]
        lines += [f"- {one['what']}, {one['status']}: “{one['detail']}” “{one['hint']}”" for one in budget["examples"]]
        lines.append("")
    if budget["others"]:
        lines += ["Failures of another kind:", "", *[f"- {_clean(other)}" for other in budget["others"]], ""]
    if budget["events"]:
        lines += [f"Decisions ({len(budget['events'])} events; the first of each kind of sentence):", ""]
        seen: set[str] = set()
        for event in budget["events"]:
            words = "".join(c for c in event["detail"] if not c.isdigit())[:60]
            if words not in seen and len(seen) < 40:
                seen.add(words)
                lines.append(f"- {event['kind']}: {_clean(event['detail'])}")
        lines.append("")
    return lines


def _counted(values: Sequence[str]) -> str:
    counts = {value: values.count(value) for value in dict.fromkeys(values)}
    return ", ".join(f"{value} {number}" for value, number in counts.items()) or "none"


def _clean(text_: str) -> str:
    return " ".join(text_.replace("|", "/").split())[:300]
