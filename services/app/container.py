"""Every service of the process under its name, by the phase of the start in which it begins to exist.

The containers are frozen: a part is built first and named here once it is there. Importing this module costs nothing,
types are imported for the type checker alone.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.app.cached_search import CachedSearch
    from services.audit.audit_trail import Audit
    from services.backup.backup_service import Backups
    from services.chat.answer_service import AnswerService
    from services.chat.conversations import Conversations
    from services.chat.models import ChatModels
    from services.core.access import AccessControl
    from services.core.admission import Admission
    from services.core.cache import Caches
    from services.core.database import Database
    from services.core.erasure import Erasure
    from services.core.memory_report import MemoryReport
    from services.core.preferences import Preferences
    from services.core.requests.registry import RequestRegistry
    from services.core.secret_store import SecretStore
    from services.core.settings import Settings
    from services.identity.identity import Identity
    from services.knowledge.document_import import DocumentImporter
    from services.knowledge.embedding.serving_model import ServingModel
    from services.knowledge.ingestion import Ingestion
    from services.knowledge.library import Library
    from services.knowledge.model_change import ModelChange
    from services.knowledge.parsing.pool import ParserPool
    from services.knowledge.retrieval import Retriever
    from services.knowledge.store.dense_index import DenseIndexManager
    from services.memory.budget.governor import Governor
    from services.memory.clock import Clock
    from services.memory.gc.policy import CollectionPolicy
    from services.memory.gc_experiment.runner import Experiments
    from services.memory.monitor import MemoryMonitor
    from services.nodes.pond_nodes import Nodes
    from services.operations.event_log import EventLog
    from services.operations.event_reporter import EventReporter
    from services.operations.health import Health
    from services.operations.metrics import Metrics
    from services.operations.request_log import RecentRequests
    from services.operations.restarts import Restarts
    from services.operations.webhook import Webhook


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Foundation:
    """What exists from the first moment, before the data folder is open. `started_at`: seconds since the epoch."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    request_log: RecentRequests
    requests: RequestRegistry
    admission: Admission
    caches: Caches
    health: Health
    started_at: float

    def parts(self) -> list[object]:
        """Return everything that this container names."""
        return [getattr(self, field.name) for field in fields(self)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Platform(Foundation):
    """What exists once the data folder is open, while models and index are loading: memory, budget, operations."""

    database: Database
    erasure: Erasure
    preferences: Preferences
    secrets: SecretStore
    events: EventLog
    reporter: EventReporter
    audit: Audit
    memory: MemoryMonitor
    gc_policy: CollectionPolicy
    governor: Governor
    restarts: Restarts
    webhook: Webhook
    access: AccessControl
    identity: Identity
    nodes: Nodes | None  # None: this process serves its pond alone


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Services(Platform):
    """Every service of a process that is ready. `ready_rss`: resident bytes when it became so."""

    embedder: ServingModel
    index: DenseIndexManager
    parser: ParserPool
    ingestion: Ingestion
    library: Library
    importer: DocumentImporter
    retriever: Retriever
    model_change: ModelChange
    searches: CachedSearch
    conversations: Conversations
    models: ChatModels
    answers: AnswerService
    experiments: Experiments
    backups: Backups
    ready_rss: int

    def resources(self) -> list[MemoryReport]:
        """Return the large things that this process holds exactly once, with their bytes and load counts."""
        reports = [
            self.embedder.memory_report(),
            self.index.index.memory_report(),
            self.conversations.memory_report(),
        ]
        local_model = self.models.local.memory_report()
        return [*reports, local_model] if local_model else reports

    def shown_resources(self) -> list[MemoryReport]:
        """Return the same as `resources`, each with the bytes that the ledger which is shown has of it."""
        snapshot = self.memory.snapshot()
        held = {} if snapshot is None or snapshot.ledger is None else {one.name: one for one in snapshot.ledger.held}
        return [held.get(report.name, report) for report in self.resources()]
