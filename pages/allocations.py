"""Allocations: which lines allocate, traced for a while."""

from __future__ import annotations

from console.ui.allocations.compare import allocations_comparison
from console.ui.allocations.snapshot_table import allocations_snapshots
from console.ui.allocations.toolbar import allocations_bar
from console.ui.runtime_access import runtime

tracer = runtime().memory.tracer
allocations_bar(tracer)
allocations_comparison(tracer)
allocations_snapshots(tracer)
