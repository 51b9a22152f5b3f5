"""The two halves of a search that run at the same time: a question's vector that is being computed, and the words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.knowledge.retrieval.encoder_cache import TextEncoder, Vector
from services.knowledge.retrieval.wording import Asked

if TYPE_CHECKING:
    from services.knowledge.store.dense_index import DenseIndex

# From so many vectors on, a search among them takes long enough for a thread of the lexical search.
LARGE_INDEX = 20_000
Matches = dict[int, dict[str, float]]


def milliseconds_since(start: float) -> float:
    """Return the ms since a reading of `time.perf_counter`."""
    return (time.perf_counter() - start) * 1000


@dataclass(frozen=True, slots=True)
class DenseModel:
    """An encoder, and the index of its vectors; None before it is loaded."""

    encoder: TextEncoder
    index: DenseIndex | None

    @property
    def passages(self) -> int:
        """How many vectors the index has."""
        return len(self.index) if self.index is not None else 0

    @property
    def is_large(self) -> bool:
        """Whether a search in the index takes so long that it is worth a thread beside it."""
        return self.passages >= LARGE_INDEX

    def begin(self, text: str) -> PendingVector | None:
        """Begin to embed a text; None where there is nothing to compare it with."""
        return PendingVector(self.encoder.begin_queries([text])[0]) if self.index is not None else None

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return the vectors of texts, each (d,), embedded together."""
        return [vector.result() for vector in self.encoder.begin_queries(texts)]


@dataclass(frozen=True, slots=True)
class DenseFound:
    """A question's vector, the chunks nearest to it, and the times in ms."""

    vector: Vector | None = None
    ids: list[int] = field(default_factory=list)
    embed_ms: float = 0.0
    search_ms: float = 0.0


class PendingVector:
    """A vector that is being computed; `ms` is how long that took, waiting included, once it is there."""

    def __init__(self, future: Future[Vector]) -> None:
        self._future = future
        self._began = time.perf_counter()
        self.ms = 0.0
        future.add_done_callback(self._done)

    @property
    def done(self) -> bool:
        """Whether it is there, or will never be."""
        return self._future.done()

    def wait(self) -> None:
        """Wait until it is there, or will never be."""
        wait([self._future])

    def result(self) -> Vector:
        """Return it, or raise why it could not be computed."""
        vector = self._future.result()
        self._done(self._future)  # whoever waits may come before the callback
        return vector

    def _done(self, _future: Future[Vector]) -> None:
        self.ms = self.ms or milliseconds_since(self._began)


class LexicalSearch:
    """A lexical search; `ms` is its duration. In a large library it has a thread of its own, beside the dense one."""

    def __init__(self, find: Callable[[], tuple[Asked, Matches]]) -> None:
        self.ms = 0.0
        self._find = find
        self._found: tuple[Asked, Matches] | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def begin(self, *, beside: bool) -> None:
        """Search now, or begin to, `beside` what this thread does next."""
        if not beside:
            self._run()
            return
        self._thread = threading.Thread(target=self._run, name="lexical-search")
        self._thread.start()

    def result(self) -> tuple[Asked, Matches]:
        """Wait for the search and return how it was asked and the BM25 by term of each chunk, or raise its error."""
        if self._thread is not None:
            self._thread.join()
        if self._error or self._found is None:
            raise self._error or RuntimeError("the lexical search ended without a result")
        return self._found

    def _run(self) -> None:
        started = time.perf_counter()
        try:
            self._found = self._find()
        except BaseException as error:  # noqa: BLE001 - raised again by `result`, in the thread that asked
            self._error = error
        self.ms = milliseconds_since(started)
