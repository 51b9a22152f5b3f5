"""The embedder as LangChain knows embeddings."""

from __future__ import annotations

from langchain_core.embeddings import Embeddings

from services.knowledge.embedding.embedder import Embedder


class EmbedderFace(Embeddings):
    """LangChain's `Embeddings` over the one embedder."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the texts' vectors; they wait for questions."""
        return [[float(x) for x in vector] for vector in self._embedder.embed_chunks(texts)]

    def embed_query(self, text: str) -> list[float]:
        """Return a question's vector; it goes before everything else."""
        return [float(x) for x in self._embedder.embed_query(text)]
