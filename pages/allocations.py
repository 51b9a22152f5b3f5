"""Allocations: traced for a limited time, by line, file or traceback."""

from __future__ import annotations

from console.ui.allocations.compare import allocations_comparison
from console.ui.allocations.snapshot_table import snapshot_table
from console.ui.allocations.toolbar import allocations_toolbar
from console.ui.runtime_access import ready_services

tracer = ready_services().memory.tracer
allocations_toolbar(tracer)
allocations_comparison(tracer)
snapshot_table(tracer)
