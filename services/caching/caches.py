"""The caches of this process in one place."""

from __future__ import annotations

from services.caching.byte_cache import ByteCache
from services.caching.types import CacheFigures, SharedLevel
from services.held import HeldResource
from services.settings import MEGABYTE, Settings
from services.texts import _

# Hits are bigger than answers but cost less to find again.
SEARCH_SHARE = 0.25


class Caches:
    """Vectors of questions, answers, and results of searches; each within its own budget."""

    def __init__(self, settings: Settings, shared: SharedLevel | None = None) -> None:
        """Take budgets and age from `settings`; `shared` is asked for what this process does not have."""
        answers = settings.answer_cache_mb * MEGABYTE
        searches = int(answers * SEARCH_SHARE)
        seconds = settings.cache_seconds
        self.embeddings = ByteCache(
            "embedding_cache",
            _("Cache of vectors"),
            settings.embedding_cache_mb * MEGABYTE,
            seconds,
            shared=shared,
        )
        self.answers = ByteCache("answer_cache", _("Cache of answers"), answers - searches, seconds, shared=shared)
        self.searches = ByteCache("search_cache", _("Cache of search results"), searches, seconds, shared=shared)

    def all(self) -> tuple[ByteCache, ...]:
        """Return every cache."""
        return self.embeddings, self.answers, self.searches

    def figures(self) -> list[CacheFigures]:
        """Return how each does."""
        return [cache.figures() for cache in self.all()]

    def held(self) -> list[HeldResource]:
        """Return what each takes, for the ledger; those that are switched off are left out."""
        return [cache.held() for cache in self.all() if cache.on]

    def shrink(self, to_bytes: int) -> int:
        """Have all of them together keep at most `to_bytes`, each its share; return the bytes that were let go."""
        total = sum(figures.bytes for figures in self.figures())
        if total <= to_bytes:
            return 0
        return sum(cache.shrink(int(cache.figures().bytes * to_bytes / total)) for cache in self.all())

    def clear(self) -> int:
        """Forget everything; return the bytes."""
        return sum(cache.clear() for cache in self.all())
