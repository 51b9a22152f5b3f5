"""Retrieval: dense and lexical search, fusion, quotes, language trust."""

from services.knowledge.retrieval.retriever import Retriever

__all__ = ["Retriever"]
