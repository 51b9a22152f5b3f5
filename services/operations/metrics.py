"""Prometheus metrics by the official client."""

from __future__ import annotations

from services.reporting import Counted, Timing


class Metrics:
    """Counts and times what the rooms report, and renders the exposition."""

    def observe(self, timing: Timing, seconds: float) -> None:
        """Put a duration into its histogram."""

    def count(self, counted: Counted, amount: float = 1) -> None:
        """Raise a counter."""
