"""Takes queued files through parsing, embedding and storing, several at a time, in the background."""

from services.knowledge.ingestion.pipeline import Ingestion

__all__ = ["Ingestion"]
