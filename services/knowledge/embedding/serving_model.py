"""The embedding model that answers at present: one at a time, replaced by another while questions go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.core.memory_report import MemoryReport
from services.knowledge.embedding.embedder import Embedder
from services.knowledge.embedding.model_files import ModelFiles

Vectors = NDArray[np.float32]


class ServingModel:
    """Passes everything on to the model that serves; whoever uses one keeps it until done. Thread-safe."""

    def __init__(self, embedder: Embedder) -> None:
        self._changed = threading.Condition()
        self._embedder = embedder
        self._users: dict[Embedder, int] = {}

    @contextmanager
    def in_use(self) -> Iterator[Embedder]:
        """Yield the model that serves now; it is not closed meanwhile, even if another one takes its place."""
        with self._changed:
            embedder = self._embedder
            self._users[embedder] = self._users.get(embedder, 0) + 1
        try:
            yield embedder
        finally:
            with self._changed:
                self._users[embedder] -= 1
                if not self._users[embedder]:
                    del self._users[embedder]
                    self._changed.notify_all()

    def replace(self, embedder: Embedder) -> Embedder:
        """Have another model serve from now on; return the one before, which may be in use still."""
        with self._changed:
            before, self._embedder = self._embedder, embedder
        return before

    def wait_unused(self, embedder: Embedder, timeout: float | None = None) -> bool:
        """Wait until nobody uses a model that was replaced; return whether that came within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: embedder not in self._users, timeout)

    @property
    def files(self) -> ModelFiles:
        """As `Embedder.files`."""
        return self._embedder.files

    @property
    def model_note(self) -> str:
        """As of `Embedder`: what people are told about the choice of model."""
        return self._embedder.model_note

    @property
    def fingerprint(self) -> str:
        """As `Embedder.fingerprint`."""
        return self._embedder.fingerprint

    @property
    def dimension(self) -> int:
        """As `Embedder.dimension`."""
        return self._embedder.dimension

    @property
    def max_tokens(self) -> int:
        """As `Embedder.max_tokens`."""
        return self._embedder.max_tokens

    @property
    def tokenizer_file(self) -> Path:
        """As `Embedder.tokenizer_file`."""
        return self._embedder.tokenizer_file

    def embed_query(self, text: str) -> Vectors:
        """As `Embedder.embed_query`."""
        with self.in_use() as embedder:
            return embedder.embed_query(text)

    def begin_queries(self, texts: Sequence[str]) -> list[Future[Vectors]]:
        """As `Embedder.begin_queries`; they are of the model that serves now: its close waits for them."""
        with self.in_use() as embedder:
            return embedder.begin_queries(texts)

    def embed_chunks(
        self,
        texts: Sequence[str],
        *,
        cancelled: Callable[[], bool] = lambda: False,
        on_progress: Callable[[int], None] = lambda _done: None,
    ) -> Vectors:
        """As `Embedder.embed_chunks`."""
        with self.in_use() as embedder:
            return embedder.embed_chunks(texts, cancelled=cancelled, on_progress=on_progress)

    def urgent(self) -> AbstractContextManager[None]:
        """As `Embedder.urgent`."""
        return self._embedder.urgent()

    def unknown_share(self, text: str) -> float:
        """As `Embedder.unknown_share`."""
        return self._embedder.unknown_share(text)

    def token_count(self, text: str) -> int:
        """As `Embedder.token_count`."""
        return self._embedder.token_count(text)

    def whole_token_count(self, text: str) -> int:
        """As `Embedder.whole_token_count`."""
        return self._embedder.whole_token_count(text)

    def memory_report(self) -> MemoryReport:
        """As `Embedder.memory_report`."""
        return self._embedder.memory_report()

    def tokenizer_memory_report(self) -> MemoryReport:
        """As `Embedder.tokenizer_memory_report`."""
        return self._embedder.tokenizer_memory_report()

    def release(self) -> int:
        """As `Embedder.release`."""
        return self._embedder.release()

    def release_idle(self, minutes: float) -> int:
        """As `Embedder.release_idle`."""
        return self._embedder.release_idle(minutes)

    def close(self) -> None:
        """Close the model that serves."""
        self._embedder.close()
