"""The embedder with a memory: the same question is not computed twice, whoever asks it.

What the retriever needs of the embedder and the index.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.core.cache import ByteCache, cache_key, normalised_text
from services.knowledge.retrieval.language_trust import TextEncoder

Vector = NDArray[np.float32]


class CachedEncoder:
    """Vectors of questions, and of the sentences that are compared with them, by model and normalised text.

    Several threads that ask the same at once wait for one computation. Kept as float32 bytes, little-endian.
    """

    def __init__(self, encoder: QueryEncoder, cache: ByteCache) -> None:
        self._encoder = encoder
        self._cache = cache

    @property
    def fingerprint(self) -> str:
        """The model's fingerprint."""
        return self._encoder.fingerprint

    def embed_query(self, text: str) -> Vector:
        """Return a text's vector, float32 (d,), normalised; the text's blanks do not matter."""
        text = normalised_text(text)
        found = self._cache.get_or_compute(
            cache_key(self._encoder.fingerprint, text), lambda: self._encoder.embed_query(text).astype("<f4").tobytes()
        )
        return np.frombuffer(found, dtype="<f4").astype(np.float32)  # a copy: what is kept must not be written to

    def urgent(self) -> AbstractContextManager[None]:
        """As `Embedder.urgent`."""
        return self._encoder.urgent()

    def embed_chunks(self, texts: Sequence[str], *, cancelled: Callable[[], bool] = lambda: False) -> Vector:
        """As `Embedder.embed_chunks`: nothing of it is kept."""
        return self._encoder.embed_chunks(texts, cancelled=cancelled)

    def unknown_share(self, text: str) -> float:
        """As `Embedder.unknown_share`."""
        return self._encoder.unknown_share(text)

    def token_count(self, text: str) -> int:
        """As `Embedder.token_count`."""
        return self._encoder.token_count(text)


class QueryEncoder(TextEncoder, Protocol):
    """What is needed of `Embedder`."""

    def embed_query(self, text: str) -> Vector: ...
    def urgent(self) -> AbstractContextManager[None]: ...


class Index(Protocol):
    """What is needed of `VectorIndex`."""

    def search(
        self, vector: Vector, k: int, groups: Collection[int] | None = None
    ) -> tuple[NDArray[np.int64], Vector]: ...


class Keeper(Protocol):
    """What is needed of `IndexManager`."""

    @property
    def index(self) -> Index: ...
    @property
    def ready(self) -> bool: ...
