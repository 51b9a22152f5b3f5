"""The composition root: builds every service once, starts them in order, closes them in reverse.

The rooms of `services` meet here and in `services.app` only. Heavy modules (torch, FAISS, the model) are imported by
`start`, so that importing this module stays cheap.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

import structlog

from services.app.build_budget import keep_budget
from services.app.build_chat import open_chat
from services.app.build_documents import load_embedder, load_knowledge
from services.app.build_memory import collect_by_policy, watch
from services.app.build_operations import checks, keep_restarts, send_alerts
from services.app.diagnostics import offer
from services.app.gc_experiment import offer_experiments
from services.app.metrics import register
from services.app.reclaimers import offer_reclaimers
from services.core.access import AccessControl
from services.core.admission import Admission
from services.core.cache import Caches
from services.core.database import Database
from services.core.errors import CancelledError, MillpondError, StorageError, UnavailableError
from services.core.events import EventKind, EventSink, NullEventSink
from services.core.i18n import _, use_language
from services.core.memory_report import MemoryReport, MemoryReporter
from services.core.preferences import Preferences
from services.core.requests.registry import RequestRegistry
from services.core.settings import Settings
from services.memory.budget.governor import Governor
from services.memory.clock import Clock
from services.memory.fork_permit import set_request_registry
from services.memory.gc.policy import CollectionPolicy
from services.memory.gc_experiment.runner import Experiments
from services.memory.monitor import MemoryMonitor
from services.memory.process import heap_bytes, rss_bytes, trim_heap
from services.operations.data_lock import DataLock
from services.operations.drain import Successor
from services.operations.event_log import EventLog
from services.operations.health import Health
from services.operations.metrics import Metrics
from services.operations.request_log import RecentRequests
from services.operations.restarts import Restarts
from services.operations.webhook import Webhook

if TYPE_CHECKING:
    from services.chat.answer_service import AnswerService
    from services.chat.conversations import Conversations
    from services.chat.models import ChatModels
    from services.knowledge.embedding import Embedder
    from services.knowledge.index import IndexManager
    from services.knowledge.ingestion import Ingestion
    from services.knowledge.library import Library
    from services.knowledge.parsing.pool import ParserPool
    from services.knowledge.retrieval import Retriever

log = structlog.get_logger(__name__)


class Runtime:
    """Every service of one process over one data folder.

    The services exist once `start` has come that far; before that, reading one raises `UnavailableError`, which the
    shell shows as "starting". `stage` says what is being done, `failure` why a start was given up.
    """

    database: Database
    preferences: Preferences
    embedder: Embedder
    keeper: IndexManager
    parser: ParserPool
    ingestion: Ingestion
    library: Library
    retriever: Retriever
    conversations: Conversations
    models: ChatModels
    answering: AnswerService
    memory: MemoryMonitor
    events: EventLog
    reporter: EventSink
    governor: Governor
    webhook: Webhook
    policy: CollectionPolicy
    restarts: Restarts
    experiments: Experiments
    gate: AccessControl

    def __init__(self, settings: Settings, clock: Clock | None = None, *, watched: bool = True) -> None:
        """Build nothing yet. `watched` is whether memory is sampled: a command line of seconds does without."""
        self.settings = settings
        self._watched = watched
        self.clock = clock or Clock()
        self.metrics = Metrics()
        self.requests = RecentRequests(rss_bytes, heap_bytes, self.clock.time)
        self.admission = Admission()
        self.scopes = RequestRegistry(settings, rss_bytes, now=self.clock.time, reporter=self._told)
        self.caches = Caches(settings)
        self.sessions: Callable[[], int] = lambda: 0  # browser tabs; the shell puts its own counter here
        self.successor: Successor | None = None  # who starts the next process after this one; the shell says
        self.ready_rss = 0  # what a process needs that has just become ready, in bytes
        # An embedding model that was loaded ahead of `start`, how long that took (s), and RSS before it (bytes).
        self.prepared: tuple[Embedder, float, int] | None = None
        register.install(self)
        self._reporters: list[MemoryReporter] = []
        self.offered_owners: dict[str, tuple[Callable[[], object], str]] = {}
        self.health = Health(checks(self))
        self.stage = _("Starting")
        self.failure: MillpondError | None = None
        self.started_at = time.time()
        self._ready = threading.Event()
        self._closing = ExitStack()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """Explain that a service does not exist yet (called only for attributes that are not set)."""
            if name in Runtime.__annotations__:
                raise UnavailableError(
                    _("Millpond is still starting: {stage}.").format(stage=self.stage), _("Try again in a moment.")
                )
            raise AttributeError(name)

    @property
    def ready(self) -> bool:
        """Whether everything is loaded and warm."""
        return self._ready.is_set()

    def prepare(self) -> None:
        """Load what needs no data folder, so that `start` is quick once another process lets go of the folder.

        Raises:
            MillpondError: a part cannot be had.
        """
        from services.knowledge.embedding import Embedder

        began, before = time.monotonic(), rss_bytes()
        embedder = Embedder.load(self.settings)
        self._closing.callback(embedder.close)
        self.prepared = embedder, time.monotonic() - began, before
        # What the other parts import is most of their start.
        import services.chat.answer_service
        import services.chat.conversations
        import services.chat.models
        import services.knowledge.index
        import services.knowledge.ingestion
        import services.knowledge.library
        import services.knowledge.parsing
        import services.knowledge.retrieval
        import services.knowledge.store  # noqa: F401

    def start(self, url: str = "", *, patience: float = 0.0) -> None:
        """Open the data folder, load model and index, warm up; `url` is told to other processes that find the lock.

        For `patience` seconds it waits for another process to let go of the folder.

        Raises:
            ConflictError: another process holds the data folder.
            MillpondError: a part cannot be had; what was opened is closed again.
        """
        try:
            self._open(url, patience)
        except MillpondError as error:
            self.failure = error
            self.close()
            raise
        except BaseException:
            self.close()
            raise

    def _open(self, url: str, patience: float) -> None:
        use_language(self.settings.language)
        self._enter(_("opening the data folder"))
        self._open_folder(url, patience)
        self._enter(_("loading the embedding model"))
        load_embedder(self, self._closing)
        self._enter(_("loading the index"))
        load_knowledge(self, self._closing)
        self._enter(_("opening the conversations"))
        open_chat(self, self._closing)
        self._enter(_("warming up"))
        self.retriever.search(_("warm-up"))
        offer(self)
        offer_reclaimers(self)
        offer_experiments(self, self._closing)
        self.ready_rss = rss_bytes()
        self._ready.set()
        self.ingestion.add_idle_listener(self._use_idle_time)
        self.ingestion.start()
        self._closing.callback(self.ingestion.close)
        self._enter(_("ready"))

    def _open_folder(self, url: str, patience: float) -> None:
        folder = self.settings.data_dir
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StorageError(
                _("The data folder {path} cannot be created: {reason}.").format(path=folder, reason=error.strerror),
                _("Choose another with --data-dir or MILLPOND_DATA_DIR."),
            ) from error
        lock = DataLock(folder)
        lock.acquire(url, patience=patience)
        self._closing.callback(lock.release)

        # The tables must be known to the schema before it is created.
        import services.chat.store
        import services.knowledge.store  # noqa: F401

        self.database = Database(self.settings.effective_database_url)
        self._closing.callback(self.database.close)
        self.database.create_tables()
        self.preferences = Preferences(self.database)
        watch(self, self._closing, sampled=self._watched)
        set_request_registry(self.scopes)
        self.gate = AccessControl(self.settings, self.reporter, self.clock.time)
        keep_restarts(self, self._closing)
        collect_by_policy(self)
        keep_budget(self, self._closing, watched=self._watched)
        send_alerts(self, self._closing)
        for holder in (self._held, *self._reporters):
            self.memory.ledger.add_memory_reporter(holder)

    def close(self) -> None:
        """Stop the services in reverse order of their start; safe to call twice."""
        self._ready.clear()
        self._closing.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def offer_owner(self, name: str, get: Callable[[], object], label: str) -> None:
        """Have the objects page also offer what `get` returns for a deep measurement."""
        self.offered_owners[name] = get, label
        if self.ready:
            self.memory.objects.add_owner(name, get, label)

    def add_memory_reporter(self, holder: MemoryReporter) -> None:
        """Have the ledger also ask `holder`: the shell reports so what Streamlit keeps."""
        self._reporters.append(holder)
        if "memory" in vars(self):
            self.memory.ledger.add_memory_reporter(holder)

    def _held(self) -> list[MemoryReport]:
        """Return what every part holds, as far as they are there."""
        if not self.ready:
            return []
        return [
            *self.resources(),
            self.embedder.tokenizer_memory_report(),
            self.retriever.memory_report(),
            *self.caches.memory_reports(),
        ]

    def resources(self) -> list[MemoryReport]:
        """Return the big things that this process holds exactly once, with their bytes and load counts."""
        held = [self.embedder.memory_report(), self.keeper.index.memory_report(), self.conversations.memory_report()]
        local_model = self.models.local.memory_report()
        return [*held, local_model] if local_model else held

    def _use_idle_time(self) -> None:
        """Once the queue is empty: measure what the embedder knows of the new documents, give free memory back."""
        with suppress(CancelledError):
            self.retriever.learn(cancelled=lambda: not self.ready)
        self.policy.big_work_done(_("ingestion"), at_once=True)
        before = rss_bytes()
        trim_heap()
        self.reporter.event(EventKind.TRIM, _("after ingestion"), rss_before=before, rss_after=rss_bytes())

    def _told(self) -> EventSink:
        """Return the reporter, a silent one before it is there."""
        return self.reporter if "reporter" in vars(self) else NullEventSink()

    def _enter(self, stage: str) -> None:
        self.stage = stage
        log.info("start", stage=stage)
