"""The truth about documents: rows, chunks, vectors, terms and jobs in the database."""

from services.knowledge.store.chunks import ChunkStore, HitRow

__all__ = ["ChunkStore", "HitRow"]
