"""Builds the cache that nodes share, where one is configured, and says when its server is left alone."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import structlog

from services.core.errors import MillpondError
from services.core.events import EventKind, EventSink
from services.core.i18n import _, plural

if TYPE_CHECKING:
    from services.app.build_documents import Knowledge
    from services.app.container import Platform
    from services.chat.models.circuit_breaker import BreakerStatus
    from services.core.settings import Settings

log = structlog.get_logger(__name__)

FAILURES, SECONDS = 3, 1.0  # in a row, until the server is left alone; for how long at first, at most 16 times as long
# The settings that answers, search results or vectors depend on and that are not in the keys of the caches already: in
# one process they do not change. Another version of Millpond shares nothing either.
MEANING = (
    "embedding_model",
    "embedding_sha256",
    "embedding_device",
    "embedding_precision",
    "question_characters",
    "history_turns",
    "mask_answers",
    "answer_seconds",
    "openai_base_url",
    "openai_model",
    "ollama_url",
    "gguf_path",
    "gguf_context_tokens",
    "gguf_cache_precision",
)


def share_caches(base: Platform, knowledge: Knowledge, closing: ExitStack) -> None:
    """Have the caches share what they keep with the other nodes of the pond, if `MILLPOND_CACHE_URL` says where.

    Without the key that nodes share nothing is: it is said in the log, and everything else goes on.
    """
    settings = base.settings
    if not settings.cache_url:
        return
    from services.audit.signing import SigningKey
    from services.chat.models.circuit_breaker import CircuitBreaker
    from services.core.schema_version import this_version
    from services.core.shared_cache.seal import Seal
    from services.core.shared_cache.shared_cache import SharedCache
    from services.core.shown_settings import shown_address
    from services.core.storage_settings import CacheLocation
    from services.knowledge.store.pond_id import pond_id

    caches = base.caches
    try:
        secret = SigningKey(settings.effective_audit_key).derived("shared cache")
        seal = Seal(secret, pond_id(base.database), meaning(settings, this_version()))
    except MillpondError as error:
        log.warning("caches are not shared", reason=error.message)
        return

    def version() -> str:
        try:
            found = knowledge.ingestion.writer.version.current()
        except MillpondError:
            return ""
        return "" if found is None else str(found)

    changes = ChangesOfState(base.reporter)
    shared = SharedCache(
        CacheLocation.of(settings.cache_url),
        shown_address(settings.cache_url),
        seal,
        CircuitBreaker("Redis", failures=FAILURES, seconds=SECONDS, on_change=changes.report),
        {cache.name: cache.stats().budget for cache in caches.all() if cache.enabled},
        erased=(caches.answers.name, caches.searches.name),
        seconds=settings.cache_seconds,
        version=version,
    )
    shared.start()
    closing.callback(shared.close)
    caches.share(shared)


def meaning(settings: Settings, version: str) -> str:
    """Return what cached things depend on beside their keys."""
    return json.dumps([version, {name: getattr(settings, name) for name in MEANING}], sort_keys=True)


class ChangesOfState:
    """Says in the log and on the time line when the server is left alone and when it is used again; once each."""

    def __init__(self, reporter: EventSink) -> None:
        self._reporter = reporter
        self._away = False

    def report(self, status: BreakerStatus) -> None:
        """Report a change of the breaker's state, unless it is another try in vain."""
        if status.state.value == "open" and not self._away:
            self._away = True
            log.warning("shared cache left alone", reason=status.reason, failures=status.failures)
            text = plural(
                "The shared cache failed once: it is left alone, and each node goes on with its own. {reason}",
                "The shared cache failed {count} times in a row: it is left alone, and each node goes on with its own. "
                "{reason}",
                status.failures,
                reason=status.reason,
            )
            self._reporter.event(EventKind.BREAKER, text, failures=float(status.failures))
        elif status.state.value == "closed" and self._away:
            self._away = False
            log.info("shared cache used again")
            self._reporter.event(EventKind.BREAKER, _("The shared cache answers again."))
