"""The memory budget of this process: its limit, its steps, and what drives it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from services.memory.governor.governor import Governor
from services.memory.governor.types import Budget, Level, LimitSource, Watermark
from services.memory.process import rss_bytes
from services.memory.types import Series
from services.settings import MEGABYTE

if TYPE_CHECKING:
    from services.runtime import Runtime

LOOK_SECONDS = 1.0


def keep_budget(runtime: Runtime, closing: ExitStack) -> None:  # noqa: ARG001 - the steps that need an end come here
    """Give `runtime` its governor and have it look each second."""
    settings = runtime.settings

    def budget() -> Budget:
        sample = runtime.memory.history.latest()
        found = sample.get(Series.LIMIT) if sample else None
        limit = settings.memory_limit_mb * MEGABYTE or int(found or 0)
        watermarks = tuple(
            Watermark(level, share, settings.budget_sustained_seconds, 0.05)
            for level, share in (
                (Level.SOFT, settings.budget_soft),
                (Level.HIGH, settings.budget_high),
                (Level.HARD, settings.budget_hard),
            )
        )
        source = LimitSource.CONFIGURED if settings.memory_limit_mb else LimitSource.SHARE
        return Budget(limit, source, watermarks)

    runtime.governor = Governor(
        runtime.clock,
        budget,
        runtime.reporter,
        rss=rss_bytes,
        dry_run=settings.budget == "dry-run",
        enabled=settings.budget != "off",
    )
    runtime.memory.add_work(runtime.governor.look, LOOK_SECONDS)
