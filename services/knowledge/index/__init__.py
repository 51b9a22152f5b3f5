"""The vector index: 8-bit codes in RAM, snapshots on disk."""

from services.knowledge.index.manager import IndexManager
from services.knowledge.index.snapshots import IndexSnapshotStore
from services.knowledge.index.vector_index import VectorIndex

__all__ = ["IndexManager", "IndexSnapshotStore", "VectorIndex"]
