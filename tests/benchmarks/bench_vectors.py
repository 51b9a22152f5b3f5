"""The vector index at 200,000 chunks: memory, recall and speed against raw FAISS and langchain-community's.

The vectors are real questions' vectors with noise around them, so that each dimension has the range that the bundled
model gives it.
"""

from __future__ import annotations

import gc
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator

import faiss
import numpy as np
import psutil
from numpy.typing import NDArray

from services.core.settings import Settings
from services.knowledge.embedding import Embedder
from services.knowledge.index.vector_index import CANDIDATES_PER_HIT, VectorIndex, rerank
from tests.benchmarks.server import paragraphs, percentile, questions
from tests.benchmarks.table import Row

CHUNKS = 200_000
DIMENSION = 384
NOISE = 0.04  # a component's standard deviation: as long as 0.8 of the vector itself
CHARACTERS = 830
# Chunks reach the index a few files at a time.
CHUNKS_PER_ADD = 100
QUERIES = 300
K = 10

Vectors = NDArray[np.float32]


def run() -> list[Row]:
    embedder = Embedder.load(Settings())
    asked = questions("en")
    centres = embedder.embed_chunks(asked[: len(asked) // 2])
    queries = np.stack([embedder.embed_query(question) for question in asked[-QUERIES:]])
    embedder.close()
    ours = _in_child(hold_ours, centres)
    langchain = _in_child(hold_langchain, centres)
    vectors = np.concatenate(list(batches(centres)))
    index = VectorIndex(DIMENSION)
    for start in range(0, CHUNKS, 4096):
        part = vectors[start : start + 4096]
        index.add(np.arange(start, start + len(part)), part, 0)
    recall = recall_of(index, vectors, queries)
    ratio, mine, raw = speed(index, vectors, queries)
    index.close()
    return [
        Row(
            "RAM per chunk at 200,000 chunks over the index's code bytes",
            ours / DIMENSION,
            1.10,
            at_least=False,
            detail=f"{ours:.0f} bytes of RSS a chunk over {DIMENSION}, added {CHUNKS_PER_ADD} at a time",
        ),
        Row(
            "langchain-community FAISS with the same chunks over ours, RAM",
            langchain / ours,
            5,
            at_least=True,
            detail=f"{langchain:.0f} over {ours:.0f} bytes of RSS a chunk",
        ),
        Row(
            "recall@10 of exact search",
            recall,
            0.99,
            at_least=True,
            detail=f"{K * CANDIDATES_PER_HIT} candidates by 8-bit codes, ordered by exact vectors; {QUERIES} questions",
        ),
        Row(
            "vector search p50 over raw FAISS of the same codec",
            ratio,
            1.15,
            at_least=False,
            detail=f"{mine:.2f} over {raw:.2f} ms, {K * CANDIDATES_PER_HIT} hits, one question at a time",
        ),
    ]


def batches(centres: Vectors) -> Iterator[Vectors]:
    """Yield the same `CHUNKS` vectors each time, `CHUNKS_PER_ADD` at once."""
    chance = np.random.default_rng(11)
    for _start in range(0, CHUNKS, CHUNKS_PER_ADD):
        picked = centres[chance.integers(0, len(centres), CHUNKS_PER_ADD)]
        vectors = picked + NOISE * chance.standard_normal((CHUNKS_PER_ADD, DIMENSION)).astype(np.float32)
        yield vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def recall_of(index: VectorIndex, vectors: Vectors, queries: Vectors) -> float:
    exact = faiss.IndexFlatIP(DIMENSION)
    exact.add(vectors)
    found = 0
    for query in queries:
        ids, _scores = index.search(query, K * CANDIDATES_PER_HIT)
        best, _exact_scores = rerank(query, ids, vectors[ids])
        found += len(np.intersect1d(best[:K], exact.search(query[None], K)[1][0]))
    return found / (K * len(queries))


def speed(index: VectorIndex, vectors: Vectors, queries: Vectors) -> tuple[float, float, float]:
    """Return (ratio of the medians, our median, raw median), times in ms; the sides take turns."""
    raw = faiss.IndexScalarQuantizer(DIMENSION, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    raw.train(vectors)
    raw.add(vectors)
    threads = faiss.omp_get_max_threads()
    ours_ms, raw_ms = [], []
    for query in [*queries[:20], *queries]:
        faiss.omp_set_num_threads(threads)
        raw_ms.append(_ms(lambda q=query: raw.search(q[None], K * CANDIDATES_PER_HIT)))
        ours_ms.append(_ms(lambda q=query: index.search(q, K * CANDIDATES_PER_HIT)))
    mine, other = percentile(ours_ms[20:], 0.5), percentile(raw_ms[20:], 0.5)
    return mine / other, mine, other


def hold_ours(centres: Vectors) -> float:
    index, warm = VectorIndex(DIMENSION), VectorIndex(DIMENSION)
    warm.add(np.arange(CHUNKS_PER_ADD), next(batches(centres)), 0)  # what FAISS and numpy load once is not the index

    def fill() -> object:
        for number, vectors in enumerate(batches(centres)):
            start = number * CHUNKS_PER_ADD
            index.add(np.arange(start, start + len(vectors)), vectors, 1)
        return index

    return _bytes_a_chunk(fill)


def hold_langchain(centres: Vectors) -> float:
    from langchain_community.docstore.in_memory import InMemoryDocstore
    from langchain_community.vectorstores import FAISS
    from langchain_core.embeddings import DeterministicFakeEmbedding

    chance = random.Random(12)
    text = " ".join(paragraphs("en"))

    def fill() -> object:
        store = FAISS(DeterministicFakeEmbedding(size=DIMENSION), faiss.IndexFlatL2(DIMENSION), InMemoryDocstore(), {})
        for vectors in batches(centres):
            starts = [chance.randrange(len(text) - CHARACTERS) for _ in vectors]
            texts = [text[start : start + CHARACTERS] for start in starts]
            store.add_embeddings(zip(texts, vectors.tolist(), strict=True))
        return store

    return _bytes_a_chunk(fill)


def _bytes_a_chunk(fill: Callable[[], object]) -> float:
    process = psutil.Process()
    gc.collect()
    psutil.heap_trim()
    before = process.memory_info().rss
    held = fill()
    gc.collect()
    psutil.heap_trim()
    grown = process.memory_info().rss - before
    del held
    return grown / CHUNKS


def _in_child(work: Callable[[Vectors], float], centres: Vectors) -> float:
    """Run `work` in a fresh process, so that what was freed before cannot be used again."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (centres,))


def _ms(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000
