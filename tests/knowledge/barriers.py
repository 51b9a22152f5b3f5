"""Stages of ingestion that a test holds back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.core.errors import CancelledError
from services.knowledge.embedding import Embedder
from services.knowledge.types import DocumentStatus
from tests.knowledge.library_harness import DEADLINE, LibraryHarness


class Gate:
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
def gated_parser(workshop: LibraryHarness, only: str = "") -> Iterator[Gate]:
    """Hold back files whose name contains `only` before they are parsed."""
    gate, parse = Gate(), workshop.parser.parse

    def slow(path: Path, name: str, **keywords: Any) -> Any:
        gate.names.append(name)
        if only in name:
            gate.pass_through(keywords["cancelled"])
        return parse(path, name, **keywords)

    workshop.parser.parse = slow  # type: ignore[method-assign]
    try:
        yield gate
    finally:
        gate.opened.set()
        workshop.parser.parse = parse  # type: ignore[method-assign]


class OtherEmbedder:
    """The embedder under a changed name, or held back by a gate."""

    def __init__(self, embedder: Embedder, *, fingerprint: str = "", gate: Gate | None = None) -> None:
        self._embedder = embedder
        self._gate = gate
        self.fingerprint = fingerprint or embedder.fingerprint

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed_chunks(self, texts: list[str], **keywords: Any) -> Any:
        if self._gate is not None:
            self._gate.pass_through(keywords["cancelled"])
        return self._embedder.embed_chunks(texts, **keywords)


def status_of(workshop: LibraryHarness, document_id: int) -> DocumentStatus:
    return workshop.library.document(document_id).status
