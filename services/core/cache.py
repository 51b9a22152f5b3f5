"""Caches of bytes, each within its own budget of bytes: least recently used entries leave first, old ones expire.

What is not in RAM is looked for in the cache that nodes share, where there is one (`services.core.shared_cache`), and
what was computed is kept there, too. Keys are digests, so that a key has one length and does not reveal what was asked.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import TypeVar

from cachetools import TTLCache

from services.core.i18n import _, plural
from services.core.machine import MEGABYTE
from services.core.memory_report import LARGEST_SMALL, MemoryReport, Owner, allocated
from services.core.settings import Settings
from services.core.shared_level import SharedLevel, ShelfStats

Result = TypeVar("Result")
# The value, what it takes with its key and its place in the store, and until when it may be used at the longest.
Entry = tuple[bytes, int, float]
_WHOLE_AGE = float("inf")

# What an entry costs beside key and value: cachetools' two tables, its link, the tuple and the size in it (measured at
# 284 to 363 bytes an entry, Python 3.11, cachetools 8.0).
ENTRY_BYTES = 368
# Search results are bigger than answers but cost less to find again.
SEARCH_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class CacheStats:
    """How a cache does: counts since the start, bytes and entries now, the budget in bytes."""

    name: str
    label: str
    hits: int
    misses: int
    evicted: int
    entries: int
    bytes: int
    budget: int

    @property
    def hit_rate(self) -> float | None:
        """Share of look-ups that were answered, 0 to 1; None before the first."""
        lookups = self.hits + self.misses
        return self.hits / lookups if lookups else None


@dataclass(eq=False, slots=True)
class _Pending:
    """A value that is being computed; those who want the same one wait for it."""

    done: threading.Event = field(default_factory=threading.Event)
    value: bytes | None = None


class ByteCache:
    """Keeps bytes by name, at most `budget` bytes of keys and values and at most `seconds` old; thread-safe.

    With a budget of 0 nothing is kept or counted.
    """

    def __init__(
        self, name: str, label: str, budget: int, seconds: float, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.label = label
        self._budget = max(0, budget)
        # Reentrant: the garbage collector may run a finalizer that uses the cache while its thread holds the lock.
        self._lock = threading.RLock()
        self._busy = False
        self._now = now
        self._shared: SharedLevel | None = None
        self._store: TTLCache[str, Entry] = TTLCache(self._budget, seconds, timer=now, getsizeof=itemgetter(1))
        self._pending: dict[str, _Pending] = {}
        self._large = 0
        self._hits = self._misses = self._evicted = 0

    @property
    def enabled(self) -> bool:
        """Whether anything is kept at all."""
        return self._budget > 0

    def share(self, level: SharedLevel) -> None:
        """Look in `level` for what is not in RAM, and keep there, too, what was computed."""
        self._shared = level

    def get(self, key: str) -> bytes | None:
        """Return what is kept under `key`, None where nothing is."""
        return self.get_all((key,))[0]

    def get_all(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return what is kept under each of some keys, None where nothing is; hits and misses are those in RAM."""
        if not self.enabled:
            return [None] * len(keys)
        with self._lock:
            found = [self._find(key) for key in keys]
            missing = [key for key, value in zip(keys, found, strict=True) if value is None]
            self._hits += len(keys) - len(missing)
            self._misses += len(missing)
        if missing and self._shared is not None:
            shared = iter(self._find_shared(self._shared, missing))
            found = [next(shared) if value is None else value for value in found]
        return found

    def put(self, key: str, value: bytes) -> None:
        """Keep `value`; one that is bigger than the budget is not kept."""
        if self.enabled:
            self._exclusively(lambda: self._insert(key, value), None)
            if self._shared is not None:
                self._shared.keep(self.name, key, value)

    def get_or_compute(self, key: str, compute: Callable[[], bytes]) -> bytes:
        """Return what is kept under `key`, else what `compute` returns, which is then kept.

        Whoever asks for the same key meanwhile waits for the first one instead of computing it, too; when that one
        fails, the next one tries. Raises what `compute` raises.
        """
        if not self.enabled:
            return compute()
        while True:
            with self._lock:
                value = self._find(key)
                if value is not None:
                    self._hits += 1
                    return value
                pending = self._pending.get(key)
                first = pending is None
                if pending is None:
                    pending = self._pending[key] = _Pending()
            if first:
                return self._compute(key, pending, compute)
            pending.done.wait()
            if pending.value is not None:
                with self._lock:
                    self._hits += 1
                return pending.value

    def remove(self, key: str) -> None:
        """Remove one entry, if it is there."""
        self._exclusively(lambda: self._delete(key), None)

    def shrink(self, to_bytes: int) -> int:
        """Evict the least recently used entries until at most `to_bytes` are kept; return the bytes that were freed."""
        return self._exclusively(lambda: self._evict_to(max(0, to_bytes)), 0)

    def clear(self) -> int:
        """Evict everything; return the bytes that were freed."""
        return self.shrink(0)

    def stats(self) -> CacheStats:
        """Return counts and sizes."""
        with self._lock:
            entries, used = self._exclusively(lambda: (len(self._store), int(self._store.currsize)), (0, 0))
            return CacheStats(
                name=self.name,
                label=self.label,
                hits=self._hits,
                misses=self._misses,
                evicted=self._evicted,
                entries=entries,
                bytes=used,
                budget=self._budget,
            )

    def memory_report(self) -> MemoryReport:
        """Return what the cache holds, for the ledger."""
        with self._lock:
            stats = self.stats()
            return MemoryReport(
                name=self.label,
                detail=plural("{count} entry", "{count} entries", stats.entries),
                bytes=stats.bytes,
                loads=1,
                owner=Owner.OWN_CACHES,
                large=self._large,
            )

    def _compute(self, key: str, pending: _Pending, compute: Callable[[], bytes]) -> bytes:
        try:
            shared = None if self._shared is None else self._find_shared(self._shared, (key,))[0]
            value = compute() if shared is None else shared
            with self._lock:
                self._misses += 1
            if shared is None:
                self.put(key, value)
            pending.value = value
            return value
        finally:
            with self._lock:
                self._pending.pop(key, None)
            pending.done.set()

    def _find_shared(self, shared: SharedLevel, keys: Sequence[str]) -> list[bytes | None]:
        """Return what the shared cache has, and keep it in RAM for as long as it may be used."""
        values: list[bytes | None] = []
        for key, found in zip(keys, shared.find(self.name, keys), strict=True):
            if found is not None:
                until = self._now() + found.seconds
                self._exclusively(partial(self._insert, key, found.value, until), None)
            values.append(None if found is None else found.value)
        return values

    def _find(self, key: str) -> bytes | None:
        entry = self._exclusively(lambda: self._store.get(key), None)
        return None if entry is None or entry[2] <= self._now() else entry[0]

    def _exclusively(self, operation: Callable[[], Result], otherwise: Result) -> Result:
        """Run `operation` on the store with the lock held, time standing still and expired entries gone.

        cachetools is not reentrant: a finalizer that comes in the midst of another operation of its own thread finds
        an empty cache, `otherwise`, and changes nothing.
        """
        with self._lock:
            if self._busy:
                return otherwise
            self._busy = True
            try:
                with self._store.timer:
                    for _key, entry in self._store.expire():
                        self._evicted += 1
                        self._large -= _large(entry[0])
                    return operation()
            finally:
                self._busy = False

    def _insert(self, key: str, value: bytes, until: float = _WHOLE_AGE) -> None:
        self._delete(key)
        size = _size(key, value)
        if size > self._budget:
            return
        self._evict_to(self._budget - size)
        self._store[key] = value, size, until
        self._large += _large(value)

    def _delete(self, key: str) -> None:
        entry = self._store.pop(key, None)
        if entry is not None:
            self._large -= _large(entry[0])

    def _evict_to(self, to_bytes: int) -> int:
        before = int(self._store.currsize)
        while self._store.currsize > to_bytes:
            _key, entry = self._store.popitem()
            self._evicted += 1
            self._large -= _large(entry[0])
        return before - int(self._store.currsize)


def _size(key: str, value: bytes) -> int:
    return ENTRY_BYTES + allocated(sys.getsizeof(key)) + allocated(sys.getsizeof(value))


def _large(value: bytes) -> int:
    size = sys.getsizeof(value)
    return allocated(size) if size > LARGEST_SMALL else 0


class Caches:
    """The caches of this process: vectors of questions, answers, and search results; each within its own budget."""

    def __init__(self, settings: Settings) -> None:
        """Take budgets and age from `settings`."""
        answers = settings.answer_cache_mb * MEGABYTE
        searches = int(answers * SEARCH_SHARE)
        seconds = settings.cache_seconds
        self.embeddings = ByteCache(
            "embedding_cache", _("Cache of vectors"), settings.embedding_cache_mb * MEGABYTE, seconds
        )
        self.answers = ByteCache("answer_cache", _("Cache of answers"), answers - searches, seconds)
        self.searches = ByteCache("search_cache", _("Cache of search results"), searches, seconds)

        self.shared: SharedLevel | None = None

    def share(self, level: SharedLevel) -> None:
        """Have every cache look in `level` for what is not in RAM, and keep there what was computed."""
        self.shared = level
        for cache in self.all():
            cache.share(level)

    def forget_documents(self) -> None:
        """Drop what may have text of documents that are gone; no entry is valid any more."""
        self.answers.clear()
        self.searches.clear()
        if self.shared is not None:
            self.shared.erase()

    def all(self) -> tuple[ByteCache, ...]:
        """Return every cache."""
        return self.embeddings, self.answers, self.searches

    def stats(self) -> list[CacheStats]:
        """Return how each does."""
        return [cache.stats() for cache in self.all()]

    def shelf(self, name: str) -> ShelfStats | None:
        """Return what nodes keep of a cache for each other, None where they do not."""
        return None if self.shared is None else self.shared.shelf(name)

    def memory_reports(self) -> list[MemoryReport]:
        """Return what each holds, for the ledger; those that are switched off are left out."""
        return [cache.memory_report() for cache in self.all() if cache.enabled]

    def shrink(self, to_bytes: int) -> int:
        """Have all of them together keep at most `to_bytes`, each its share; return the bytes that were freed."""
        total = sum(stats.bytes for stats in self.stats())
        if total <= to_bytes:
            return 0
        return sum(cache.shrink(int(cache.stats().bytes * to_bytes / total)) for cache in self.all())

    def clear(self) -> int:
        """Evict everything; return the bytes that were freed."""
        return sum(cache.clear() for cache in self.all())


def normalised_text(text: str) -> str:
    """Return `text` as far as two ways of typing it mean the same: composed characters, single blanks."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def cache_key(*parts: object) -> str:
    """Return the digest of what a cached thing depends on; parts as JSON knows them."""
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()
