"""Vectors that PostgreSQL searches (`MILLPOND_VECTOR_SEARCH=database`) beside those that a node has in memory: what an
idle node takes, what is found of what an exact comparison finds, and how long it takes.

`python -m tests.benchmarks.bench_vector_search --chunks 1000000` does it with another number of them. The vectors are
made up: clusters of 384 dimensions, as those of all-MiniLM-L6-v2 are.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

from services.app.tables import import_tables
from services.core.database import Database
from services.core.machine import MEGABYTE
from services.core.settings import Settings
from services.knowledge.embedding import Embedder
from services.knowledge.index import IndexManager, IndexSnapshotStore
from services.knowledge.index.vector_index import rerank
from services.knowledge.store.chunks import ChunkStore, Vectors
from services.knowledge.store.dense_index import DenseIndex
from services.knowledge.vector_search.database_index import DatabaseIndexManager
from tests.benchmarks.server import percentile
from tests.benchmarks.table import Row, markdown
from tests.knowledge.vector_search.clustered import add_collections, add_document
from tests.postgres_server import postgres_server
from tests.servers import serving

CHUNKS = 200_000
PER_DOCUMENT = 100
PORTION = 10_000
PER_CENTRE = 400
NOISE = 0.8
QUERIES, HITS, CANDIDATES = 300, 10, 40  # as a search for ten hits asks for
SETTLE_SECONDS = 5.0


def run(chunks: int = CHUNKS) -> list[Row]:
    embedder = Embedder.load(Settings())
    model, dimension = embedder.fingerprint, embedder.dimension
    embedder.close()
    with tempfile.TemporaryDirectory() as name, postgres_server("shared_buffers=512MB", "fsync=on") as postgres:
        folder = Path(name)
        empty, _seconds = idle(folder / "a", postgres.url, "database")
        import_tables()
        database = Database(postgres.url)
        asked = next(made(QUERIES, dimension, chunks, seed=5))
        exact = fill(database, chunks, model, dimension, asked)
        built = time.monotonic()
        searching = DatabaseIndexManager(database, dimension=dimension, fingerprint=model)
        searching.start()
        built = time.monotonic() - built
        in_database, started = idle(folder / "a", postgres.url, "database")
        holding = IndexManager(
            ChunkStore(database),
            dimension=dimension,
            fingerprint=model,
            snapshots=IndexSnapshotStore(folder / "b" / "index"),
            settings=Settings(data_dir=folder / "b"),
        )
        holding.start()
        found = {each: Found() for each in ("node", "database")}
        for warm in (True, False):
            for number, query in enumerate(asked):
                for where, index in (("node", holding.index), ("database", searching.index)):
                    took, right = ask(database, index, query, exact[number], model)
                    if not warm:
                        found[where].add(took, right)
        holding.close()
        in_node, node_started = idle(folder / "b", postgres.url, "node")
        database.close()
    what = f"{chunks:,} chunks"
    node, pg = found["node"], found["database"]
    return [
        Row(
            f"idle node with vectors in the database: RSS over an empty one, MB, {what}",
            (in_database - empty) / MEGABYTE,
            60,
            at_least=False,
            detail=f"{in_database / MEGABYTE:.0f} over {empty / MEGABYTE:.0f} MB; with an index in memory "
            f"{in_node / MEGABYTE:.0f} MB; ready after {started:.1f} and {node_started:.1f} s; the database took "
            f"{built:.0f} s to take them over and index them",
        ),
        Row(
            f"vectors found by the database of the {HITS} nearest, {what}",
            pg.recall,
            0.99,
            at_least=True,
            detail=f"{CANDIDATES} candidates, ordered by float32; in memory {node.recall:.4f}",
        ),
        Row(
            f"search among vectors: p95 in the database over that in memory, {what}",
            pg.p95 / node.p95,
            2,
            at_least=False,
            detail=f"{pg.p95:.1f} over {node.p95:.1f} ms; p50 {pg.p50:.1f} over {node.p50:.1f} ms",
        ),
    ]


class Found:
    """Times in ms, and how many of the nearest were found."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.right = 0

    def add(self, milliseconds: float, right: int) -> None:
        self.times.append(milliseconds)
        self.right += right

    @property
    def recall(self) -> float:
        return self.right / (HITS * len(self.times))

    @property
    def p50(self) -> float:
        return percentile(self.times, 0.5)

    @property
    def p95(self) -> float:
        return percentile(self.times, 0.95)


def ask(database: Database, index: DenseIndex, query: Vectors, exact: set[int], model: str) -> tuple[float, int]:
    """Return the ms that candidates and their order take, and how many of the nearest are among the first."""
    began = time.perf_counter()
    found, _scores = index.search(query, CANDIDATES)
    ids, vectors = ChunkStore(database).vectors(found, model)
    ordered, _exact = rerank(query, ids, vectors)
    took = (time.perf_counter() - began) * 1000
    return took, len(exact & set(ordered[:HITS].tolist()))


def made(count: int, dimension: int, chunks: int, seed: int) -> Iterator[Vectors]:
    """Yield unit vectors around the same centres, at most PORTION at once, float32 (n, dimension)."""
    centres = np.random.default_rng(3).standard_normal((max(10, chunks // PER_CENTRE), dimension)).astype(np.float32)
    chance = np.random.default_rng(seed)
    for start in range(0, count, PORTION):
        size = min(PORTION, count - start)
        noise = chance.standard_normal((size, dimension)).astype(np.float32)
        vectors = centres[chance.integers(0, len(centres), size)] + NOISE * noise
        yield vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def fill(database: Database, chunks: int, model: str, dimension: int, asked: Vectors) -> list[set[int]]:
    """Store documents; return the ids of the nearest chunks of each query."""
    collection = add_collections(database, "bench")[0]
    best_ids = np.empty((len(asked), 0), np.int64)
    best = np.empty((len(asked), 0), np.float32)
    for vectors in made(chunks, dimension, chunks, seed=7):
        ids: list[int] = []
        with database.write() as connection:
            for start in range(0, len(vectors), PER_DOCUMENT):
                part = vectors[start : start + PER_DOCUMENT]
                ids += add_document(connection, part, collection, model=model).added.tolist()
        best = np.concatenate([best, asked @ vectors.T], axis=1)
        best_ids = np.concatenate([best_ids, np.broadcast_to(np.array(ids), (len(asked), len(ids)))], axis=1)
        order = np.argsort(-best, axis=1)[:, :HITS]
        best, best_ids = np.take_along_axis(best, order, 1), np.take_along_axis(best_ids, order, 1)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    return [set(row) for row in best_ids.tolist()]


def idle(data_dir: Path, url: str, where: str) -> tuple[int, float]:
    """Return the RSS of a server that is ready and asked nothing, in bytes, and the seconds until it was ready."""
    began = time.monotonic()
    with serving(data_dir, database_url=url, vector_search=where) as server:
        seconds = time.monotonic() - began
        time.sleep(SETTLE_SECONDS)
        return psutil.Process(server.process.pid).memory_info().rss, seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=CHUNKS)
    print(markdown(run(parser.parse_args().chunks)))
