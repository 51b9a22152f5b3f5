"""The table in which PostgreSQL searches the vectors of one model, by pgvector: halves of 16 bits, with an HNSW index.

It is derived from `chunks`: a row is written with the chunk's revision in one transaction, and goes with the chunk.
What is searched is said by the rows of the documents, so that rights, collections and disabled documents are
conditions, and nothing is written when they change. https://github.com/pgvector/pgvector#hnsw
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from services.core.database import Database
from services.core.errors import BadInputError, DatabaseAwayError, MillpondError, StorageError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.knowledge.store.chunks import Ids, Vectors, read_vectors
from services.knowledge.store.pgvector import MOST_DIMENSIONS

log = structlog.get_logger(__name__)

PREFIX = "chunk_search_"
PORTION_CHUNKS = 500  # that are written in one transaction
EF_MOST = 1000  # candidates that HNSW keeps while it searches, of pgvector
# Memory of the server for building the index: it takes several times as long where the graph does not fit.
_LINK_BYTES = 400  # of a vector in the graph
_BUILD_LEAST_MB, _BUILD_MOST_MB = 64, 1024
_DECIMALS = 6  # of a half, whose steps are larger
_LOCK_SECONDS = 3
_LOCK = "SELECT pg_advisory_xact_lock(1836674163, hashtext(current_schema() || %s))"
_PROGRESS = (
    "SELECT tuples_done, tuples_total FROM pg_stat_progress_create_index"
    " WHERE relid = CAST(CAST(:name AS regclass) AS oid)"
)
_COUNTS = sa.text(
    "SELECT collection_id, sum(chunks) FROM documents JOIN revisions ON revisions.id = active_revision_id"
    " WHERE enabled AND fingerprint = :model GROUP BY collection_id"
)
Progress = Callable[[int, int], object]
"""Called with how much is done, and of how much."""


class SearchTable:
    """The table of a model by its fingerprint. Thread-safe. `extension` is the schema of pgvector's types, quoted."""

    def __init__(self, database: Database, extension: str, fingerprint: str, dimension: int) -> None:
        if dimension > MOST_DIMENSIONS:
            raise BadInputError(
                _("pgvector indexes at most {most} dimensions, the embedding model has {count}.").format(
                    most=MOST_DIMENSIONS, count=dimension
                ),
                _("Set MILLPOND_VECTOR_SEARCH to node, or choose a smaller model."),
            )
        self.fingerprint = fingerprint
        self.dimension = dimension
        self.name = table_name(fingerprint)
        self._database = database
        self._extension = extension
        self._type = f"{extension}.halfvec({dimension})"
        self._hnsw = f"ix_{self.name}_hnsw"
        # Names are made of a hash, the rest of numbers and of the extension's schema: nothing of it comes from a user.
        self._insert = sa.text(
            f"INSERT INTO {self.name} (chunk_id, revision_id, vector)"  # noqa: S608 - as above
            f" SELECT chunks.id, chunks.revision_id, CAST(given.vector AS {self._type})"
            " FROM unnest(CAST(:ids AS bigint[]), CAST(:vectors AS text[])) AS given (id, vector)"
            " JOIN chunks ON chunks.id = given.id ON CONFLICT DO NOTHING"
        )

    @contextmanager
    def prepared_alone(self) -> Iterator[None]:
        """Keep other nodes waiting that would prepare the table at the same time."""
        with self._database.aside() as connection:
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            connection.exec_driver_sql(_LOCK, (self.name,))
            yield

    def create(self) -> None:
        """Make the table, without the index of its vectors, if it is not there."""
        with self._database.aside() as connection:
            if connection.exec_driver_sql("SELECT to_regclass(%s)", (self.name,)).scalar() is not None:
                return
            connection.exec_driver_sql(
                f"CREATE TABLE {self.name} (chunk_id bigint PRIMARY KEY REFERENCES chunks (id) ON DELETE CASCADE,"
                f" revision_id bigint NOT NULL, vector {self._type} NOT NULL)"
            )
            # Beside the row a long vector would be read from another table, each time it is compared.
            connection.exec_driver_sql(f"ALTER TABLE {self.name} ALTER COLUMN vector SET STORAGE PLAIN")
            connection.exec_driver_sql(f"CREATE INDEX ix_{self.name}_revision ON {self.name} (revision_id)")

    def missing(self) -> dict[int, int]:
        """Return the active revisions of the model of which rows are missing: how many, by id."""
        query = sa.text(
            "SELECT active_revision_id, stored.rows - coalesce(present.rows, 0) FROM documents"  # noqa: S608 - a name of ours
            " JOIN revisions ON revisions.id = active_revision_id"
            " JOIN (SELECT revision_id, count(*) AS rows FROM chunks GROUP BY revision_id) AS stored"
            " ON stored.revision_id = active_revision_id"
            f" LEFT JOIN (SELECT revision_id, count(*) AS rows FROM {self.name} GROUP BY revision_id) AS present"
            " ON present.revision_id = active_revision_id"
            " WHERE fingerprint = :model AND stored.rows > coalesce(present.rows, 0) ORDER BY active_revision_id"
        )
        with self._database.read() as connection:
            return {int(row[0]): int(row[1]) for row in connection.execute(query, {"model": self.fingerprint})}

    def fill(self, missing: dict[int, int], progress: Progress) -> None:
        """Write the rows that `missing` returned; what is written stays where this is interrupted."""
        query = sa.text(
            "SELECT id FROM chunks WHERE revision_id = :revision"  # noqa: S608 - a name of ours
            f" AND NOT EXISTS (SELECT 1 FROM {self.name} WHERE chunk_id = chunks.id) ORDER BY id"
        )
        done, total = 0, sum(missing.values())
        waiting: list[int] = []
        for revision in missing:
            with self._database.read() as connection:
                waiting.extend(connection.execute(query, {"revision": revision}).scalars())
            while len(waiting) >= PORTION_CHUNKS:
                done += self._write(waiting[:PORTION_CHUNKS])
                del waiting[:PORTION_CHUNKS]
                progress(done, total)
        self._write(waiting)
        progress(total, total)

    def fill_chunks(self, ids: Ids) -> None:
        """Write the rows of chunks, which have vectors of the model already, and belong to any revision."""
        with self._database.read() as connection:
            found = connection.exec_driver_sql(f"SELECT chunk_id FROM {self.name}")  # noqa: S608 - a name of ours
            there = np.fromiter(found.scalars(), dtype=np.int64)
        wanted = np.setdiff1d(ids, there, assume_unique=True)
        for start in range(0, len(wanted), PORTION_CHUNKS):
            self._write(wanted[start : start + PORTION_CHUNKS].tolist())

    def _write(self, ids: Sequence[int]) -> int:
        if ids:
            with self._database.write() as connection:
                self.add(connection, np.array(ids, np.int64))
        return len(ids)

    def add(self, connection: Connection, ids: Ids) -> None:
        """Write the rows of chunks as a part of a transaction; those that are there already stay as they are."""
        for start in range(0, len(ids), PORTION_CHUNKS):
            found, vectors = read_vectors(connection, ids[start : start + PORTION_CHUNKS], self.fingerprint)
            if len(found):
                texts = [_text(vector) for vector in vectors]
                connection.execute(self._insert, {"ids": found.tolist(), "vectors": texts})

    @property
    def is_indexed(self) -> bool:
        """Whether the index of its vectors is there."""
        query = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
        with self._database.read() as connection:
            return bool(connection.exec_driver_sql(query, (self._hnsw,)).scalar())

    def rows(self) -> int:
        """Return how many rows there are."""
        with self._database.read() as connection:
            return int(connection.exec_driver_sql(f"SELECT count(*) FROM {self.name}").scalar() or 0)  # noqa: S608 - a name of ours

    def drop_index(self) -> None:
        """Drop the index of the vectors: building it anew is faster than many rows one by one."""
        with self._database.aside() as connection:
            connection.exec_driver_sql(f"DROP INDEX IF EXISTS {self._hnsw}")

    def build_index(self, progress: Progress) -> None:
        """Build the index of the vectors, in as many processes and as much memory as the server has for it.

        Raises:
            StorageError: the server's disk is full; the rows are kept.
        """
        rows = self.rows()
        needed = rows * (2 * self.dimension + _LINK_BYTES) // MEGABYTE
        memory = min(max(needed, _BUILD_LEAST_MB), _BUILD_MOST_MB)
        failed: list[BaseException] = []

        def build() -> None:
            try:
                try:
                    self._build_index(memory)
                except StorageError as error:
                    # Several processes share memory that containers have little of.
                    log.warning("index of vectors not built by several processes", reason=error.message)
                    self._build_index(memory, "SET LOCAL max_parallel_maintenance_workers = 0;")
            except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for the thread
                failed.append(error)

        thread = threading.Thread(target=build, name="vector-index-build")
        thread.start()
        while thread.is_alive():
            thread.join(1.0)
            if thread.is_alive():
                progress(*self._how_far(rows))
        if failed:
            raise failed[0]

    def _build_index(self, memory_mb: int, more: str = "") -> None:
        with self._database.aside() as connection:
            connection.exec_driver_sql(
                # What is built for a process that has ended meanwhile is given up.
                "SET LOCAL client_connection_check_interval = 2000; SELECT set_config('maintenance_work_mem',"
                f" greatest(pg_size_bytes(current_setting('maintenance_work_mem')) / 1024, {1024 * memory_mb})::text,"
                f" true); {more}"
            )
            connection.exec_driver_sql(_LOCK, (self._hnsw,))
            connection.exec_driver_sql(
                f"CREATE INDEX IF NOT EXISTS {self._hnsw} ON {self.name}"
                f" USING hnsw (vector {self._extension}.halfvec_ip_ops)"
            )
            connection.exec_driver_sql(f"ANALYZE {self.name}")

    def _how_far(self, rows: int) -> tuple[int, int]:
        try:
            with self._database.read() as connection:
                row = connection.execute(sa.text(_PROGRESS), {"name": self.name}).first()
        except MillpondError:
            return 0, rows
        return (int(row[0] or 0), int(row[1] or rows)) if row is not None else (0, rows)

    def drop(self) -> None:
        """Drop the table, unless somebody reads chunks for long: then a start does it later."""
        drop_table(self._database, self.name)

    def counts(self) -> dict[int, int]:
        """Return how many chunks can be found, by collection."""
        with self._database.read() as connection:
            return {int(row[0]): int(row[1] or 0) for row in connection.execute(_COUNTS, {"model": self.fingerprint})}

    def search(
        self, vector: Vectors, k: int, groups: Collection[int] | None, *, candidates: int
    ) -> tuple[Ids, Vectors]:
        """Return (ids, scores), best first, at most k.

        The index is asked, with so many candidates at a time, until it has found k that may be found, or given up; with
        0 candidates all vectors in question are compared.
        """
        exact = not candidates
        product = f"stored.vector OPERATOR({self._extension}.<#>) CAST(:vector AS {self._type})"
        wanted = "" if groups is None else " AND collection_id = ANY(CAST(:groups AS bigint[]))"
        order = f"({product}) + 0" if exact else product  # an expression that the index does not have
        query = sa.text(
            f"SELECT chunk_id, {product} FROM {self.name} AS stored"  # noqa: S608 - made of numbers and names of ours
            f" JOIN documents ON active_revision_id = stored.revision_id WHERE enabled{wanted}"
            f" ORDER BY {order} LIMIT {int(k)}"
        )
        values: dict[str, Any] = {"vector": _text(vector)}
        if groups is not None:
            values["groups"] = sorted(groups)
        with self._database.read() as connection:
            connection.exec_driver_sql("SET LOCAL jit = off" if exact else _settings(candidates))
            rows = connection.execute(query, values).all()
            connection.exec_driver_sql("SET LOCAL enable_sort TO DEFAULT")  # others may read in this transaction
        ids = np.fromiter((row[0] for row in rows), dtype=np.int64, count=len(rows))
        scores = np.fromiter((-row[1] for row in rows), dtype=np.float32, count=len(rows))
        best = np.lexsort((ids, -scores))
        return ids[best], np.clip(scores[best], -1.0, 1.0)


def table_name(fingerprint: str) -> str:
    """Return the name of the table of a model."""
    return PREFIX + hashlib.sha256(fingerprint.encode()).hexdigest()[:16]


def drop_others(database: Database, kept: Collection[str]) -> None:
    """Drop the tables of models but those with these fingerprints."""
    names = {table_name(fingerprint) for fingerprint in kept}
    query = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND starts_with(tablename, %s)"
    with database.read() as connection:
        found = set(connection.exec_driver_sql(query, (PREFIX,)).scalars())
    for name in sorted(found - names):
        drop_table(database, name)


def drop_table(database: Database, name: str) -> None:
    """Drop a table of vectors, unless somebody reads chunks for long: it refers to them, so both are locked."""
    try:
        with database.aside() as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {1000 * _LOCK_SECONDS}")
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")
    except DatabaseAwayError as error:
        log.warning("table of vectors not dropped; the next start does it", table=name, reason=error.message)


def _settings(candidates: int) -> str:
    # Without a sort the planner has the index alone to order by, whatever it takes the conditions to leave.
    return (
        f"SET LOCAL hnsw.ef_search = {min(candidates, EF_MOST)}; SET LOCAL hnsw.iterative_scan = relaxed_order;"
        "SET LOCAL hnsw.scan_mem_multiplier = 4; SET LOCAL enable_sort = off; SET LOCAL jit = off;"
        "SET LOCAL plan_cache_mode = force_custom_plan"
    )


def _text(vector: Vectors) -> str:
    return json.dumps(np.round(vector.astype(np.float64), _DECIMALS).tolist())
