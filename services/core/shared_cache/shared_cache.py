"""The second level of the caches: what one process has computed, the others find in a Redis server.

A question never waits for it longer than `ANSWER_SECONDS`, and asks it nothing while its breaker is not closed. What is
to be kept is handed to a thread, which also asks whether the server is there again, and erases.

Names stand for the state of the documents as keys in RAM do, so nothing of a deleted document is found any more from
the moment of its deletion on. That it is removed, too, is owed until it is done: while the server is away the thread
keeps it in mind, and a process that begins compares a mark in the server with the state of the documents. What nobody
comes to remove expires.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import structlog

from services.core.errors import StorageError, UnavailableError
from services.core.machine import MEGABYTE
from services.core.shared_cache.seal import Seal
from services.core.shared_level import Found, SharedCacheStatus, ShelfStats

if TYPE_CHECKING:
    from services.core.storage_settings import CacheLocation

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 0.1
_THREAD_SECONDS = 2.0  # no question waits for the thread
_CONNECTIONS = 8
_NAMES_AT_ONCE = 256
LARGEST_VALUE = MEGABYTE
_WAITING_BYTES, _WAITING_ENTRIES = 4 * MEGABYTE, 1024
_RETRY_SECONDS = 0.2
_UNKNOWN_SECONDS = 1.0  # until the state of the documents is asked again
# An answer that was about to be kept when a document was deleted is there by then, on whichever node.
_AGAIN_SECONDS = 2.0
_BETWEEN_SECONDS = 0.5  # many deletions in a row share the work
_DEFECT_SECONDS = 5.0
_CLOSE_SECONDS = 3.0
_CLOSED = "closed"


class CallPermit(AbstractContextManager["CallPermit", None], Protocol):
    """Permission for one call; leaving it with UnavailableError records a failure."""

    def record_success(self) -> None: ...


class ServerState(Protocol):
    """How a breaker stands; `state` is "closed" where calls pass."""

    @property
    def state(self) -> StrEnum: ...
    @property
    def retry_seconds(self) -> float: ...
    @property
    def reason(self) -> str: ...
    @property
    def opened(self) -> int: ...


class Breaker(Protocol):
    """What `services.chat.models.circuit_breaker` does for a chat model."""

    def status(self) -> ServerState: ...

    def acquire(self) -> CallPermit:
        """Raises UnavailableError while no call may pass."""


@dataclass(slots=True)
class _Counts:
    requests: int = 0
    seconds: float = 0.0
    skipped: int = 0
    errors: int = 0
    broken: int = 0
    dropped: int = 0


@dataclass(slots=True)
class _Shelf:
    """One cache's part: `budget` is the most bytes of it in the server, `erased` whether deletions empty it."""

    budget: int
    erased: bool
    hits: int = 0
    misses: int = 0
    stored: int = 0  # bytes
    waiting: dict[str, bytes] = field(default_factory=dict)


class SharedCache:
    """The part of a Redis server that a pond uses; thread-safe. Nothing of it raises, and only `find` waits."""

    def __init__(
        self,
        location: CacheLocation,
        address: str,
        seal: Seal,
        breaker: Breaker,
        budgets: Mapping[str, int],
        *,
        erased: Iterable[str],
        seconds: float,
        version: Callable[[], str],
    ) -> None:
        """Connect to nothing yet.

        Args:
            location: where the server is.
            address: that in words, without a password.
            seal: makes names and values.
            breaker: decides whether the server is asked.
            budgets: the most bytes there, by the name of the cache.
            erased: the caches that `erase` empties.
            seconds: how long an entry is kept.
            version: returns the state of the documents, "" while it is not known; it may ask the database.
        """
        from services.core.shared_cache.redis_client import RedisClient

        self._address = address
        self._seal = seal
        self._breaker = breaker
        self._seconds = seconds
        self._version = version
        emptied = frozenset(erased)
        self._shelves = {name: _Shelf(budget, name in emptied) for name, budget in budgets.items()}
        self._asking = RedisClient(location, seal.prefix, seconds=ANSWER_SECONDS, connections=_CONNECTIONS)
        self._working = RedisClient(location, seal.prefix, seconds=_THREAD_SECONDS, connections=1)
        self._places = threading.BoundedSemaphore(_CONNECTIONS)
        self._counts = _Counts()
        self._wake = threading.Condition()
        self._waiting_bytes = 0
        self._owed: float | None = None  # since when something is to be erased
        self._owed_number = 0
        self._again_at = float("inf")  # when it is to be erased once more
        self._search = False  # whether for what is in no order, too
        self._met = False  # whether the mark was compared
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="shared-cache", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread: what is owed is tried once more, what waits to be kept is not."""
        with self._wake:
            self._closing = True
            self._drop_waiting()
            self._wake.notify_all()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)
        self._asking.close()
        self._working.close()

    def find(self, cache: str, keys: Sequence[str]) -> list[Found | None]:
        """Return what is kept for each of some keys of a cache, None where nothing usable is."""
        shelf = self._shelves[cache]
        found: list[Found | None] = []
        for at in range(0, len(keys), _NAMES_AT_ONCE):
            found += self._find(cache, keys[at : at + _NAMES_AT_ONCE])
        hits = sum(each is not None for each in found)
        with self._wake:
            shelf.hits += hits
            shelf.misses += len(found) - hits
        return found

    def keep(self, cache: str, key: str, value: bytes) -> None:
        """Have the thread keep a value; too many at once, or while the server is away, are not."""
        with self._wake:
            shelf = self._shelves[cache]
            full = self._waiting_bytes + len(value) > _WAITING_BYTES or len(shelf.waiting) >= _WAITING_ENTRIES
            full = full or len(value) > LARGEST_VALUE
            if full or self._closing or not self._passes():
                self._counts.dropped += 1
                return
            self._waiting_bytes += len(value) - len(shelf.waiting.get(key, b""))
            shelf.waiting[key] = value
            self._wake.notify_all()

    def erase(self) -> None:
        """Have everything removed that answers and searches left; done until it has succeeded."""
        with self._wake:
            self._owe()
            self._again_at = time.monotonic() + _AGAIN_SECONDS
            self._drop_waiting(erased_only=True)
            self._wake.notify_all()

    def shelf(self, cache: str) -> ShelfStats | None:
        """Return how a cache's part does, None for one that is not shared."""
        shelf = self._shelves.get(cache)
        if shelf is None:
            return None
        with self._wake:
            return ShelfStats(shelf.hits, shelf.misses, shelf.stored, shelf.budget)

    def status(self) -> SharedCacheStatus:
        """Return how the server does."""
        breaker = self._breaker.status()
        with self._wake:
            counts = self._counts
            return SharedCacheStatus(
                address=self._address,
                state=breaker.state.value,
                reason=breaker.reason if breaker.state.value != _CLOSED else "",
                retry_seconds=breaker.retry_seconds,
                opened=breaker.opened,
                requests=counts.requests,
                seconds=counts.seconds,
                skipped=counts.skipped,
                errors=counts.errors,
                broken=counts.broken,
                dropped=counts.dropped,
                owed_seconds=0.0 if self._owed is None else time.monotonic() - self._owed,
            )

    def _passes(self) -> bool:
        return self._breaker.status().state.value == _CLOSED

    def _find(self, cache: str, keys: Sequence[str]) -> list[Found | None]:
        nothing: list[Found | None] = [None] * len(keys)
        if not self._passes() or not self._places.acquire(blocking=False):
            with self._wake:
                self._counts.skipped += 1
            return nothing
        names = [self._seal.name(cache, key) for key in keys]
        began = time.monotonic()
        try:
            with self._breaker.acquire() as permit:
                read = self._asking.read(cache, names)
                permit.record_success()
        except (UnavailableError, StorageError):
            self._count_error()
            return nothing
        finally:
            self._places.release()
            with self._wake:
                self._counts.requests += 1
                self._counts.seconds += time.monotonic() - began
        return [self._opened(cache, name, *each) if each else None for name, each in zip(names, read, strict=True)]

    def _opened(self, cache: str, name: str, sealed: bytes, seconds: float) -> Found | None:
        value = self._seal.opened(cache, name, sealed)
        if value is None:
            with self._wake:
                first, self._counts.broken = not self._counts.broken, self._counts.broken + 1
            if first:
                log.warning("a value in the shared cache was not made by this pond, and is not used", cache=cache)
            return None
        return Found(value, min(seconds, self._seconds))

    def _count_error(self) -> None:
        with self._wake:
            self._counts.errors += 1
            self._wake.notify_all()  # the thread asks whether the server is there again

    def _drop_waiting(self, *, erased_only: bool = False) -> None:
        for shelf in self._shelves.values():
            if shelf.erased or not erased_only:
                self._counts.dropped += len(shelf.waiting)
                self._waiting_bytes -= sum(map(len, shelf.waiting.values()))
                shelf.waiting.clear()

    def _owe(self) -> None:
        self._owed = time.monotonic() if self._owed is None else self._owed
        self._owed_number += 1

    def _due(self) -> bool:
        busy = self._owed is not None or any(shelf.waiting for shelf in self._shelves.values())
        return busy or not self._met or not self._passes() or time.monotonic() >= self._again_at

    def _run(self) -> None:
        pause = 0.0
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closing, pause)
                until = self._again_at - time.monotonic()
                self._wake.wait_for(lambda: self._closing or self._due(), None if until == float("inf") else until)
                if self._closing:
                    break
            try:
                pause = self._attempt()
            except Exception:  # no failure may end the thread: what is owed would be forgotten
                log.exception("the shared cache is not looked after")
                pause = _DEFECT_SECONDS
        if self._owed is not None and self._passes():
            self._attempt()

    def _attempt(self) -> float:
        """Do what is due, if the server may be asked; return how long to wait before the next attempt, in seconds."""
        status = self._breaker.status()
        if status.state.value != _CLOSED:
            with self._wake:
                self._drop_waiting()
            if status.retry_seconds > 0:
                return status.retry_seconds
        version = self._version()
        try:
            permit = self._breaker.acquire()
        except UnavailableError:  # a question is trying it
            return _RETRY_SECONDS
        try:
            with permit:
                self._working.ping()
                erased = self._work(version)
                permit.record_success()
        except UnavailableError:
            self._count_error()
            return _RETRY_SECONDS
        return _BETWEEN_SECONDS if erased else 0.0 if version else _UNKNOWN_SECONDS

    def _work(self, version: str) -> bool:
        """Erase, keep, mark; return whether something was erased."""
        if version and not self._met:
            if self._working.mark() != version:
                with self._wake:
                    self._owe()
                    self._search = True
            self._met = True
        erased = self._erase_owed()
        for cache, shelf in self._shelves.items():
            with self._wake:
                values, shelf.waiting = shelf.waiting, {}
                self._waiting_bytes -= sum(map(len, values.values()))
            if values:
                self._write(cache, shelf, values)
        if version and self._met and self._owed is None:
            self._mark(version)
        return erased

    def _erase_owed(self) -> bool:
        """Erase what is owed: at once what is in order, a little later whatever there is."""
        with self._wake:
            owed, number = self._owed, self._owed_number
            again = time.monotonic() >= self._again_at
            search = self._search or again
        if owed is None and not again:
            return False
        for cache, shelf in self._shelves.items():
            if shelf.erased:
                self._working.erase(cache, thoroughly=search)
                shelf.stored = 0
        with self._wake:
            if number == self._owed_number:  # else it is owed anew
                self._owed = None
                self._search = False
                if again:
                    self._again_at = float("inf")
        return True

    def _write(self, cache: str, shelf: _Shelf, values: Mapping[str, bytes]) -> None:
        named = {self._seal.name(cache, key): value for key, value in values.items()}
        sealed = {name: self._seal.sealed(cache, name, value) for name, value in named.items()}
        try:
            shelf.stored = self._working.write(cache, sealed, budget=shelf.budget, seconds=self._seconds)
        except StorageError:
            with self._wake:
                self._counts.errors += 1
                self._counts.dropped += len(values)

    def _mark(self, version: str) -> None:
        try:
            self._working.set_mark(version, seconds=2 * self._seconds)
        except StorageError:  # the next process erases what is there
            self._count_error()
