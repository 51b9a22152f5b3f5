"""Which chunks are in some collections, for postings of the lexical index, which knows nothing of collections.

Of few chunks the ids are read, and postings are compared with them: that takes no look at chunks that lie elsewhere,
however many there are. Of many chunks the candidates are looked up, best first, until there are enough.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.core.database.sql import joined
from services.knowledge.store.chunks import IDS_PER_QUERY, Ids
from services.knowledge.store.lexical_index import lexical_index
from services.knowledge.store.lexical_protocol import ids_of
from services.knowledge.store.tables import chunks, documents

# Up to so many chunks are few: reading their ids takes about 3 ms.
FEW_CHUNKS = 10_000
# Postings that are read for one term at most: about 10 ms.
MOST_POSTINGS = 40_000


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
        .subquery()
    )
    found = ids_of(connection.scalar(sa.select(joined(query.c.id))))
    return None if len(found) > FEW_CHUNKS else np.sort(found)


def postings(connection: Connection, term: str, ids: Ids, most: int = MOST_POSTINGS) -> Ids:
    """Return the positions in `ids`, ascending, of chunks that have a term; the first `most` are read."""
    if not len(ids):
        return ids
    found = lexical_index(connection).postings(connection, term, int(ids[0]), int(ids[-1]), most)
    places: Ids = np.searchsorted(ids, found)  # none lies beyond the last
    matching: Ids = places[ids[places] == found]
    return matching


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


def is_present(connection: Connection, term: str, groups: Collection[int]) -> bool:
    """Return whether a searchable chunk of some collections has a term."""
    ids = few_ids(connection, groups)
    if ids is not None:
        return any(len(np.intersect1d(batch, ids)) for batch in _batches(connection, term, ids))
    return any(first_within(connection, batch.tolist(), groups, 1) for batch in _batches(connection, term, None))


def _batches(connection: Connection, term: str, ids: Ids | None) -> Iterator[Ids]:
    """Yield all chunks that have a term, ascending, a batch at a time; between the first and the last of `ids`."""
    if ids is not None and not len(ids):
        return
    first, last = (0, 2**62) if ids is None else (int(ids[0]), int(ids[-1]))
    size = IDS_PER_QUERY
    while len(batch := lexical_index(connection).postings(connection, term, first, last, size)):
        yield batch
        first, size = int(batch[-1]) + 1, min(2 * size, MOST_POSTINGS)
