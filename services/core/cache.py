"""Least recently used, within a budget of bytes: this process's memory first, then the shared level.

The caches of this process in one place.

Names of cached things: digests, so that a key has one length and tells nobody what was asked.

What caches tell, and what the shared level has to offer.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from services.core.i18n import _, plural
from services.core.memory_report import LARGEST_SMALL, MemoryReport, Owner, allocated
from services.core.settings import MEGABYTE, Settings

log = structlog.get_logger(__name__)

# What an entry costs beside key and value: its place in the table and the links of the OrderedDict (measured at 190 to
# 230 bytes an entry, Python 3.11), the tuple and the time in it.
ENTRY_BYTES = 320
# Hits are bigger than answers but cost less to find again.
SEARCH_SHARE = 0.25


@dataclass(eq=False, slots=True)
class _Flight:
    """A value that is being made; those who want the same one wait for it."""

    done: threading.Event = field(default_factory=threading.Event)
    value: bytes | None = None


class ByteCache:
    """Keeps bytes by name, at most `budget` bytes of both and at most `seconds` old; thread-safe.

    The shared level is asked for what is not here, and told what was made. It may fail: that is counted in `figures`
    and logged once, never raised. With a budget of 0 nothing is kept, asked or counted.
    """

    def __init__(
        self,
        name: str,
        label: str,
        budget: int,
        seconds: float,
        *,
        shared: SharedLevel | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.label = label
        self._budget = max(0, budget)
        self._seconds = seconds
        self._shared = shared
        self._now = now
        # Reentrant: a collection may end something that looks into the cache while its thread holds this.
        self._lock = threading.RLock()
        self._entries: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._flights: dict[str, _Flight] = {}
        self._bytes = 0
        self._large = 0
        self._hits = self._shared_hits = self._misses = self._evicted = self._failures = 0

    @property
    def on(self) -> bool:
        """Whether anything is kept at all."""
        return self._budget > 0

    def get(self, key: str) -> bytes | None:
        """Return what is kept under `key`, None where nothing is."""
        if not self.on:
            return None
        with self._lock:
            value = self._own(key)
            if value is not None:
                self._hits += 1
                return value
        value = self._from_shared(key)
        with self._lock:
            if value is None:
                self._misses += 1
            else:
                self._shared_hits += 1
                self._keep(key, value)
        return value

    def put(self, key: str, value: bytes) -> None:
        """Keep `value` on both levels; one that is bigger than the budget is not kept here."""
        if not self.on:
            return
        with self._lock:
            self._keep(key, value)
        if self._shared is not None:
            try:
                self._shared.put(self._shared_key(key), value, self._seconds)
            except Exception as error:  # noqa: BLE001 - somebody else's cache must never break an answer
                self._failed(error)

    def get_or_make(self, key: str, make: Callable[[], bytes]) -> bytes:
        """Return what is kept under `key`, else what `make` returns, which is then kept.

        Whoever asks for the same key meanwhile waits for the first one instead of making it, too; when that one fails,
        the next one tries. Raises what `make` raises.
        """
        if not self.on:
            return make()
        while True:
            with self._lock:
                value = self._own(key)
                if value is not None:
                    self._hits += 1
                    return value
                flight = self._flights.get(key)
                first = flight is None
                if flight is None:
                    flight = self._flights[key] = _Flight()
            if first:
                return self._fly(key, flight, make)
            flight.done.wait()
            if flight.value is not None:
                with self._lock:
                    self._hits += 1
                return flight.value

    def remove(self, key: str) -> None:
        """Forget one entry on both levels."""
        with self._lock:
            self._drop(key)
        if self._shared is not None:
            try:
                self._shared.remove(self._shared_key(key))
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(error)

    def shrink(self, to_bytes: int) -> int:
        """Forget the entries that were not used for longest until at most `to_bytes` are kept; return the bytes."""
        with self._lock:
            before = self._bytes
            while self._bytes > max(0, to_bytes) and self._entries:
                self._drop(next(iter(self._entries)))
                self._evicted += 1
            return before - self._bytes

    def clear(self) -> int:
        """Forget everything in this process; return the bytes."""
        return self.shrink(0)

    def figures(self) -> CacheFigures:
        """Return counts and sizes."""
        with self._lock:
            return CacheFigures(
                name=self.name,
                label=self.label,
                hits=self._hits,
                shared_hits=self._shared_hits,
                misses=self._misses,
                evicted=self._evicted,
                entries=len(self._entries),
                bytes=self._bytes,
                budget=self._budget,
                failures=self._failures,
            )

    def memory_report(self) -> MemoryReport:
        """Return what the ledger is told."""
        with self._lock:
            return MemoryReport(
                name=self.label,
                detail=plural("{count} entry", "{count} entries", len(self._entries)),
                bytes=self._bytes,
                loads=1,
                owner=Owner.OWN_CACHES,
                large=self._large,
            )

    def _fly(self, key: str, flight: _Flight, make: Callable[[], bytes]) -> bytes:
        try:
            value = self._from_shared(key)
            made = value is None
            if value is None:
                value = make()
            with self._lock:
                if made:
                    self._misses += 1
                else:
                    self._shared_hits += 1
            if made:
                self.put(key, value)
            else:
                with self._lock:
                    self._keep(key, value)
            flight.value = value
            return value
        finally:
            with self._lock:
                self._flights.pop(key, None)
            flight.done.set()

    def _own(self, key: str) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, until = entry
        if until <= self._now():
            self._drop(key)
            self._evicted += 1
            return None
        self._entries.move_to_end(key)
        return value

    def _keep(self, key: str, value: bytes) -> None:
        self._drop(key)
        size = _size(key, value)
        if size > self._budget:
            return
        while self._bytes + size > self._budget:
            self._drop(next(iter(self._entries)))
            self._evicted += 1
        self._entries[key] = value, self._now() + self._seconds
        self._bytes += size
        self._large += _large(value)

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= _size(key, entry[0])
            self._large -= _large(entry[0])

    def _from_shared(self, key: str) -> bytes | None:
        if self._shared is None:
            return None
        try:
            value = self._shared.get(self._shared_key(key))
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)
            return None
        return value if isinstance(value, bytes) else None

    def _shared_key(self, key: str) -> str:
        return f"millpond:{self.name}:{key}"

    def _failed(self, error: Exception) -> None:
        with self._lock:
            self._failures += 1
            first = self._failures == 1
        if first:
            log.warning("the shared level of a cache fails", cache=self.name, reason=str(error)[:200])


def _size(key: str, value: bytes) -> int:
    return ENTRY_BYTES + allocated(sys.getsizeof(key)) + allocated(sys.getsizeof(value))


def _large(value: bytes) -> int:
    size = sys.getsizeof(value)
    return allocated(size) if size > LARGEST_SMALL else 0


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

    def memory_reports(self) -> list[MemoryReport]:
        """Return what each takes, for the ledger; those that are switched off are left out."""
        return [cache.memory_report() for cache in self.all() if cache.on]

    def shrink(self, to_bytes: int) -> int:
        """Have all of them together keep at most `to_bytes`, each its share; return the bytes that were let go."""
        total = sum(figures.bytes for figures in self.figures())
        if total <= to_bytes:
            return 0
        return sum(cache.shrink(int(cache.figures().bytes * to_bytes / total)) for cache in self.all())

    def clear(self) -> int:
        """Forget everything; return the bytes."""
        return sum(cache.clear() for cache in self.all())


def normalised(text: str) -> str:
    """Return `text` as far as two ways of typing it mean the same: composed characters, single blanks."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def key_of(*parts: object) -> str:
    """Return the digest of what a cached thing depends on; parts as JSON knows them."""
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()


class SharedLevel(Protocol):
    """A cache that several processes share. Values are bytes; it may lose anything at any time, and
    fail: whoever asks it counts that and goes on."""

    def get(self, key: str) -> bytes | None: ...
    def put(self, key: str, value: bytes, seconds: float) -> None: ...
    def remove(self, prefix: str) -> None: ...


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """How a cache does: counts since the start, bytes and entries now, the budget in bytes."""

    name: str
    label: str
    hits: int
    shared_hits: int
    misses: int
    evicted: int
    entries: int
    bytes: int
    budget: int
    failures: int = 0  # of the shared level

    @property
    def hit_rate(self) -> float | None:
        """Share of look-ups that either level answered, 0 to 1; None before the first."""
        asked = self.hits + self.shared_hits + self.misses
        return (self.hits + self.shared_hits) / asked if asked else None
