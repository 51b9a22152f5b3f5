"""Run real leaks and look-alikes alone: `python -m tests.benchmarks.leaks.real [--only NAME] [--held-out]`."""

from __future__ import annotations

import argparse
import time

from tests.benchmarks.leaks.outcome import Outcome
from tests.benchmarks.leaks.real import child, runner
from tests.benchmarks.leaks.real.library import SCENARIOS, scenario


def _told(outcome: Outcome) -> None:
    print(f"\n{runner.line(outcome)}\n  {outcome.detail}")
    for evidence in outcome.verdict.evidence:
        print(f"  - {evidence}")
    for suspect in outcome.verdict.suspects[:6]:
        print(f"  ? {suspect.kind}: {suspect.name} ({suspect.detail}) {suspect.slope:+.3g}/h")


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole}" + (f" = {part / whole:.2f}" if whole else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="a scenario; may be given more than once")
    parser.add_argument("--held-out", action="store_true", help="the scenarios that are kept for the end")
    parser.add_argument("--minutes", type=float, default=child.MINUTES, help="longest run, on the service's clock")
    arguments = parser.parse_args()
    chosen = [scenario(name) for name in arguments.only or ()]
    if arguments.held_out:
        from tests.benchmarks.leaks.real.held_out import SCENARIOS as KEPT

        chosen += KEPT
    began = time.monotonic()
    outcomes = runner.run_all(
        lambda line: print(line, flush=True),
        chosen or list(SCENARIOS.values()),
        minutes=arguments.minutes,
    )
    for outcome in outcomes:
        _told(outcome)
    called = [outcome for outcome in outcomes if outcome.called_leak]
    found = [outcome for outcome in called if outcome.is_leak]
    print(
        f"\nprecision {_share(len(found), len(called))}, "
        f"recall {_share(len(found), sum(outcome.is_leak for outcome in outcomes))}, "
        f"kind {_share(sum(outcome.right_kind for outcome in found), len(found))}, "
        f"suspect {_share(sum(outcome.right_suspect for outcome in found), len(found))}, "
        f"{time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
