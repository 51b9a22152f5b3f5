"""Caches that share a real Redis server within the process of a test, as those of nodes do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from services.chat.models.circuit_breaker import BreakerState, BreakerStatus, CircuitBreaker
from services.core.cache import Caches
from services.core.settings import Settings
from services.core.shared_cache.seal import Seal
from services.core.shared_cache.shared_cache import SharedCache
from services.core.storage_settings import CacheLocation
from tests.redis_server import RedisServer
from tests.servers import eventually

SECRET = b"a secret of the tests, 32 bytes!"
BREAKER_SECONDS = 0.5


class SharingNode:
    """The caches of one node; `version` is the state of its documents."""

    def __init__(
        self,
        url: str,
        *,
        secret: bytes = SECRET,
        pond: str = "0123456789abcdef",
        meaning: str = "1.0",
        version: str = "1",
        **settings: object,
    ) -> None:
        self.version = version
        self.changes: list[BreakerState] = []
        chosen = Settings(**settings)  # type: ignore[arg-type] # keywords as they come
        self.caches = Caches(chosen)
        self.breaker = CircuitBreaker("Redis", failures=3, seconds=BREAKER_SECONDS, on_change=self._changed)
        self.shared = SharedCache(
            CacheLocation.of(url),
            "redis://…",
            Seal(secret, pond, meaning),
            self.breaker,
            {cache.name: cache.stats().budget for cache in self.caches.all() if cache.enabled},
            erased=("answer_cache", "search_cache"),
            seconds=chosen.cache_seconds,
            version=lambda: self.version,
        )
        self.caches.share(self.shared)

    def keep(self, key: str, value: bytes, *, cache: str = "answers") -> None:
        """Put a value, and wait until the server has it."""
        before = self.stored(cache)
        getattr(self.caches, cache).put(key, value)
        eventually(lambda: self.stored(cache) != before, seconds=10.0, what="a value in Redis")

    def stored(self, cache: str = "answers") -> int:
        """Return the bytes that the server had of a cache when this node last wrote."""
        shelf = self.shared.shelf(getattr(self.caches, cache).name)
        assert shelf is not None
        return shelf.bytes

    def settled(self) -> None:
        """Wait until nothing is owed."""
        eventually(lambda: not self.shared.status().owed_seconds, seconds=10.0, what="the erasure in Redis")

    def usable(self) -> None:
        """Wait until the server is asked again."""
        eventually(lambda: self.shared.status().state == "closed", seconds=20.0, what="the breaker")

    def _changed(self, status: BreakerStatus) -> None:
        self.changes.append(status.state)


@contextmanager
def sharing(redis: RedisServer, url: str = "", **options: object) -> Iterator[SharingNode]:
    """Start a node over a server, and wait until it has met it."""
    node = SharingNode(url or redis.url, **options)  # type: ignore[arg-type] # keywords as they come
    node.shared.start()
    try:
        eventually(lambda: node.shared._met and not node.shared._owed, seconds=10.0, what="the first look at Redis")
        yield node
    finally:
        node.shared.close()


def entries(redis: RedisServer) -> set[bytes]:
    """Return the names of all values of caches in a server."""
    with redis.client() as client:
        return set(client.scan_iter("millpond:*_cache:*"))
