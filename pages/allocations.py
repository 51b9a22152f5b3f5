"""Allocations: which lines allocate, traced for a while."""

from __future__ import annotations

from console.components.allocations_bar import allocations_bar
from console.components.allocations_comparison import allocations_comparison
from console.components.allocations_snapshots import allocations_snapshots
from console.resources import runtime

tracer = runtime().memory.tracer
allocations_bar(tracer)
allocations_comparison(tracer)
allocations_snapshots(tracer)
