"""The system of record: documents, chunks, vectors, lexical terms and jobs in the database."""

from services.knowledge.store.chunks import ChunkStore, HitRow

__all__ = ["ChunkStore", "HitRow"]
