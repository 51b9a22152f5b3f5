"""The embedding model: loading, batching, inference; questions take priority over ingestion."""

from services.knowledge.embedding.embedder import Embedder

__all__ = ["Embedder"]
