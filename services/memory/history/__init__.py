"""The history of samples: a ring in RAM, downsampled tiers, and a file of fixed size on disk."""

from services.memory.history.store import HistoryStore

__all__ = ["HistoryStore"]
