"""Who hears of what: the memory budget, refusals, restarts and the leak detector send their alerts."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from services.memory.governor.types import Decision, DecisionKind, Level
from services.memory.leaks.wording import headline
from services.operations.alerts import Alert, AlertKind
from services.operations.restarts import RestartRequest
from services.operations.webhook import Webhook
from services.reporting import EventKind
from services.texts import _

if TYPE_CHECKING:
    from services.runtime import Runtime


def send_alerts(runtime: Runtime, closing: ExitStack) -> None:
    """Give `runtime` its webhook and have it told what people should hear of."""
    settings = runtime.settings
    webhook = Webhook(
        settings.webhook_url,
        settings.webhook_secret.get_secret_value(),
        instance=f"{platform.node()}:{settings.port}",
        now=runtime.clock.time,
    )
    last = Level.CALM

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
