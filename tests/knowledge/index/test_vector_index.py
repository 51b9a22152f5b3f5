from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from services.knowledge.index import vector_index
from services.knowledge.index.segment import HIDDEN, Codec, Groups, Ids, Vectors
from services.knowledge.index.vector_index import TRAINING_VECTORS, VectorIndex, rerank

DIMENSION = 32


def unit_vectors(count: int, seed: int = 0, dimension: int = DIMENSION) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_index, "SEGMENT_VECTORS", 16)


def filled(count: int, group: Groups | int = 1) -> tuple[VectorIndex, Ids, Vectors]:
    index, ids, vectors = VectorIndex(DIMENSION), np.arange(10, 10 + count), unit_vectors(count)
    index.add(ids, vectors, group)
    return index, ids, vectors


@pytest.mark.parametrize("count", [1, 5, 16, 17, 100])
def test_search_finds_each_vector_itself(small_segments: None, count: int) -> None:
    """Whatever the number of vectors and segments, a vector's nearest neighbour is itself, at cosine 1."""
    index, ids, vectors = filled(count)
    assert len(index) == count
    for number, vector in zip(ids, vectors, strict=True):
        found, scores = index.search(vector, 3)
        assert found[0] == number
        assert scores[0] == pytest.approx(1.0, abs=0.02)
        assert len(found) == min(3, count)
        assert list(scores) == sorted(scores, reverse=True)


def test_empty_index_finds_nothing() -> None:
    """A search in an empty index answers with nothing instead of failing."""
    found, scores = VectorIndex(DIMENSION).search(unit_vectors(1)[0], 5)
    assert len(found) == len(scores) == 0


@pytest.mark.parametrize("dimension", [1, 6, 384])
def test_any_dimension(dimension: int) -> None:
    """Codes work from one dimension to that of a real model."""
    index, vectors = VectorIndex(dimension), unit_vectors(3, dimension=dimension)
    index.add([1, 2, 3], vectors, 0)
    assert index.search(vectors[1], 1)[1][0] == pytest.approx(1.0, abs=0.02)


def test_added_piece_by_piece_equals_added_at_once(small_segments: None) -> None:
    """Growing by single vectors gives the same answers and the same memory as one large add."""
    whole, ids, vectors = filled(50)
    pieces = VectorIndex(DIMENSION)
    for number, vector in zip(ids, vectors, strict=True):
        pieces.add([int(number)], vector[None], 1)
    query = unit_vectors(1, seed=9)[0]
    assert list(pieces.search(query, 10)[0]) == list(whole.search(query, 10)[0])
    assert pieces.memory_report().bytes == whole.memory_report().bytes == 50 * (DIMENSION + 8 + 4)


def test_removed_vectors_are_not_found_and_their_room_comes_back(small_segments: None) -> None:
    """Removal takes vectors out of searches at once, counts only those that were there, and frees memory."""
    index, ids, vectors = filled(64)
    before = index.memory_report().bytes
    assert index.remove([*ids[:40], 9999]) == 40
    assert index.remove(ids[:40]) == 0
    assert len(index) == 24
    assert set(index.search(vectors[0], 64)[0]) == set(ids[40:])
    assert index.memory_report().bytes < before * 0.6
    assert index.remove(ids) == 24
    assert index.memory_report().bytes == 0


def test_an_id_can_come_back_with_another_vector(small_segments: None) -> None:
    """Adding an id again replaces its vector, also after a removal; it is there once."""
    index, ids, vectors = filled(20)
    index.add(ids[:1], vectors[5:6], 1)
    index.remove(ids[1:2])
    index.add(ids[1:2], vectors[6:7], 1)
    index.add(ids[1:2], vectors[7:8], 1)
    assert len(index) == 20
    assert set(index.search(vectors[5], 2)[0]) == {ids[0], ids[5]}
    assert set(index.search(vectors[7], 2)[0]) == {ids[1], ids[7]}
    assert list(index.ids()) == sorted(ids)


def test_groups_limit_a_search(small_segments: None) -> None:
    """A search sees only the groups asked for, never hidden ones, and ids that move groups follow."""
    index, ids, vectors = filled(60, np.arange(60, dtype=np.int32) % 3)
    assert set(index.search(vectors[0], 60, [1])[0]) == set(ids[1::3])
    assert set(index.search(vectors[0], 60, [1, 2])[0]) == set(ids[1::3]) | set(ids[2::3])
    assert len(index.search(vectors[0], 60, [7])[0]) == 0
    assert len(index.search(vectors[0], 60, [])[0]) == 0
    index.regroup(ids[1::3], HIDDEN)
    assert set(index.search(vectors[0], 60)[0]) == set(ids[0::3]) | set(ids[2::3])
    assert len(index.search(vectors[0], 60, [HIDDEN])[0]) == 0
    assert len(index) == 60
    index.regroup(ids[1::3], 2)
    assert len(index.search(vectors[0], 60, [2])[0]) == 40


def test_members_report_ids_with_their_groups(small_segments: None) -> None:
    """What a reconciliation compares is ordered by id and carries each id's group."""
    index = VectorIndex(DIMENSION)
    index.add([5, 3, 9], unit_vectors(3), np.array([50, 30, 90], dtype=np.int32))
    ids, groups = index.members()
    assert list(ids) == [3, 5, 9]
    assert list(groups) == [30, 50, 90]


def test_replace_is_one_step_for_searches(small_segments: None) -> None:
    """While versions replace each other, every search sees exactly one version, whole."""
    index = VectorIndex(DIMENSION)
    versions = [np.arange(number * 100, number * 100 + 40) for number in range(30)]
    vectors = unit_vectors(40)
    index.add(versions[0], vectors, 1)
    stop, torn = threading.Event(), []

    def watch() -> None:
        while not stop.is_set():
            found = np.sort(index.search(vectors[0], 100)[0])
            if len(found) != 40 or found[0] % 100 or found[-1] - found[0] != 39:
                torn.append(found)

    watchers = [threading.Thread(target=watch) for _ in range(2)]
    for watcher in watchers:
        watcher.start()
    for old, new in pairwise(versions):
        index.replace(new, vectors, 1, old)
    stop.set()
    for watcher in watchers:
        watcher.join()
    assert not torn
    assert list(index.ids()) == list(versions[-1])


def test_ranges_from_data_are_taken_at_the_first_large_add() -> None:
    """A large first add trains the codes; small ones start wide and ask for training later."""
    trained = VectorIndex(DIMENSION)
    trained.add(np.arange(TRAINING_VECTORS), unit_vectors(TRAINING_VECTORS), 0)
    assert trained.codec.trained
    grown = VectorIndex(DIMENSION)
    for start in range(0, TRAINING_VECTORS, 512):
        grown.add(np.arange(start, start + 512), unit_vectors(512, seed=start), 0)
    assert grown.wants_training


def test_retraining_reads_the_exact_vectors_again() -> None:
    """After training, codes are finer, and ids, groups and answers are what they were."""
    dimension, count = 16, 600
    vectors = unit_vectors(count, dimension=dimension)
    vectors[:, 0] = 3.0  # a model whose vectors share one large component
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids, groups = np.arange(count), (np.arange(count) % 5).astype(np.int32)
    index = VectorIndex(dimension)
    for start in range(0, count, 200):
        index.add(ids[start : start + 200], vectors[start : start + 200], groups[start : start + 200])

    def read(wanted: Ids) -> Iterator[tuple[Ids, Vectors]]:
        for start in range(0, len(wanted), 256):
            yield wanted[start : start + 256], vectors[wanted[start : start + 256]]

    def recall() -> float:
        hits = 0
        for query in vectors[:50]:
            exact = np.argsort(-(vectors @ query))[:10]
            hits += len(np.intersect1d(exact, index.search(query, 10)[0]))
        return hits / 500

    before = recall()
    index.retrain(read)
    assert recall() > max(0.9, before)
    found_ids, found_groups = index.members()
    assert np.array_equal(found_ids, ids)
    assert np.array_equal(found_groups, groups)


def test_codes_with_exact_reranking_recall_what_exact_search_finds() -> None:
    """The ten best of 20,000 are found by codes and exact reranking of 40 candidates, 99 times in 100."""
    vectors = unit_vectors(20_000, dimension=64)
    index = VectorIndex(64)
    index.add(np.arange(len(vectors)), vectors, 0)
    hits = 0
    queries = unit_vectors(50, seed=1, dimension=64)
    for query in queries:
        ids, _scores = index.search(query, 40)
        best, scores = rerank(query, ids, vectors[ids])
        exact = np.argsort(-(vectors @ query))[:10]
        hits += len(np.intersect1d(best[:10], exact))
        assert scores[0] == pytest.approx(float((vectors @ query).max()), abs=1e-5)
    assert hits / 500 >= 0.99


def test_memory_for_a_chunk_is_close_to_its_codes() -> None:
    """Ids and groups add less than a tenth to the codes at the bundled model's dimension."""
    index = VectorIndex(384)
    for start in range(0, 10_000, 100):
        index.add(np.arange(start, start + 100), unit_vectors(100, seed=start, dimension=384), 0)
    assert index.memory_report().bytes <= 1.10 * 10_000 * 384


def test_a_search_keeps_its_state_when_the_index_changes(small_segments: None) -> None:
    """What a snapshot took is not touched by later writes."""
    index, ids, vectors = filled(40)
    codec, segments = index.frozen()
    before = [(segment.ids.copy(), segment.groups.copy(), segment.codes.copy()) for segment in segments]
    index.remove(ids[:10])
    index.regroup(ids[10:20], 5)
    index.add([1], vectors[:1], 3)
    assert isinstance(codec, Codec)
    for segment, (old_ids, old_groups, old_codes) in zip(segments, before, strict=True):
        assert np.array_equal(segment.ids, old_ids)
        assert np.array_equal(segment.groups, old_groups)
        assert np.array_equal(segment.codes, old_codes)
