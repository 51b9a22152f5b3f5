"""A cache of query vectors in front of the embedder, shared by all users."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.core.cache import ByteCache, cache_key, normalised_text

Vector = NDArray[np.float32]


class TextEncoder(Protocol):
    """What retrieval requires of the embedding model: the interface of `Embedder`."""

    @property
    def fingerprint(self) -> str: ...
    def embed_query(self, text: str) -> Vector: ...
    def begin_queries(self, texts: Sequence[str]) -> list[Future[Vector]]: ...
    def embed_chunks(self, texts: Sequence[str], *, cancelled: Callable[[], bool] = ...) -> Vector: ...
    def urgent(self) -> AbstractContextManager[None]: ...
    def unknown_share(self, text: str) -> float: ...
    def token_count(self, text: str) -> int: ...


class ReplacedEncoder(TextEncoder, Protocol):
    """An encoder that another one may replace: `ServingModel`."""

    def in_use(self) -> AbstractContextManager[TextEncoder]: ...


class CachedEncoder:
    """Caches vectors of queries, and of the sentences compared with them, by model and normalised text.

    Threads that ask for the same text at once wait for one computation. Stored as float32 bytes, little-endian.
    """

    def __init__(self, encoder: TextEncoder, cache: ByteCache) -> None:
        self._encoder = encoder
        self._cache = cache

    @property
    def fingerprint(self) -> str:
        """The model's fingerprint."""
        return self._encoder.fingerprint

    def embed_query(self, text: str) -> Vector:
        """Return the vector of a text, float32 (d,), normalised; runs of white space count as one blank."""
        text = normalised_text(text)
        found = self._cache.get_or_compute(
            cache_key(self._encoder.fingerprint, text), lambda: _bytes(self._encoder.embed_query(text))
        )
        return _vector(found)

    def begin_queries(self, texts: Sequence[str]) -> list[Future[Vector]]:
        """Return the vectors of texts as they will be; those that are kept are there at once."""
        texts = [normalised_text(text) for text in texts]
        if not self._cache.enabled:
            return self._encoder.begin_queries(texts)
        fingerprint = self._encoder.fingerprint
        missing: dict[str, Future[Vector]] = {}
        found: list[Future[Vector]] = []
        known = self._cache.get_all([cache_key(fingerprint, text) for text in texts])
        for text, kept in zip(texts, known, strict=True):
            vector: Future[Vector] = Future()
            if kept is not None:
                vector.set_result(_vector(kept))
            else:
                vector = missing.setdefault(text, vector)
            found.append(vector)
        for (text, vector), begun in zip(missing.items(), self._encoder.begin_queries(list(missing)), strict=True):
            begun.add_done_callback(partial(self._keep, cache_key(fingerprint, text), vector))
        return found

    def _keep(self, key: str, there: Future[Vector], done: Future[Vector]) -> None:
        """Keep a vector before whoever waits for it has it."""
        error = done.exception()
        if error is not None:
            there.set_exception(error)
            return
        vector = done.result()
        self._cache.put(key, _bytes(vector))
        there.set_result(vector)

    def urgent(self) -> AbstractContextManager[None]:
        """As `Embedder.urgent`."""
        return self._encoder.urgent()

    def embed_chunks(self, texts: Sequence[str], *, cancelled: Callable[[], bool] = lambda: False) -> Vector:
        """As `Embedder.embed_chunks`; not cached."""
        return self._encoder.embed_chunks(texts, cancelled=cancelled)

    def unknown_share(self, text: str) -> float:
        """As `Embedder.unknown_share`."""
        return self._encoder.unknown_share(text)

    def token_count(self, text: str) -> int:
        """As `Embedder.token_count`."""
        return self._encoder.token_count(text)


class PinnableEncoder(CachedEncoder):
    """Caches vectors of an encoder that may be replaced; who searches pins the present one."""

    def __init__(self, encoder: ReplacedEncoder, cache: ByteCache) -> None:
        super().__init__(encoder, cache)
        self._replaced = encoder

    def embed_query(self, text: str) -> Vector:
        """As `CachedEncoder.embed_query`; a vector is never kept under the name of another model."""
        with self.pinned() as encoder:
            return encoder.embed_query(text)

    def begin_queries(self, texts: Sequence[str]) -> list[Future[Vector]]:
        """As `CachedEncoder.begin_queries`; all of them are of one model, even if another takes its place meanwhile."""
        with self.pinned() as encoder:
            return encoder.begin_queries(texts)

    @contextmanager
    def pinned(self) -> Iterator[CachedEncoder]:
        """Yield the present encoder, cached; it stays the same, and there, for the whole block.

        What it has begun by then is computed by it in any case: its close waits for that.
        """
        with self._replaced.in_use() as encoder:
            yield CachedEncoder(encoder, self._cache)


def _bytes(vector: Vector) -> bytes:
    return vector.astype("<f4").tobytes()


def _vector(kept: bytes) -> Vector:
    return np.frombuffer(kept, dtype="<f4").astype(np.float32)  # a copy: the cached bytes are read-only
