"""Stages of ingestion that a test holds back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.core.actor import SERVICE
from services.core.errors import CancelledError
from services.knowledge.embedding import Embedder
from services.knowledge.types import DocumentStatus
from tests.knowledge.library_harness import DEADLINE, LibraryHarness


class Barrier:
    """Holds a stage back until it is opened, as a slow file would."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.names: list[str] = []

    def pass_through(self, cancelled: Callable[[], bool]) -> None:
        self.entered.set()
        while not self.opened.wait(0.01):
            if cancelled():
                raise CancelledError("held back")

    def arrived(self) -> None:
        assert self.entered.wait(DEADLINE)


@contextmanager
def blocked_parser(harness: LibraryHarness, only: str = "") -> Iterator[Barrier]:
    """Hold back files whose name contains `only` before they are parsed."""
    barrier, parse = Barrier(), harness.parser.parse

    def slow(path: Path, name: str, **keywords: Any) -> Any:
        barrier.names.append(name)
        if only in name:
            barrier.pass_through(keywords["cancelled"])
        return parse(path, name, **keywords)

    harness.parser.parse = slow  # type: ignore[method-assign]
    try:
        yield barrier
    finally:
        barrier.opened.set()
        harness.parser.parse = parse  # type: ignore[method-assign]


class OtherEmbedder:
    """The embedder under a changed name, or held back by a barrier."""

    def __init__(self, embedder: Embedder, *, fingerprint: str = "", barrier: Barrier | None = None) -> None:
        self._embedder = embedder
        self._barrier = barrier
        self.fingerprint = fingerprint or embedder.fingerprint

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed_chunks(self, texts: list[str], **keywords: Any) -> Any:
        if self._barrier is not None:
            self._barrier.pass_through(keywords["cancelled"])
        return self._embedder.embed_chunks(texts, **keywords)


def status_of(harness: LibraryHarness, document_id: int) -> DocumentStatus:
    return harness.library.document(SERVICE, document_id).status
