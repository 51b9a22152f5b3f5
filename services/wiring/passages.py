"""The retriever, as chat knows it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from services.chat.types import Passages
from services.knowledge.types import Quote, SearchResult

if TYPE_CHECKING:
    from services.knowledge.retrieval import Retriever
    from services.runtime import Runtime


def library_stamp(runtime: Runtime) -> str | None:
    """Return what stands for everything that retrieval depends on, None while that changes."""
    version = runtime.ingestion.writer.version.current() if runtime.keeper.ready else None
    if version is None:
        return None
    settings = asdict(runtime.library.retrieval_settings())
    return json.dumps([version, settings, runtime.embedder.fingerprint, runtime.settings.language], sort_keys=True)


class PassagesForChat:
    """Implements `services.chat.types.KnowledgeSource` with the retriever."""

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever

    def passages(self, question: str, collection_ids: Sequence[int]) -> SearchResult:
        return self._retriever.search(question, collection_ids=collection_ids)

    def quotes(self, question: str, passages: Passages, limit: int) -> Sequence[Quote]:
        if not isinstance(passages, SearchResult):
            raise TypeError("quotes are taken from what `passages` returned")
        return self._retriever.quotes(question, passages, limit)
