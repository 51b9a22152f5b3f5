"""Scenarios that nobody looks at while the detector is worked on; they are run once, in the end."""

from __future__ import annotations

from tests.benchmarks.leaks.real.scenario import Scenario

SCENARIOS: tuple[Scenario, ...] = ()
