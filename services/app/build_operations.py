"""Planned restarts: what counts, what is drained, who is told.

Who hears of what: the memory budget, refusals, restarts and the leak detector send their alerts.

How each part says that it can do its work: what `/readyz` asks.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from services.core.events import EventKind
from services.core.i18n import _, plural
from services.core.settings import MEGABYTE
from services.memory.budget.types import BudgetLevel, Decision, DecisionKind
from services.memory.leaks.messages import headline
from services.memory.types import Series
from services.operations.drain import Drain
from services.operations.health import Check
from services.operations.restarts import RestartPlan, RestartRequest, Restarts
from services.operations.webhook import Alert, AlertKind, Webhook

if TYPE_CHECKING:
    from services.app.container import Runtime

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
        plan=RestartPlan.of(settings, runtime.clock.time()),
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


def send_alerts(runtime: Runtime, closing: ExitStack) -> None:
    """Give `runtime` its webhook and have it told what people should hear of."""
    settings = runtime.settings
    webhook = Webhook(
        settings.webhook_url,
        settings.webhook_secret.get_secret_value(),
        instance=f"{platform.node()}:{settings.port}",
        now=runtime.clock.time,
    )
    last = BudgetLevel.CALM

    def decided(decision: Decision) -> None:
        nonlocal last
        if decision.kind is DecisionKind.MODE:
            last = decision.level  # a paused budget begins anew
            return
        if decision.kind is DecisionKind.LEVEL:
            kind = AlertKind.LEVEL_UP if decision.level > last else AlertKind.LEVEL_DOWN
            last = decision.level
            text = f"{decision.outcome}: {decision.evidence}"
        elif decision.kind is DecisionKind.REFUSED:
            kind, text = AlertKind.REFUSALS, decision.outcome
        else:
            return
        if decision.dry_run:
            text += " " + _("(dry run: nothing is done)")
        figures = {"level": float(decision.level), "rss_bytes": float(decision.rss_after)}
        webhook.send(Alert(kind, text, decision.time, figures))

    def restarting(request: RestartRequest) -> None:
        text = _("A restart was asked for by {name}: {reason}").format(name=request.actor, reason=request.reason)
        webhook.send(Alert(AlertKind.RESTART, text, request.time))

    runtime.webhook = webhook
    runtime.governor.add_listener(decided)
    runtime.restarts.add_listener(restarting)
    webhook.start()
    closing.callback(webhook.close)


def hear_of_verdicts(runtime: Runtime, kind: EventKind, _figures: Mapping[str, float]) -> None:
    """Listen to the events for a change of the leak detector's verdict."""
    if kind is EventKind.VERDICT and "webhook" in vars(runtime):
        verdict = runtime.memory.detector.verdict
        figures = {"level_bytes": float(verdict.level)}
        runtime.webhook.send(Alert(AlertKind.VERDICT, headline(verdict), verdict.time, figures))


def checks(runtime: Runtime) -> Mapping[str, Callable[[], Check]]:
    """Return one check per part of `runtime`; one of a part that is not there yet raises `UnavailableError`."""

    def store() -> Check:
        counts = runtime.library.counts()
        return Check("store", ok=True, detail=plural("{count} document", "{count} documents", counts.documents))

    def index() -> Check:
        keeper = runtime.keeper
        return Check("index", ok=keeper.ready, detail=plural("{count} vector", "{count} vectors", len(keeper.index)))

    def embedder() -> Check:
        return Check("embedder", ok=True, detail=runtime.embedder.memory_report().detail)

    def chat_model() -> Check:
        status = runtime.models.status()
        return Check("chat model", ok=status.state != "down", detail=status.message or status.label)

    def disk() -> Check:
        free_mb = shutil.disk_usage(runtime.settings.data_dir).free // MEGABYTE
        enough = free_mb >= runtime.settings.free_disk_mb
        return Check("disk", ok=enough, detail=_("{free} MB free").format(free=f"{free_mb:,}"))

    def accepting() -> Check:
        draining = runtime.restarts.draining
        return Check("accepting", ok=not draining, detail=_("draining for a restart") if draining else _("open"))

    return {
        "store": store,
        "index": index,
        "embedder": embedder,
        "chat model": chat_model,
        "disk": disk,
        "accepting": accepting,
    }
