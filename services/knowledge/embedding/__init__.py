"""One embedding model, in inference mode, that puts questions before ingestion."""

from services.knowledge.embedding.embedder import Embedder

__all__ = ["Embedder"]
