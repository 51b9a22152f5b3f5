"""The vector index: codes in RAM, snapshots on disk, and its LangChain face."""

from services.knowledge.index.manager import IndexKeeper
from services.knowledge.index.snapshots import SnapshotStore
from services.knowledge.index.vector_index import VectorIndex

__all__ = ["IndexKeeper", "SnapshotStore", "VectorIndex"]
