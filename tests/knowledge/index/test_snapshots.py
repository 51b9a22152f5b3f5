from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from services.core.errors import StorageError
from services.knowledge.index import VectorIndex
from services.knowledge.index.segment import HIDDEN, Vectors
from services.knowledge.index.snapshots import MANIFEST, IndexSnapshotStore

DIMENSION = 16
KILLS = 40


def unit_vectors(count: int, seed: int = 0) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def index() -> VectorIndex:
    index = VectorIndex(DIMENSION)
    index.add(np.arange(100), unit_vectors(100), 1)
    index.remove(np.arange(10))
    index.regroup(np.arange(50, 60), HIDDEN)
    return index


def generations(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name.isdecimal())


def test_what_is_saved_is_what_is_loaded(index: VectorIndex, tmp_path: Path) -> None:
    """A loaded index has the same vectors in the same groups, answers alike, and can be written on."""
    store = IndexSnapshotStore(tmp_path / "index")
    assert store.save(index, "model") == 1
    loaded, warnings = IndexSnapshotStore(tmp_path / "index").load(DIMENSION, "model")
    assert loaded is not None
    assert not warnings
    for mine, theirs in zip(loaded.members(), index.members(), strict=True):
        assert np.array_equal(mine, theirs)
    query = unit_vectors(1, seed=5)[0]
    assert np.array_equal(loaded.search(query, 20)[0], index.search(query, 20)[0])
    loaded.add([1000], unit_vectors(1, seed=6), 1)
    assert loaded.search(unit_vectors(1, seed=6)[0], 1)[0][0] == 1000


def test_loading_clears_away_what_a_kill_left(index: VectorIndex, tmp_path: Path) -> None:
    """Half a snapshot, and an old one that was being deleted, would stay until the next change: perhaps for ever."""
    store = IndexSnapshotStore(tmp_path, kept=3)
    for _number in range(3):
        store.save(index, "model")
    for name in (".passing-new", ".passing-0000000001"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ids.npy").write_bytes(b"half")
    loaded, warnings = IndexSnapshotStore(tmp_path, kept=2).load(DIMENSION, "model")
    assert loaded is not None
    assert not warnings
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000000002", "0000000003"]


def test_an_empty_index_can_be_saved(tmp_path: Path) -> None:
    """An index without vectors comes back as one without vectors, not as none."""
    store = IndexSnapshotStore(tmp_path)
    store.save(VectorIndex(DIMENSION), "model")
    loaded, warnings = store.load(DIMENSION, "model")
    assert loaded is not None
    assert len(loaded) == 0
    assert not warnings


def test_only_the_newest_generations_are_kept(index: VectorIndex, tmp_path: Path) -> None:
    """Older generations go, numbers go on, and nothing passing is left."""
    store = IndexSnapshotStore(tmp_path, kept=2)
    for _number in range(4):
        store.save(index, "model")
    assert generations(tmp_path) == ["0000000003", "0000000004"]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("file", ["ids.npy", "groups.npy", "codes.npy", "codec.npy", MANIFEST])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_generation_is_set_aside_and_the_one_before_used(
    index: VectorIndex, tmp_path: Path, file: str, damage: str
) -> None:
    """Whatever happens to whichever file, the generation before answers and a warning tells."""
    store = IndexSnapshotStore(tmp_path)
    store.save(index, "model")
    index.remove(np.arange(10, 20))
    store.save(index, "model")
    path = tmp_path / "0000000002" / file
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()
    loaded, warnings = store.load(DIMENSION, "model")
    assert loaded is not None
    assert len(loaded) == 90
    assert len(warnings) == 1
    assert "0000000002" in warnings[0]
    assert generations(tmp_path) == ["0000000001"]
    assert (tmp_path / "damaged" / "0000000002").is_dir()
    assert store.load(DIMENSION, "model")[1] == []


def test_a_manifest_that_leaves_files_out_is_not_trusted(index: VectorIndex, tmp_path: Path) -> None:
    """A file without checksum must not slip in unchecked."""
    store = IndexSnapshotStore(tmp_path)
    store.save(index, "model")
    path = tmp_path / "0000000001" / MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["files"]["codes.npy"]
    path.write_text(json.dumps(manifest))
    assert store.load(DIMENSION, "model")[0] is None


def test_a_snapshot_of_another_embedder_is_not_used(index: VectorIndex, tmp_path: Path) -> None:
    """Vectors of another model or dimension are left alone, without a warning about damage."""
    store = IndexSnapshotStore(tmp_path)
    store.save(index, "model")
    assert store.load(DIMENSION, "other") == (None, [])
    assert store.load(DIMENSION + 1, "model") == (None, [])
    assert generations(tmp_path) == ["0000000001"]


def test_damaged_generations_do_not_pile_up(index: VectorIndex, tmp_path: Path) -> None:
    """Only the last few damaged generations stay on disk."""
    store = IndexSnapshotStore(tmp_path)
    for _number in range(5):
        generation = store.save(index, "model")
        (tmp_path / f"{generation:010d}" / "ids.npy").write_bytes(b"")
        store.load(DIMENSION, "model")
    assert len(list((tmp_path / "damaged").iterdir())) == 2


def test_a_disk_that_refuses_keeps_the_generation_before(
    index: VectorIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a file cannot be synced, the save fails with a message and the old snapshot still loads."""
    store = IndexSnapshotStore(tmp_path)
    store.save(index, "model")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("services.knowledge.index.snapshots.os.fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            store.save(index, "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000000001"]
    assert store.load(DIMENSION, "model")[0] is not None


def test_what_a_kill_left_in_the_making_is_swept(index: VectorIndex, tmp_path: Path) -> None:
    """Remains of a save that was killed are never loaded, and go with the next save."""
    (tmp_path / ".passing-new").mkdir()
    (tmp_path / ".passing-new" / "ids.npy").write_bytes(b"half")
    store = IndexSnapshotStore(tmp_path)
    assert store.load(DIMENSION, "model") == (None, [])
    store.save(index, "model")
    assert [path.name for path in tmp_path.iterdir()] == ["0000000001"]


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
from services.knowledge.index import IndexSnapshotStore
from services.knowledge.index import VectorIndex

directory, kills = Path(sys.argv[1]), int(sys.argv[2])
chance = random.Random(7)
ids = np.arange(4000)
vectors = np.random.default_rng(0).standard_normal((4000, 64)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
store = IndexSnapshotStore(directory, kept=2)
interrupted = 0
first = VectorIndex(64)
first.add(ids, vectors, 0)
started = time.perf_counter()
store.save(first, "model")
save_seconds = time.perf_counter() - started
kill = 0
while interrupted < kills and kill < 20 * kills:
    kill += 1
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        index = VectorIndex(64)
        group = 0
        os.write(writing, b"x")
        while True:
            group += 1
            index.add(ids, vectors, group)
            store.save(index, "model")
    os.read(reading, 1)
    time.sleep(chance.uniform(0, 3 * save_seconds))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading); os.close(writing)
    interrupted += any(directory.glob(".passing-*"))
    loaded, warnings = IndexSnapshotStore(directory).load(64, "model")
    assert loaded is not None and not warnings, (kill, warnings)
    held, groups = loaded.members()
    assert len(held) == 4000 and len(set(groups.tolist())) == 1, kill
    assert not any(directory.glob(".passing-*")), kill
print(interrupted, max(int(path.name) for path in directory.iterdir() if path.name.isdecimal()))
"""


def test_a_kill_in_mid_save_leaves_something_readable(tmp_path: Path) -> None:
    """Killed at random points, 40 times in mid-save, the store always loads one whole generation, without a warning."""
    completed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path / "index"), str(KILLS)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # a team of threads does not survive a fork
    )
    assert completed.returncode == 0, completed.stderr
    interrupted, highest = map(int, completed.stdout.split())
    assert interrupted == KILLS, "too few kills came in the middle of a save to prove a thing"
    assert highest > 1


def test_nobody_else_can_look_at_snapshots(index: VectorIndex, tmp_path: Path) -> None:
    """The folder of the snapshots is closed to other users of the machine."""
    IndexSnapshotStore(tmp_path / "index").save(index, "model")
    assert (tmp_path / "index").stat().st_mode & 0o077 == 0
