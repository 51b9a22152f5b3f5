"""The phases of a start: foundation, platform (the data folder is open), services (models and index are loaded).

The folders of `services` meet in `services.app` only. Each part is built by a function that takes what it needs and
returns it; what concerns several parts is registered with the part that exists earlier.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from services.app import build_chat, build_documents, build_operations, metrics
from services.app.budget_actions import budget_actions
from services.app.build_audit import build_audit, watch_audit
from services.app.build_backups import build_backups
from services.app.build_budget import build_governor, restore_decisions, watch_budget
from services.app.build_documents import LoadedEmbedder
from services.app.build_erasure import build_erasure, join_erasure
from services.app.build_identity import build_identity, inherit_and_erase, publish_local_token, watch_identity
from services.app.build_memory import (
    build_events,
    build_gc_policy,
    build_memory,
    start_memory,
    watch_late_imports,
)
from services.app.build_nodes import agree_on_model, build_nodes, claims_of, connect_platform, connect_services
from services.app.build_operations import LongWork, build_drain, build_restarts, build_webhook
from services.app.build_schema import open_database, watch_copies
from services.app.build_secrets import build_box, build_secrets
from services.app.build_shared_cache import share_caches
from services.app.cached_search import CachedSearch, LibraryStamp
from services.app.container import Foundation, Platform, Services
from services.app.damage import ORIGINALS, files_check, require_database, watch_database, watch_originals
from services.app.data_folder import lock_folder
from services.app.diagnostics import register_actions, register_owners
from services.app.gc_experiment import build_experiments
from services.app.reclaimers import register_reclaimers
from services.app.shell_hooks import ShellHooks
from services.core.access import AccessControl
from services.core.actor import SERVICE
from services.core.admission import Admission
from services.core.cache import Caches
from services.core.events import EventSink
from services.core.i18n import _
from services.core.preferences import Preferences
from services.core.requests.registry import RequestRegistry
from services.core.settings import Settings
from services.core.shown_settings import register_settings
from services.core.stored_settings import with_stored
from services.memory.clock import Clock
from services.memory.fork_permit import set_request_registry
from services.memory.process import heap_bytes, rss_bytes, trim_heap
from services.operations.connections import ConnectionCounts
from services.operations.health import Check, Health
from services.operations.metrics import Metrics
from services.operations.request_log import RecentRequests


def build_foundation(
    settings: Settings,
    clock: Clock,
    *,
    reporter: Callable[[], EventSink],
    starting: Callable[[], Check],
    ready: Callable[[], bool],
    count_sessions: Callable[[], int],
    count_connections: Callable[[], ConnectionCounts],
) -> Foundation:
    """Build what exists from the first moment.

    Args:
        settings: all settings.
        clock: what everything that watches goes by.
        reporter: returns where events go at present.
        starting: the health check of a part that does not exist yet.
        ready: whether the process is ready.
        count_sessions: how many browser tabs are connected.
        count_connections: how many connections there are to the server.
    """
    register_settings(settings)
    health = Health(dict.fromkeys(build_operations.NAMES, starting))
    health.set_check(build_operations.DISK, build_operations.disk_check(settings.data_dir, settings.free_disk_mb))
    foundation = Foundation(
        settings=settings,
        clock=clock,
        metrics=Metrics(),
        request_log=RecentRequests(rss_bytes, heap_bytes, clock.time),
        requests=RequestRegistry(settings, rss_bytes, now=clock.time, reporter=reporter),
        admission=Admission(),
        caches=Caches(settings),
        health=health,
        started_at=time.time(),
    )
    metrics.register_foundation(
        foundation, ready=ready, count_sessions=count_sessions, count_connections=count_connections
    )
    return foundation


def open_platform(
    base: Foundation,
    closing: ExitStack,
    hooks: ShellHooks,
    long_work: LongWork,
    *,
    url: str,
    patience: float,
    watched: bool,
    ready: Callable[[], bool],
    ready_rss: Callable[[], int],
    enter: Callable[[str], None],
) -> Platform:
    """Open the data folder, and build what works while models and index are loading.

    Args:
        base: what exists already.
        closing: ends what is started here.
        hooks: what the shell registered.
        long_work: what a drain waits for.
        url: the address of this server, told to other processes that find the data folder locked.
        patience: seconds to wait for another process to release the folder.
        watched: whether memory is sampled and the budget checked.
        ready: whether the process is ready.
        ready_rss: RSS when it became ready, in bytes; 0 before.
        enter: called with a stage that may take a while, in words.

    Raises:
        ConflictError: another process holds the data folder, a newer version has written it, or a node does not fit.
        MillpondError: a part cannot be had.
    """
    settings, clock, request_log = base.settings, base.clock, base.request_log
    lock_folder(settings, url, patience, closing)
    require_database(settings)
    database, upgrade = open_database(settings, closing, enter, alone=not url)
    nodes = build_nodes(settings, database, url, closing)
    erasure = build_erasure(database, closing)
    preferences = Preferences(database)
    box = build_box(settings, nodes)
    secrets = build_secrets(preferences, box)
    settings = with_stored(settings, secrets)
    audit = build_audit(settings, clock, database, closing)
    events, reporter = build_events(clock, database, base.metrics, audit, closing)
    memory = build_memory(settings, clock, preferences.own(), events, reporter, request_log, hooks.sessions)
    watch_audit(audit, settings, memory)
    if watched:
        start_memory(memory, events, reporter, closing)
    set_request_registry(base.requests)
    governor = build_governor(settings, clock, reporter, memory, base.admission, ready=ready, ready_rss=ready_rss)
    restarts = build_restarts(settings, clock, reporter, request_log, memory, hooks.successor, nodes)
    closing.callback(restarts.close)
    build_drain(
        settings,
        clock,
        restarts,
        base.admission,
        request_log,
        governor,
        long_work,
        closing,
        successor=hooks.successor,
        ready_rss=ready_rss,
    )
    gc_policy = build_gc_policy(clock, request_log, reporter, memory, ready=ready)
    if watched:
        watch_budget(governor, clock, memory.limit, base.admission, closing, ready=ready)
    webhook = build_webhook(settings, clock, governor, restarts, reporter, memory.detector, closing)
    identity = build_identity(settings, database, preferences, box, reporter, now=clock.time)
    watch_identity(identity, memory, closing)
    if url:
        publish_local_token(identity, settings.data_dir, closing)
    platform = Platform(
        settings=settings,
        clock=clock,
        metrics=base.metrics,
        request_log=request_log,
        requests=base.requests,
        admission=base.admission,
        caches=base.caches,
        health=base.health,
        started_at=base.started_at,
        database=database,
        erasure=erasure,
        preferences=preferences,
        secrets=secrets,
        events=events,
        reporter=reporter,
        audit=audit,
        memory=memory,
        gc_policy=gc_policy,
        governor=governor,
        restarts=restarts,
        webhook=webhook,
        access=AccessControl(settings, reporter, clock.time),
        identity=identity,
        nodes=nodes,
    )
    connect_platform(platform)
    watch_database(database, memory, reporter, base.health)
    watch_copies(settings, clock, database, upgrade, memory=memory, reporter=reporter)
    base.health.set_check(build_operations.ACCEPTING, build_operations.accepting_check(restarts, nodes))
    metrics.register_platform(platform, count_sessions=hooks.sessions)
    return platform


def load_services(
    base: Platform, closing: ExitStack, *, prepared: LoadedEmbedder | None, enter: Callable[[str], None]
) -> Services:
    """Load models and index, build what answers questions over them, and warm up.

    Args:
        base: what exists already.
        closing: ends what is started here.
        prepared: an embedding model that was loaded ahead.
        enter: called with each stage, in words.

    Raises:
        MillpondError: a part cannot be had.
    """
    settings, health = base.settings, base.health
    enter(_("loading the embedding model"))
    rules = base.memory.objects.owner_rules
    build_documents.register_owners(rules, settings)
    build_chat.register_owners(rules)
    agree = agree_on_model(base.nodes)
    loaded, choice = build_documents.load_serving(settings, base.database, prepared, closing, agree)
    embedder = loaded.embedder
    build_documents.register_embedder(loaded, settings, base.memory, base.reporter)
    health.set_check(build_operations.EMBEDDER, build_operations.embedder_check(embedder))
    build_documents.update_terms(base.database, enter, closing)
    enter(_("loading the index"))
    knowledge = build_documents.build_knowledge(
        settings,
        base.database,
        base.preferences,
        embedder,
        choice,
        base.caches,
        base.reporter,
        base.admission,
        closing,
        base.nodes,
        enter,
    )
    health.set_check(build_operations.STORE, build_operations.store_check(knowledge.library))
    health.set_check(build_operations.INDEX, build_operations.index_check(knowledge.index))
    watch_originals(knowledge.originals, base.memory, base.reporter, closing)
    if settings.files_url:
        health.set_check(ORIGINALS, files_check(knowledge.ingestion))
    metrics.register_knowledge(base.metrics, settings, base.caches, knowledge)
    share_caches(base, knowledge, closing)

    enter(_("opening the conversations"))
    stamp = LibraryStamp(knowledge.ingestion, knowledge.index, knowledge.library, embedder)
    chat = build_chat.build_chat(
        settings,
        base.database,
        base.preferences,
        base.secrets,
        base.clock,
        knowledge.retriever,
        base.requests,
        base.caches,
        base.memory,
        base.reporter,
        base.admission,
        stamp,
        embedder.whole_token_count,
        closing,
        claims_of(base.nodes),
    )
    health.set_check(build_operations.CHAT_MODEL, build_operations.chat_model_check(chat.models))
    metrics.register_chat(base.metrics, settings, chat)
    closing.callback(knowledge.library.delayed.close)
    knowledge.library.grants = base.identity.sharing
    knowledge.library.usage = knowledge.importer.usage = chat.answers.usage = base.identity.usage
    inherit_and_erase(base.identity, hand_over=chat.conversations.hand_over, erase=chat.conversations.erase_person)
    join_erasure(
        base,
        knowledge.ingestion,
        knowledge.library,
        chat.conversations,
        None if settings.audit_keep_names else base.audit.log,
    )

    enter(_("warming up"))
    knowledge.retriever.search(SERVICE, _("warm-up"))
    # Experiments load the same files: of a signed model the verified copy.
    chosen = str(embedder.files.folder) if choice.settings.embedding_model else ""
    experiments = build_experiments(
        choice.settings.model_copy(update={"embedding_model": chosen}),
        base.clock,
        base.reporter,
        base.governor,
        base.request_log,
        knowledge.library,
        closing,
    )
    trim_heap()  # loading leaves 15 to 35 MB of free pages, which a ready process would keep for as long as it runs
    return Services(
        settings=settings,
        clock=base.clock,
        metrics=base.metrics,
        request_log=base.request_log,
        requests=base.requests,
        admission=base.admission,
        caches=base.caches,
        health=health,
        started_at=base.started_at,
        database=base.database,
        erasure=base.erasure,
        preferences=base.preferences,
        secrets=base.secrets,
        events=base.events,
        reporter=base.reporter,
        audit=base.audit,
        memory=base.memory,
        gc_policy=base.gc_policy,
        governor=base.governor,
        restarts=base.restarts,
        webhook=base.webhook,
        access=base.access,
        identity=base.identity,
        nodes=base.nodes,
        embedder=embedder,
        index=knowledge.index,
        parser=knowledge.parser,
        ingestion=knowledge.ingestion,
        library=knowledge.library,
        importer=knowledge.importer,
        retriever=knowledge.retriever,
        model_change=knowledge.model_change,
        searches=CachedSearch(knowledge.retriever, base.caches.searches, stamp),
        conversations=chat.conversations,
        models=chat.models,
        answers=chat.answers,
        experiments=experiments,
        backups=build_backups(base, closing),
        ready_rss=rss_bytes(),
    )


def register_services(services: Services, long_work: LongWork, *, watched: bool) -> None:
    """Register what acts on the services with the parts that exist since before them."""
    memory, answers, requests = services.memory, services.answers, services.requests
    register_actions(memory.objects, services.retriever, answers, services.library, services.ingestion)
    register_owners(
        memory.objects,
        {
            "conversations": (services.conversations, _("Conversations")),
            "answering": (answers, _("Answering")),
            "models": (services.models, _("Chat models")),
            "keeper": (services.index, _("Index")),
            "embedder": (services.embedder, _("Embedding model")),
            "model_change": (services.model_change, _("Change of the embedding model")),
            "retriever": (services.retriever, _("Retrieval")),
            "caches": (services.caches, _("Caches")),
            "library": (services.library, _("Library of documents")),
            "ingestion": (services.ingestion, _("Ingestion")),
            "database": (services.database, _("Database")),
            "memory": (memory, _("Watching the memory")),
            "events": (services.events, _("Events")),
        },
    )
    register_reclaimers(
        memory.reclaimers,
        ledger=memory.ledger,
        conversations=services.conversations,
        retriever=services.retriever,
        caches=services.caches,
        models=services.models,
        embedder=services.embedder,
        database=services.database,
    )
    for action in budget_actions(
        services.settings,
        services.clock,
        services.preferences.own(),
        services.admission,
        memory.collector,
        memory.reclaimers,
        services.ingestion,
        services.governor,
        services.restarts,
    ):
        services.governor.add_action(action)
    if watched:
        watch_late_imports(memory, services.reporter)
        restore_decisions(services.governor, services.events, services.clock)
    connect_services(services)
    long_work.add_count(lambda: sum(answers.slots()))
    long_work.add_count(lambda: len(requests.running()))
    long_work.add_background(services.model_change.close)
    long_work.add_background(services.backups.close)
    metrics.register_backups(services.metrics, services.backups)
    long_work.add_background(services.library.delayed.close)
    long_work.add_background(services.ingestion.close)
