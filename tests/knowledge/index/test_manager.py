from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.core.errors import StorageError, UnavailableError
from services.core.settings import Settings
from services.knowledge.index import IndexManager, IndexSnapshotStore, VectorIndex, vector_index
from services.knowledge.index import manager as index_manager
from services.knowledge.index.segment import HIDDEN, Ids, Vectors
from tests.servers import eventually

DIMENSION = 8
DEADLINE_SECONDS = 20


def vector_of(number: int) -> Vectors:
    vector = np.random.default_rng(number).standard_normal(DIMENSION).astype(np.float32)
    return vector / np.linalg.norm(vector)


class Source:
    """Chunks as the database has them: id -> group, each vector a function of its id."""

    def __init__(self, groups: dict[int, int]) -> None:
        self.groups = groups
        self.foreign: dict[int, int] = {}
        self.read: list[int] = []

    def active_ids(self, fingerprint: str | None = None) -> tuple[Ids, Ids]:
        members = sorted((self.groups if fingerprint else self.groups | self.foreign).items())
        return np.array([i for i, _ in members], np.int64), np.array([g for _, g in members], np.int64)

    def iter_vectors(
        self,
        ids: Ids,
        batch: int = 4096,
        fingerprint: str | None = None,  # noqa: ARG002
    ) -> Iterator[tuple[Ids, Vectors]]:
        for start in range(0, len(ids), batch):
            part = ids[start : start + batch]
            self.read += part.tolist()
            yield part, np.array([vector_of(int(i)) for i in part], np.float32)


def manager_of(source: Source, directory: Path, seconds: float = 3600) -> IndexManager:
    return IndexManager(
        source,
        dimension=DIMENSION,
        fingerprint="model",
        snapshots=IndexSnapshotStore(directory),
        settings=Settings(snapshot_seconds=seconds),
    )


def held(manager: IndexManager) -> dict[int, int]:
    ids, groups = manager.index.members()
    return dict(zip(ids.tolist(), groups.tolist(), strict=True))


def test_without_a_snapshot_the_database_is_read(tmp_path: Path) -> None:
    """A lost index folder costs nothing but reading vectors: every chunk is found again."""
    source = Source({1: 5, 2: 5, 3: HIDDEN})
    manager = manager_of(source, tmp_path)
    assert not manager.ready
    with pytest.raises(UnavailableError):
        _ = manager.index
    manager.start()
    assert manager.ready
    assert held(manager) == source.groups
    assert manager.index.search(vector_of(2), 1)[0][0] == 2
    manager.close()


def test_changes_since_the_snapshot_are_replayed(tmp_path: Path) -> None:
    """What was added, removed or moved after the last snapshot is taken from the database, and nothing else is read."""
    source = Source({1: 5, 2: 5, 3: 5, 4: 6})
    first = manager_of(source, tmp_path)
    first.start()
    first.close()
    source.groups = {2: 5, 3: HIDDEN, 4: 7, 9: 8}
    source.read = []
    second = manager_of(source, tmp_path)
    second.start()
    assert held(second) == source.groups
    assert source.read == [9]
    assert second.index.search(vector_of(9), 1)[0][0] == 9
    second.close()


def test_an_unchanged_index_is_not_saved_again(tmp_path: Path) -> None:
    """Closing without a change writes nothing."""
    source = Source({1: 5})
    for _start in range(3):
        manager = manager_of(source, tmp_path)
        manager.start()
        manager.close()
    assert [path.name for path in tmp_path.iterdir()] == ["0000000001"]


def test_a_damaged_snapshot_is_told_and_made_good(tmp_path: Path) -> None:
    """Damage on disk becomes a warning; the index is complete all the same."""
    source = Source({1: 5, 2: 5})
    manager = manager_of(source, tmp_path)
    manager.start()
    manager.close()
    (tmp_path / "0000000001" / "codes.npy").write_bytes(b"nonsense")
    manager = manager_of(source, tmp_path)
    manager.start()
    assert held(manager) == source.groups
    assert len(manager.warnings) == 1
    manager.close()
    manager = manager_of(source, tmp_path)
    manager.start()
    assert not manager.warnings
    manager.close()


def test_changes_are_saved_in_time_and_share_a_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many changes within the interval lead to one snapshot, by the manager's own thread."""
    saved = threading.Event()
    save = IndexSnapshotStore.save

    def note(store: IndexSnapshotStore, index: VectorIndex, fingerprint: str, *, alone: bool) -> int:
        generation = save(store, index, fingerprint, alone=alone)
        saved.set()
        return generation

    monkeypatch.setattr(IndexSnapshotStore, "save", note)
    manager = manager_of(Source({}), tmp_path, seconds=0.2)
    manager.start()
    for number in range(1, 11):
        manager.index.add([number], vector_of(number)[None], 1)
        manager.mark_dirty()
    assert saved.wait(DEADLINE_SECONDS)
    loaded, _warnings = IndexSnapshotStore(tmp_path).load(DIMENSION, "model")
    assert loaded is not None
    assert len(loaded) == 10
    assert manager.flush()
    manager.close()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failed_save_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full the index stays marked as changed, and is saved once there is room."""
    source = Source({1: 5})
    manager = manager_of(source, tmp_path)
    manager.start()

    def full(*_arguments: object, **_more: object) -> int:
        raise StorageError("full")

    with monkeypatch.context() as patch:
        patch.setattr(IndexSnapshotStore, "save", full)
        assert not manager.flush()
    assert manager.flush()
    assert (tmp_path / "0000000001").is_dir()
    manager.close()


def test_chunks_of_another_model_are_told(tmp_path: Path) -> None:
    """After a change of the embedding model its old vectors stay out of the index, and a warning says so."""
    source = Source({1: 5})
    source.foreign = {2: 5, 3: 5}
    manager = manager_of(source, tmp_path)
    manager.start()
    assert held(manager) == {1: 5}
    assert "2 chunks" in manager.warnings[0]
    manager.close()


def test_codes_are_trained_once_there_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that grew from nothing gets ranges from its data when it is saved, a rebuilt one from the start."""
    monkeypatch.setattr(vector_index, "TRAINING_VECTORS", 50)
    monkeypatch.setattr(index_manager, "TRAINING_VECTORS", 50)
    source = Source({})
    manager = manager_of(source, tmp_path)
    manager.start()
    for number in range(60):
        source.groups[number] = 1
        manager.index.add([number], vector_of(number)[None], 1)
    manager.mark_dirty()
    assert not manager.index.codec.trained
    assert manager.flush()
    assert manager.index.codec.trained
    assert held(manager) == source.groups
    manager.close()
    rebuilt = manager_of(source, tmp_path / "elsewhere")
    rebuilt.start()
    assert rebuilt.index.codec.trained
    assert len(rebuilt.index) == 60
    rebuilt.close()


def test_removed_vectors_leave_the_disk_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vector tells what its text was about: snapshots with those of deleted chunks do not wait for more changes."""
    monkeypatch.setattr(index_manager, "_ERASURE_SECONDS", 0.1)
    manager = manager_of(Source({1: 5, 2: 5}), tmp_path)
    manager.start()
    manager.flush()
    manager.index.add([3], vector_of(3)[None], 5)
    manager.mark_dirty()
    manager.flush()
    (tmp_path / "damaged" / "0000000001").mkdir(parents=True)
    assert len(list(tmp_path.glob("0*"))) == 2
    manager.index.remove(np.array([2], np.int64))
    manager.mark_dirty(removed=True)
    eventually(lambda: len(list(tmp_path.iterdir())) == 1, seconds=DEADLINE_SECONDS, what="one snapshot")
    loaded, _warnings = IndexSnapshotStore(tmp_path).load(DIMENSION, "model")
    assert loaded is not None
    assert sorted(loaded.members()[0].tolist()) == [1, 3]
    manager.close()
