"""Makes this process a node where the database can be shared, and has its parts follow what other nodes do."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from services.app.build_secrets import SECRET_KEY
from services.core.claims import ALONE, Claims
from services.core.database import Database
from services.core.database.change_log import Topic
from services.core.errors import MillpondError
from services.core.pinned_certificate import fingerprint_of
from services.core.schema_version import this_version
from services.core.secret_box import SecretBox
from services.core.settings import Settings
from services.core.thread_priority import start_low_priority_thread
from services.nodes.types import NodeState

if TYPE_CHECKING:
    from services.app.container import Platform, Services
    from services.core.preferences import Preferences
    from services.identity.identity import Identity
    from services.knowledge.model_change.types import NodesBeside
    from services.nodes.pond_nodes import Nodes

log = structlog.get_logger(__name__)

_MODEL = "embedding model"
_REQUESTS = "millpond: requests between nodes"


def build_nodes(settings: Settings, database: Database, url: str, closing: ExitStack) -> Nodes | None:
    """Join the other nodes; None where the database is for one process, or this one does not serve (no `url`).

    Raises:
        ConflictError: a node of this name is running, or what all nodes must have alike differs.
        UnavailableError: the database does not answer.
    """
    if not database.shared or not url:
        return None
    from services.audit.signing import SigningKey
    from services.knowledge.text.terms import TERMS_VERSION
    from services.nodes.membership import Membership
    from services.nodes.pond_nodes import Nodes
    from services.nodes.store.node_store import NodeStore

    name = settings.node_name or f"{socket.gethostname()}:{urlsplit(url).port}"
    signing = SigningKey(settings.effective_audit_key)
    agreed = {
        "words of the search": str(TERMS_VERSION),
        "place of the vector search": settings.vector_search,
        "audit key": signing.fingerprint,
        "place of the original files": _digest(settings.files_url or f"{socket.gethostname()}:{settings.data_dir}"),
    }
    with suppress(MillpondError):  # whoever needs the key is told what is wrong with it
        if key := SecretBox.of(settings).fingerprint:
            agreed[SECRET_KEY] = key
    store = NodeStore(database, free_work)
    told = settings.node_url or url
    membership = Membership(database, store, name=name, url=told, version=this_version(), agreed=agreed)
    # No further secret to be copied to each node: without this one they do not join.
    nodes = Nodes(database, store, membership, signing.derived(_REQUESTS))
    nodes.claims.on_late = mark_answers
    closing.callback(nodes.close)
    return nodes


def free_work(connection: Any, node: int, claims: Sequence[str]) -> None:
    """Free what a node was doing that has ended, in a store's transaction: its files are queued again, its answers are
    marked as interrupted.
    """
    from services.knowledge.store.intake import CRASH_LIMIT, requeue_interrupted

    requeue_interrupted(connection, node, CRASH_LIMIT)
    mark_answers(connection, claims)


def mark_answers(connection: Any, claims: Sequence[str]) -> None:
    """Mark the answers as interrupted that were given under some claims and could not be stored."""
    from services.chat.conversation_locks import claimed_conversation
    from services.chat.interruption_store import mark_interrupted

    mark_interrupted(connection, [lock for claim in claims if (lock := claimed_conversation(claim)) is not None])


def connect_platform(platform: Platform) -> None:
    """Have what exists once the data folder is open follow the other nodes, where there are some, and begin to beat.

    Accounts and what is revoked are followed from now on; the settings with the rest, once that is there.
    """
    nodes = platform.nodes
    if nodes is None:
        return
    follow_access(platform.identity, nodes)
    follow_settings(platform.preferences, nodes)
    nodes.access.start()
    platform.restarts.add_listener(lambda _request: nodes.set_state(NodeState.DRAINING))
    nodes.start(lambda: node_report(platform), platform.reporter)


def follow_access(identity: Identity, nodes: Nodes) -> None:
    """Have accounts, rights and sessions follow what other nodes change and end."""
    nodes.access.on(Topic.PEOPLE, lambda _told: identity.directory.refresh())
    nodes.access.on(Topic.REVOKED, identity.follow_revoked)
    nodes.access.on_gap(identity.miss_revocations)
    nodes.membership.on_rejoined(identity.read_anew)


def follow_settings(preferences: Preferences, nodes: Nodes) -> None:
    """Have whoever keeps settings in memory follow what other nodes write."""
    nodes.follower.on(Topic.SETTINGS, preferences.follow)
    nodes.follower.on_gap(preferences.read_anew)
    nodes.membership.on_rejoined(preferences.read_anew)


def connect_services(services: Services) -> None:
    """Have documents and index follow the other nodes from the moment of joining on, and take over their work."""
    nodes = services.nodes
    if nodes is None:
        return
    ingestion, follower = services.ingestion, nodes.follower
    ingestion.writer.version.followed = lambda: follower.applied
    follower.on(Topic.INDEX, ingestion.writer.follow)
    follower.on(Topic.QUEUE, lambda _told: ingestion.wake())
    if (trust := services.retriever.trust) is not None:
        follower.on(Topic.SETTINGS, trust.follow)
        follower.on_gap(trust.forget)
    follower.on(Topic.STOPS, services.answers.follow_stops)
    follower.on_gap(ingestion.writer.read_anew)
    follower.on_gap(services.caches.forget_documents)
    nodes.membership.on_taken(ingestion.recover_taken)
    nodes.membership.on_taken(partial(_finish_of_others, services))
    nodes.membership.on_rejoined(services.answers.claim_anew)
    nodes.membership.on_rejoined(ingestion.drop_taken)
    nodes.follow()


def claims_of(nodes: Nodes | None) -> Claims:
    """Return who says what one node at a time may do: of a process that serves alone, it may do everything."""
    return ALONE if nodes is None else nodes.claims


def agree_on_model(nodes: Nodes | None) -> Callable[[str], object]:
    """Return what raises ConflictError where another node has another embedding model, by its fingerprint."""
    return (lambda _fingerprint: None) if nodes is None else partial(nodes.membership.agree, _MODEL)


def nodes_beside(nodes: Nodes | None) -> NodesBeside:
    """Return what a change of the embedding model asks the other nodes."""
    from services.knowledge.model_change.types import NodesBeside

    if nodes is None:
        return NodesBeside()

    def agree(fingerprint: str) -> None:
        try:
            nodes.membership.agree(_MODEL, fingerprint)
        except MillpondError as error:  # what answers has changed already
            log.warning("embedding model not told to the other nodes", reason=error.message)

    return NodesBeside(lambda: ", ".join(node.name for node in nodes.others()), nodes.require_alone, agree)


def leaving_or_coming(nodes: Nodes | None) -> Callable[[], str]:
    """Return what names another node that restarts: it is drained, or not ready yet."""

    def name() -> str:
        found = () if nodes is None else nodes.others()
        return next((each.name for each in found if each.state is not NodeState.READY), "")

    return name


def _finish_of_others(services: Services) -> None:
    """Finish what a node was doing that was taken over: in a thread, as a heartbeat waits for nothing."""

    def finish() -> None:
        try:
            services.library.finish_deletions()
            services.library.quotes.forget_missing(services.events.forget_others)
        except MillpondError as error:
            log.warning("the work of a node that was taken over is not finished", reason=error.message)

    start_low_priority_thread("finish-taken-over", finish)


def node_report(platform: Platform) -> Mapping[str, Any]:
    """Return what a node tells of itself with each heartbeat: some 300 bytes."""
    reading = platform.memory.reading()
    return {
        "rss_bytes": reading.rss,
        "verdict": platform.memory.detector.verdict.state.value,
        "budget_level": platform.governor.level.name.lower(),
        "restart_phase": platform.restarts.state().phase.value,
        "drained": platform.nodes is not None and bool(platform.nodes.drained_by),
        **_certificate(platform.settings),
    }


def _certificate(settings: Settings) -> dict[str, str]:
    """Return which certificate the other nodes find here; nothing without TLS."""
    if not settings.tls_cert:
        return {}
    with suppress(OSError, ValueError):  # it is being replaced: the next heartbeat tells it
        return {"certificate": fingerprint_of(Path(settings.tls_cert))}
    return {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
