"""The retriever, as chat knows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.chat.types import Passages
from services.knowledge.types import Quote, SearchResult

if TYPE_CHECKING:
    from services.knowledge.retrieval import Retriever


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
