"""From a question to the chunks and sentences that answer it."""

from services.knowledge.retrieval.retriever import Retriever

__all__ = ["Retriever"]
