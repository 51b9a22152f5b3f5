"""Measure what is noticed when a node behind a front is killed, hangs, or is drained: `python -m tests.front`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.front.browser import browser_seconds
from tests.front.faults import Noticed, drained, hung, killed, noticed
from tests.front.fronts import Run, haproxy, nginx_alone, nginx_with_checks
from tests.front.nodes import Nodes, running_nodes
from tests.siege.report import Report

FRONTS: dict[str, Run] = {"haproxy": haproxy, "nginx": nginx_with_checks, "nginx-alone": nginx_alone}
FAULTS: dict[str, Callable[[Nodes, str], None]] = {"killed": killed, "hung": hung, "drained": drained}


@dataclass(frozen=True)
class Target:
    """The most that may be noticed: requests that began in the first two seconds, later, and the longest gap."""

    soon: float
    later: float
    gap: float


_ANY = float("inf")
TARGETS = {
    ("haproxy", "killed"): Target(_ANY, 0, 2.0),
    ("haproxy", "hung"): Target(_ANY, 0, 2.0),
    ("haproxy", "drained"): Target(0, 0, 1.0),
    ("nginx", "killed"): Target(_ANY, 0, 2.0),
    ("nginx", "hung"): Target(_ANY, 0, 2.0),
    ("nginx", "drained"): Target(0, 0, 1.0),
    ("nginx-alone", "killed"): Target(_ANY, 0, 2.0),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fronts", nargs="+", choices=FRONTS, default=list(FRONTS))
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as folder, running_nodes(Path(folder) / "nodes") as nodes:
        for front in given.fronts:
            nodes.up()
            with FRONTS[front](Path(folder) / f"{front}-browser", nodes.addresses) as running:
                protocol, seconds = browser_seconds(running, nodes)
            report(f"{front}: a browser's page has left its killed node", round(seconds, 2), 2.0, "s", protocol)
            for fault in given.faults:
                if (target := TARGETS.get((front, fault))) is None:
                    continue
                found = []
                for number in range(given.rounds):
                    nodes.up()
                    with FRONTS[front](Path(folder) / f"{front}-{fault}-{number}", nodes.addresses) as running:
                        found.append(noticed(running, nodes, FAULTS[fault]))
                    print(f"{front}, {fault}: {found[-1].outcome}; page {found[-1].page_seconds:.2f} s", flush=True)
                _report(report, f"{front}, {fault}", found, target)
    return 0 if report.holds else 1


def _report(report: Report, what: str, found: list[Noticed], target: Target) -> None:
    outcomes = [each.outcome for each in found]
    if not {"drained"} & {*what.split(", ")}:
        print(f"{what}: failed in flight: {[each.in_flight for each in outcomes]}")
    else:
        report(f"{what}: failed in flight", max(each.in_flight for each in outcomes), 0, "requests")
    report(f"{what}: failed that began within 2 s", max(each.soon for each in outcomes), target.soon, "requests")
    report(f"{what}: failed that began later", max(each.later for each in outcomes), target.later, "requests")
    gaps = ", ".join(f"{each.gap:.2f}" for each in outcomes)
    report(f"{what}: longest gap of a client", round(max(each.gap for each in outcomes), 2), target.gap, "s", gaps)
    print(f"{what}: the page was back after {', '.join(f'{each.page_seconds:.2f}' for each in found)} s")


if __name__ == "__main__":
    sys.exit(main())
