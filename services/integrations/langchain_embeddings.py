"""The embedding model as LangChain's `Embeddings`."""

from __future__ import annotations

from langchain_core.embeddings import Embeddings

from services.knowledge.embedding.embedder import Embedder


class LangChainEmbeddings(Embeddings):
    """LangChain's `Embeddings` over the embedder of the process."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of texts; questions have priority over them."""
        return [[float(x) for x in vector] for vector in self._embedder.embed_chunks(texts)]

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a question; it has priority over texts."""
        return [float(x) for x in self._embedder.embed_query(text)]
