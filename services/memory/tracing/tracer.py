"""tracemalloc under control: on for a set time, snapshots to disk, comparisons."""

from __future__ import annotations

from pathlib import Path

from services.memory.clock import Clock
from services.reporting import Reporter


class Tracer:
    """Switches tracemalloc on and off and keeps its snapshots in `folder`."""

    def __init__(self, folder: Path, clock: Clock, reporter: Reporter) -> None:
        self._folder = folder
        self._clock = clock
        self._reporter = reporter

    def close(self) -> None:
        """Switch tracing off."""
