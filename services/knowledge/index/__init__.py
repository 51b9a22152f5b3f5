"""The vector index: codes in RAM, snapshots on disk, and its LangChain face."""

from services.knowledge.index.manager import IndexManager
from services.knowledge.index.snapshots import IndexSnapshotStore
from services.knowledge.index.vector_index import VectorIndex

__all__ = ["IndexManager", "IndexSnapshotStore", "VectorIndex"]
