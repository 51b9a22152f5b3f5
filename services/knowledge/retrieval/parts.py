"""What the retriever needs of the embedder and the index."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.knowledge.retrieval.language_trust import Encoder

Vector = NDArray[np.float32]


class QueryEncoder(Encoder, Protocol):
    """What is needed of `Embedder`."""

    def embed_query(self, text: str) -> Vector: ...
    def urgent(self) -> AbstractContextManager[None]: ...


class Index(Protocol):
    """What is needed of `VectorIndex`."""

    def search(
        self, vector: Vector, k: int, groups: Collection[int] | None = None
    ) -> tuple[NDArray[np.int64], Vector]: ...


class Keeper(Protocol):
    """What is needed of `IndexKeeper`."""

    @property
    def index(self) -> Index: ...
    @property
    def ready(self) -> bool: ...
