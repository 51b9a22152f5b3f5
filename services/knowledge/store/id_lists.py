"""Chunks chosen by a list of ids that is one bound value: the statement stays the same, whatever the list's length.

A value for each id would have SQLAlchemy write the statement anew each time, which takes longer than finding the rows.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from services.core.database.sql import listed_numbers
from services.knowledge.store.tables import chunks

WANTED = chunks.c.id.op("IN")(listed_numbers(sa.bindparam("ids", type_=sa.Text)))


def id_list(ids: Iterable[int]) -> dict[str, str]:
    """Return the bound value of `WANTED`."""
    return {"ids": ",".join(map(str, ids))}
