"""Which chunks are in some collections, for postings of the lexical index, which knows nothing of collections.

Of few chunks the ids are read, and postings are compared with them: that takes no look at chunks that lie elsewhere,
however many there are. Of many chunks the candidates are looked up, best first, until there are enough.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.knowledge.store.chunks import IDS_PER_QUERY, Ids
from services.knowledge.store.tables import chunks, documents

# Up to so many chunks are few: reading their ids takes about 4 ms.
FEW_CHUNKS = 10_000
# Postings that are read for one term at most: about 15 ms.
MOST_POSTINGS = 40_000
_BATCH = 2000
# Raw SQL: SQLAlchemy would cost more than reading the rows.
_POSTINGS = "SELECT rowid FROM chunk_terms WHERE chunk_terms MATCH ? AND rowid BETWEEN ? AND ?"


def allowed(groups: Collection[int] | None) -> sa.ColumnElement[bool]:
    """Return the condition on `documents` for a searchable chunk of the given groups."""
    enabled: sa.ColumnElement[bool] = documents.c.enabled == sa.true()
    return enabled if groups is None else sa.and_(enabled, documents.c.collection_id.in_(sorted(groups)))


def few_ids(connection: Connection, groups: Collection[int]) -> Ids | None:
    """Return the ids of all searchable chunks of some collections, ascending, int64 (n,); None where they are many."""
    query = (
        sa.select(chunks.c.id)
        .select_from(documents)
        .join(chunks, chunks.c.revision_id == documents.c.active_revision_id)
        .where(allowed(groups))
        .limit(FEW_CHUNKS + 1)
    )
    found = np.fromiter(connection.execute(query).scalars(), dtype=np.int64)
    return None if len(found) > FEW_CHUNKS else np.sort(found)


def postings(connection: Connection, query: str, ids: Ids, most: int = MOST_POSTINGS) -> Iterator[Ids]:
    """Yield the positions in `ids` of chunks that match an FTS5 query, some at a time; `most` rows are read."""
    if not len(ids):
        return
    rows = _rows(connection, query, (int(ids[0]), int(ids[-1])))
    for _start in range(0, most, _BATCH):
        batch = np.fromiter(islice(rows, _BATCH), dtype=np.int64)
        places = np.searchsorted(ids, batch)  # none lies beyond the last
        yield places[ids[places] == batch]
        if len(batch) < _BATCH:
            return


def first_within(connection: Connection, ids: Sequence[int], groups: Collection[int] | None, most: int) -> list[int]:
    """Return the first `most` of `ids` that are searchable chunks of the given groups, in their order."""
    kept: list[int] = []
    condition = allowed(groups)
    for start in range(0, len(ids), IDS_PER_QUERY):
        part = ids[start : start + IDS_PER_QUERY]
        query = (
            sa.select(chunks.c.id)
            .join(documents, documents.c.active_revision_id == chunks.c.revision_id)
            .where(chunks.c.id.in_(part), condition)
        )
        found = set(connection.execute(query).scalars())
        kept += [chunk for chunk in part if chunk in found]
        if len(kept) >= most:
            break
    return kept[:most]


def is_present(connection: Connection, query: str, groups: Collection[int]) -> bool:
    """Return whether a searchable chunk of some collections matches an FTS5 query."""
    ids = few_ids(connection, groups)
    if ids is not None:
        return any(len(found) for found in postings(connection, query, ids, 2**62))
    rows = _rows(connection, query, (0, 2**62))
    while batch := list(islice(rows, IDS_PER_QUERY)):
        if first_within(connection, batch, groups, 1):
            return True
    return False


def _rows(connection: Connection, query: str, bounds: tuple[int, int]) -> Iterator[int]:
    cursor: Any = connection.connection.cursor()
    try:
        for (row,) in cursor.execute(_POSTINGS, (query, *bounds)):
            yield row
    finally:
        cursor.close()
