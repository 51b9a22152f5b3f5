"""Planned restarts: what counts, what is drained, who is told."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from services.memory.types import Series
from services.operations.drain import Drain
from services.operations.restarts import Plan, Restarts

if TYPE_CHECKING:
    from services.runtime import Runtime

LOOK_SECONDS = 1.0


def keep_restarts(runtime: Runtime, closing: ExitStack) -> None:
    """Give `runtime` its restarts, and have the process drained when one is asked for."""
    settings = runtime.settings

    def successor() -> str:
        return runtime.successor.name if runtime.successor is not None else ""

    def long_work() -> int:
        if not runtime.ready:
            return 0
        running, waiting = runtime.answering.slots()
        return max(running + waiting, len(runtime.scopes.running()))

    def affordable() -> bool:
        """Whether a second process fits under the soft watermark beside this one."""
        sample = runtime.memory.history.latest()
        rss = sample.get(Series.RSS) if sample else None
        limit = runtime.governor.state().budget.limit
        return settings.restart_standby and rss is not None and rss + runtime.ready_rss < limit * settings.budget_soft

    def stop_background() -> None:
        if runtime.ready:
            runtime.ingestion.close()

    runtime.restarts = Restarts(
        runtime.clock.time,
        runtime.reporter,
        plan=Plan.of(settings, runtime.clock.time()),
        served=lambda: runtime.requests.total,
        successor=successor,
    )
    drain = Drain(
        runtime.restarts,
        runtime.admission,
        lambda: runtime.successor,
        long_work,
        lambda: runtime.requests.busy,
        affordable,
        stop_background,
        seconds=settings.drain_seconds,
        now=runtime.clock.time,
    )
    runtime.restarts.add_listener(drain.begin)
    runtime.memory.add_work(runtime.restarts.look, LOOK_SECONDS)
    closing.callback(drain.close)
