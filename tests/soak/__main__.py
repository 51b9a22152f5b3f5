"""Run the soak and write its report: `python -m tests.soak [options]`, or `make soak SOAK_ARGS="--hours 1"`.

Without options all of the work is done as fast as it goes, which takes some minutes for each part. A part that is
named is measured anew; what earlier runs measured of the others stays in the report.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from tests.soak import report
from tests.soak.workload import Amount, Plan, plan

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("soak", "baseline", "cases", "budget")
CASE_SHARE = 0.1


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen parts; return 0 when all were run to their end."""
    options = _parser().parse_args(arguments)
    stop = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for kind in (signal.SIGINT, signal.SIGTERM):
            signal.signal(kind, lambda number, frame: _stopped(stop, number, frame))
    output: Path = options.output
    if options.fresh:
        (output / report.FIGURES).unlink(missing_ok=True)
    run = report.read(output)
    if not options.render:
        run |= {"machine": report.machine(), "command": _command(arguments)}
        with tempfile.TemporaryDirectory(prefix="millpond-soak-") as folder:
            for part in _parts(options):
                if not stop.is_set():
                    print(f"== {part}", flush=True)
                    found = _run(part, options, Path(folder), stop)
                    # Read again: another part may be measured at the same time.
                    run = report.read(output) | {name: run[name] for name in ("machine", "command")}
                    run[part] = found
                    others = [name for name in run.get("interrupted", []) if name != part]
                    run["interrupted"] = [*others, part] if stop.is_set() else others
                    report.write(run, output)
    path = report.write(run, output)
    print(path.read_text() if options.print else f"The report is in {path}")
    return 1 if stop.is_set() else 0


def amount_of(options: argparse.Namespace) -> Amount:
    """Return how much work the options ask for."""
    amount = Amount(seed=options.seed)
    if options.scale != 1.0:
        amount = amount.scaled(options.scale)
    for name in ("questions", "conversations", "uploads", "visits", "model_questions", "blocks", "shelf"):
        value = getattr(options, name)
        if value is not None:
            amount = replace(amount, **{name: value})
    return amount


def _run(part: str, options: argparse.Namespace, folder: Path, stop: threading.Event) -> Any:
    # Each part is imported when it is needed: the budget case needs no browser.
    planned: Plan = plan(amount_of(options))
    seconds = options.hours * 3600 + options.minutes * 60
    if part == "soak":
        from tests.soak.soak import SoakOptions, soak

        soak_options = SoakOptions(seconds, options.tabs, options.floor_seconds, options.stub_model)
        return soak(planned, folder / "soak", soak_options, stop)
    if part == "budget":
        from tests.soak.budget import budget

        return budget(planned, folder / "budget", minutes=options.budget_minutes, stop=stop)
    from tests.soak.compare import cases, naive

    if part == "baseline":
        return naive(planned, folder / "naive", minutes=options.baseline_minutes, cap_mb=options.cap_mb, stop=stop)
    few = plan(amount_of(options).scaled(options.case_share))
    return cases(few, folder / "cases", minutes=options.case_minutes, cap_mb=options.cap_mb, stop=stop)


def _parts(options: argparse.Namespace) -> list[str]:
    chosen = [part for part in PARTS if getattr(options, f"{part}_only")]
    return chosen or list(PARTS)


def _command(arguments: list[str] | None) -> str:
    given = list(sys.argv[1:] if arguments is None else arguments)
    while "--output" in given:  # where the report goes is nobody else's business
        place = given.index("--output")
        del given[place : place + 2]
    kept = [argument for argument in given if not argument.startswith("--output=")]
    return f'make soak SOAK_ARGS="{shlex.join(kept)}"' if kept else "make soak"


def _stopped(stop: threading.Event, _number: int, _frame: FrameType | None) -> None:
    print("Stopping; the report will say that the run was interrupted.", flush=True)
    stop.set()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    add = parser.add_argument
    add("--hours", type=float, default=0.0, help="spread the soak's work over so many hours")
    add("--minutes", type=float, default=0.0, help="spread the soak's work over so many minutes; 0: as fast as it goes")
    add("--scale", type=float, default=1.0, help="share of the whole amount of work, e.g. 0.1")
    add("--questions", type=int, help="questions in all (default 10,000)")
    add("--conversations", type=int, help="conversations (default 500)")
    add("--uploads", type=int, help="uploads (default 500)")
    add("--visits", type=int, help="browser sessions (default 200)")
    add("--model-questions", type=int, help="questions to the chat model (default 80)")
    add("--blocks", type=int, help="quiesce points (default 40)")
    add("--shelf", type=int, help="documents that are there from the start (default 80)")
    add("--seed", type=int, default=1, help="another seed, other documents and questions")
    add("--tabs", type=int, default=2, help="Chromium tabs with live charts; 0: no browser, and no chat model")
    add("--floor-seconds", type=float, default=3.0, help="the floor is the lowest RSS of so many seconds at rest")
    add("--stub-model", action="store_true", help="a stub chat model even where there is a real one")
    add("--baseline-minutes", type=float, default=15.0, help="longest time for the naive baseline")
    add("--case-minutes", type=float, default=6.0, help="longest time for each single case, for either service")
    add("--case-share", type=float, default=CASE_SHARE, help="amount of work of the single cases, as a share")
    add("--cap-mb", type=int, default=8000, help="the naive baseline is ended above this RSS, in MB")
    add("--budget-minutes", type=float, default=2.0, help="how long the budget case presses")
    for part in PARTS:
        add(f"--{part}-only", action="store_true", help=f"measure this part: {part}; several can be named")
    add("--fresh", action="store_true", help="forget what earlier runs measured of the other parts")
    add("--render", action="store_true", help="measure nothing, write the report anew")
    add("--print", action="store_true", help="print the report, too")
    add("--output", type=Path, default=ROOT / "docs" / "soak", help="folder of the report")
    return parser


if __name__ == "__main__":
    sys.exit(main())
