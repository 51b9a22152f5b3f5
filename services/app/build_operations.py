"""Builds planned restarts, the drain before them, the webhook with its alerts, and the health checks that `/readyz`
asks.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from services.core.actor import SERVICE, person_name
from services.core.admission import Admission
from services.core.events import EventKind, EventSink
from services.core.i18n import _, gap, joined, plural
from services.core.machine import MEGABYTE
from services.core.outgoing import OutgoingRules
from services.core.settings import Settings
from services.memory.budget.governor import Governor
from services.memory.budget.types import BudgetLevel, Decision, DecisionKind
from services.memory.clock import Clock
from services.memory.leaks.detector import Detector
from services.memory.leaks.headline import headline
from services.memory.monitor import MemoryMonitor
from services.operations.alerts import Alert, AlertKind
from services.operations.drain import Drain, Successor
from services.operations.event_reporter import EventReporter
from services.operations.health import Check
from services.operations.request_log import RecentRequests
from services.operations.restarts import RestartPlan, RestartRequest, Restarts
from services.operations.webhook import Webhook

if TYPE_CHECKING:
    from services.chat.models import ChatModels
    from services.knowledge.embedding.embedder_protocol import EmbeddingModel
    from services.knowledge.library import Library
    from services.knowledge.store.dense_index import DenseIndexManager
    from services.nodes.pond_nodes import Nodes

CHECK_SECONDS = 1.0
STORE, INDEX, EMBEDDER, CHAT_MODEL, DISK, ACCEPTING = "store", "index", "embedder", "chat model", "disk", "accepting"
NAMES = (STORE, INDEX, EMBEDDER, CHAT_MODEL, DISK, ACCEPTING)  # in the order in which they are shown


class LongWork:
    """The work that a drain waits for, and what it stops: each part registers once it exists. Not `ready`: none."""

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready = ready
        self._counts: list[Callable[[], int]] = []
        self._stops: list[Callable[[], object]] = []

    def add_count(self, count: Callable[[], int]) -> None:
        """Have the drain wait while `count` is not 0; of several counts the largest is reported."""
        self._counts.append(count)

    def add_background(self, stop: Callable[[], object]) -> None:
        """Have the drain call `stop` for work that goes on at the next start."""
        self._stops.append(stop)

    def count(self) -> int:
        """Return how many answers and uploads are under way."""
        return max((count() for count in self._counts), default=0) if self._ready() else 0

    def stop_background(self) -> None:
        """Stop what goes on at the next start."""
        if self._ready():
            for stop in self._stops:
                stop()


def build_restarts(  # noqa: PLR0917 - the composition root calls it, nobody else
    settings: Settings,
    clock: Clock,
    reporter: EventSink,
    request_log: RecentRequests,
    memory: MemoryMonitor,
    successor: Callable[[], Successor | None],
    nodes: Nodes | None,
) -> Restarts:
    """Return the restarts; `memory` checks once a second whether a planned one is due."""
    from services.app.build_nodes import claims_of, leaving_or_coming

    def name() -> str:
        found = successor()
        return found.name if found is not None else ""

    restarts = Restarts(
        clock.time,
        reporter,
        plan=RestartPlan.of(settings, clock.time()),
        served=lambda: request_log.total,
        successor=name,
        claims=claims_of(nodes),
        others_restart=leaving_or_coming(nodes),
    )
    memory.add_task(restarts.check, CHECK_SECONDS)
    return restarts


def build_drain(  # noqa: PLR0917 - the composition root calls it, nobody else
    settings: Settings,
    clock: Clock,
    restarts: Restarts,
    admission: Admission,
    request_log: RecentRequests,
    governor: Governor,
    long_work: LongWork,
    closing: ExitStack,
    *,
    successor: Callable[[], Successor | None],
    ready_rss: Callable[[], int],
) -> Drain:
    """Return the drain, which begins when a restart is requested; `ready_rss`: RSS when ready, in bytes."""

    def affordable() -> bool:
        """Whether a second process fits under the soft watermark beside this one."""
        state = governor.state()
        return settings.restart_standby and state.rss_bytes + ready_rss() < state.budget.limit * settings.budget_soft

    drain = Drain(
        restarts,
        admission,
        successor,
        long_work.count,
        lambda: request_log.busy,
        affordable,
        long_work.stop_background,
        seconds=settings.drain_seconds,
        now=clock.time,
    )
    restarts.add_listener(drain.start)
    closing.callback(drain.close)
    return drain


def build_webhook(  # noqa: PLR0917 - the composition root calls it, nobody else
    settings: Settings,
    clock: Clock,
    governor: Governor,
    restarts: Restarts,
    reporter: EventReporter,
    detector: Detector,
    closing: ExitStack,
) -> Webhook:
    """Return the webhook, started; it sends alerts about the budget, refusals, restarts and the leak detector."""
    webhook = Webhook(
        settings.webhook_url,
        settings.webhook_secret.get_secret_value(),
        instance=f"{platform.node()}:{settings.port}",
        now=clock.time,
        rules=OutgoingRules.of(settings),
        audit=reporter,
    )
    governor.add_listener(_decision_listener(webhook))
    restarts.add_listener(_restart_listener(webhook))
    reporter.add_listener(_verdict_listener(webhook, detector))
    webhook.start()
    closing.callback(webhook.close)
    return webhook


def _decision_listener(webhook: Webhook) -> Callable[[Decision], None]:
    last = BudgetLevel.CALM

    def listener(decision: Decision) -> None:
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
            text += gap() + _("(dry run: nothing is done)")
        figures = {"level": float(decision.level), "rss_bytes": float(decision.rss_after)}
        webhook.send(Alert(kind, text, decision.time, figures))

    return listener


def _restart_listener(webhook: Webhook) -> Callable[[RestartRequest], None]:
    def listener(request: RestartRequest) -> None:
        text = _("A restart was asked for by {name}: {reason}").format(name=request.actor, reason=request.reason)
        webhook.send(Alert(AlertKind.RESTART, text, request.time))

    return listener


def _verdict_listener(webhook: Webhook, detector: Detector) -> Callable[[EventKind, Mapping[str, float]], None]:
    def listener(kind: EventKind, _figures: Mapping[str, float]) -> None:
        if kind is EventKind.VERDICT:
            verdict = detector.verdict
            figures = {"level_bytes": float(verdict.level_bytes)}
            webhook.send(Alert(AlertKind.VERDICT, headline(verdict), verdict.time, figures))

    return listener


def store_check(library: Library) -> Callable[[], Check]:
    """Return the check of the store: its counts can be read."""

    def check() -> Check:
        counts = library.counts(SERVICE)
        return Check(STORE, ok=True, detail=plural("{count} document", "{count} documents", counts.documents))

    return check


def index_check(index: DenseIndexManager) -> Callable[[], Check]:
    """Return the check of the index: it is in RAM and complete."""

    def check() -> Check:
        return Check(INDEX, ok=index.ready, detail=plural("{count} vector", "{count} vectors", len(index.index)))

    return check


def embedder_check(embedder: EmbeddingModel) -> Callable[[], Check]:
    """Return the check of the embedding model; a warning where another one serves than should."""

    def check() -> Check:
        detail, note = embedder.memory_report().detail, embedder.model_note
        return Check(EMBEDDER, ok=True, detail=f"{detail}. {note}" if note else detail, warning=bool(note))

    return check


def chat_model_check(models: ChatModels) -> Callable[[], Check]:
    """Return the check of the chat back end. It never keeps the process from being ready: without it the documents are
    quoted, and a front that took the process away would take the quotes away too.
    """

    def check() -> Check:
        status = models.status()
        detail = status.message or status.label
        warning = status.state in {"down", "unlisted"}
        return Check(CHAT_MODEL, ok=True, detail=joined((detail, status.hint)) if warning else detail, warning=warning)

    return check


def disk_check(folder: Path, least_mb: int) -> Callable[[], Check]:
    """Return the check of the data folder's disk: at least `least_mb` MB are free."""

    def check() -> Check:
        free_mb = shutil.disk_usage(folder).free // MEGABYTE
        return Check(DISK, ok=free_mb >= least_mb, detail=_("{free} MB free").format(free=f"{free_mb:,}"))

    return check


def accepting_check(restarts: Restarts, nodes: Nodes | None) -> Callable[[], Check]:
    """Return the check of a drain, before a restart or for its own sake: a front should send people elsewhere."""

    def check() -> Check:
        draining = restarts.draining
        if nodes is not None and nodes.drained_by and not draining:
            return Check(ACCEPTING, ok=False, detail=_("drained by {name}").format(name=person_name(nodes.drained_by)))
        return Check(ACCEPTING, ok=not draining, detail=_("draining for a restart") if draining else _("open"))

    return check
