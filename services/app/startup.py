"""The application: starts every service once, in phases, and closes them in reverse order.

Heavy modules (torch, FAISS, the model) are imported by the phase that needs them, so that importing this module stays
cheap.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from types import TracebackType

import structlog

from services.app.build_documents import LoadedEmbedder, load_embedder
from services.app.build_operations import LongWork
from services.app.container import Foundation, Platform, Services
from services.app.phases import build_foundation, load_services, open_platform, register_services
from services.app.shell_hooks import ShellHooks
from services.core.errors import CancelledError, MillpondError, UnavailableError
from services.core.events import EventKind, EventSink, NullEventSink
from services.core.i18n import _
from services.core.memory_report import MemoryReport
from services.core.settings import Settings
from services.memory.clock import Clock
from services.memory.process import rss_bytes, trim_heap
from services.memory.snapshot import RssReading
from services.nodes.types import NodeState
from services.operations.health import Check

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Starting:
    """The services are being built; `stage` says which part, in words."""

    stage: str


@dataclass(frozen=True, slots=True)
class Ready:
    """Everything is loaded and warm."""

    services: Services


@dataclass(frozen=True, slots=True)
class Failed:
    """The start was given up; `error` says why."""

    error: MillpondError


@dataclass(frozen=True, slots=True)
class Closed:
    """The services are being closed, or are."""


State = Starting | Ready | Failed | Closed


class Application:
    """The services of one process over one data folder: starts once, closes once.

    `foundation` exists at once, `platform` and `services` raise `UnavailableError` until the start has come that far.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None, *, watched: bool = True) -> None:
        """Build the foundation. `watched` is whether memory is sampled: a command line of seconds does without."""
        self._watched = watched
        self._state: State = Starting(_("Starting"))
        self._platform: Platform | None = None
        self._prepared: LoadedEmbedder | None = None
        self._ready_rss = 0
        self._loaded: Services | None = None  # from shortly before the process is ready until it is closed
        self._started = False
        self._closing = ExitStack()
        self.hooks = ShellHooks()
        self._long_work = LongWork(self.is_ready)
        self.foundation: Foundation = build_foundation(
            settings,
            clock or Clock(),
            reporter=self._reporter,
            starting=self._starting_check,
            ready=self.is_ready,
            count_sessions=self.hooks.sessions,
            count_connections=self.hooks.connections,
        )

    @property
    def state(self) -> State:
        """How far the start is."""
        return self._state

    @property
    def starting(self) -> bool:
        """Whether the services are still being built."""
        return isinstance(self._state, Starting)

    @property
    def ready(self) -> bool:
        """Whether everything is loaded and warm."""
        return isinstance(self._state, Ready)

    @property
    def failure(self) -> MillpondError | None:
        """Why the start was given up, None if it was not."""
        return self._state.error if isinstance(self._state, Failed) else None

    @property
    def stage(self) -> str:
        """What the start is doing, in words."""
        match self._state:
            case Starting(stage):
                return stage
            case Ready():
                return _("ready")
            case Failed(error):
                return error.message
            case Closed():
                return _("closed")

    @property
    def opened(self) -> Platform | None:
        """What exists once the data folder is open, None before."""
        return self._platform

    @property
    def platform(self) -> Platform:
        """What exists once the data folder is open; raises UnavailableError before."""
        if self._platform is None:
            raise self._unavailable()
        return self._platform

    @property
    def services(self) -> Services:
        """Every service; raises UnavailableError unless the process is ready."""
        if isinstance(self._state, Ready):
            return self._state.services
        raise self._unavailable()

    def service_types(self) -> set[type]:
        """Return the types of the parts that exist: they belong to the process, not to whoever refers to them."""
        platform = self._platform
        container = self._state.services if isinstance(self._state, Ready) else platform or self.foundation
        parts = [container, *container.parts(), *(platform.memory.parts() if platform is not None else ())]
        return {type(part) for part in parts if type(part).__module__.startswith("services.")}

    def is_ready(self) -> bool:
        """Return `ready`, for those who ask again and again."""
        return self.ready

    def ready_rss(self) -> int:
        """Return RSS when the process became ready, in bytes; 0 before."""
        return self._ready_rss

    def rss_reading(self) -> RssReading:
        """Return RSS as everything shows it: that of the memory monitor; read now before it exists."""
        if self._platform is None:
            return RssReading(rss_bytes(), self.foundation.clock.time())
        return self._platform.memory.reading()

    def fail(self, error: MillpondError) -> None:
        """Give the start up because of `error`."""
        self._state = Failed(error)

    def prepare(self) -> None:
        """Load what needs no data folder, so that `start` is quick once another process releases the folder.

        Raises:
            MillpondError: a part cannot be had.
        """
        settings = self.foundation.settings
        self._prepared = load_embedder(settings, self._closing)
        # What the other parts import is most of their start.
        if settings.vector_search == "node":
            import services.knowledge.index
        import services.chat.answer_service
        import services.chat.conversations
        import services.chat.models
        import services.knowledge.ingestion
        import services.knowledge.library
        import services.knowledge.parsing
        import services.knowledge.retrieval
        import services.knowledge.store  # noqa: F401

    def start(self, url: str = "", *, patience: float = 0.0) -> Services:
        """Open the data folder, load model and index, warm up, and return the services.

        Args:
            url: the address of this server, told to other processes that find the data folder locked.
            patience: seconds to wait for another process to release the data folder.

        Raises:
            ConflictError: another process holds the data folder.
            MillpondError: a part cannot be had; what was opened is closed again.
        """
        if self._started:
            raise RuntimeError("an application starts once")
        self._started = True
        try:
            return self._start(url, patience)
        except MillpondError as error:
            self.fail(error)
            self.close()
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the services in reverse order of their start; safe to call twice."""
        if not isinstance(self._state, Failed):
            self._state = Closed()
        self._loaded = None
        self._closing.close()

    def __enter__(self) -> Services:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, url: str, patience: float) -> Services:
        self._enter(_("opening the data folder"))
        platform = self._platform = open_platform(
            self.foundation,
            self._closing,
            self.hooks,
            self._long_work,
            url=url,
            patience=patience,
            watched=self._watched,
            ready=self.is_ready,
            ready_rss=self.ready_rss,
            enter=self._enter,
        )
        platform.memory.ledger.add_memory_reporter(self._memory_reports)
        self.hooks.connect_ledger(platform.memory.ledger)
        self.hooks.connect_owner_rules(platform.memory.objects.owner_rules)
        prepared, self._prepared = self._prepared, None
        services = load_services(platform, self._closing, prepared=prepared, enter=self._enter)
        register_services(services, self._long_work, watched=self._watched)
        services.library.finish_deletions()
        self._ready_rss = services.ready_rss
        self._loaded = services
        if self._watched:
            # The last one is from before everything was loaded: it does not fit the memory of a ready process.
            services.memory.ledger.build()
            services.memory.refresh()
        self._state = Ready(services)
        if services.nodes is not None:
            services.nodes.set_state(NodeState.READY)
        self.hooks.connect_inspector(services.memory.objects)
        services.ingestion.add_idle_listener(lambda: self._use_idle_time(services))
        services.ingestion.start()
        self._closing.callback(services.ingestion.close)
        if self._watched:
            services.model_change.start_worker()
            self._closing.callback(services.model_change.close)
            services.backups.start_worker()
        log.info("start", stage=_("ready"))
        return services

    def _use_idle_time(self, services: Services) -> None:
        """Once the queue is empty: calibrate retrieval on the new documents, give free memory back."""
        with suppress(CancelledError):
            services.retriever.measure_trust(cancelled=lambda: not self.ready)
        services.gc_policy.report_large_work(_("ingestion"), at_once=True)
        before = rss_bytes()
        trim_heap()
        services.reporter.event(EventKind.TRIM, _("after ingestion"), rss_before=before, rss_after=rss_bytes())

    def _memory_reports(self) -> list[MemoryReport]:
        """Return what the services hold; nothing while they are not all there."""
        services = self._loaded
        if services is None:
            return []
        return [
            *services.resources(),
            services.embedder.tokenizer_memory_report(),
            *services.model_change.memory_reports(),
            services.retriever.memory_report(),
            *services.caches.memory_reports(),
        ]

    def _reporter(self) -> EventSink:
        """Return where events go: nowhere before the data folder is open."""
        return self._platform.reporter if self._platform is not None else NullEventSink()

    def _starting_check(self) -> Check:
        """Stand in for the check of a part that does not exist yet."""
        raise self._unavailable()

    def _unavailable(self) -> UnavailableError:
        match self._state:
            case Failed(error):
                return UnavailableError(error.message, error.hint)
            case Closed():
                return UnavailableError(_("Millpond is being closed."), _("Start it again afterwards."))
            case _:
                return UnavailableError(
                    _("Millpond is still starting: {stage}.").format(stage=self.stage), _("Try again in a moment.")
                )

    def _enter(self, stage: str) -> None:
        self._state = Starting(stage)
        log.info("start", stage=stage)
