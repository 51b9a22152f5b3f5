"""Chunks chosen by a list of ids that is one bound value: the statement stays the same, whatever the list's length.

A value for each id would have SQLAlchemy write the statement anew each time, which takes longer than finding the rows.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from services.knowledge.store.tables import chunks

# https://www.sqlite.org/json1.html#jeach
WANTED = chunks.c.id.in_(sa.select(sa.func.json_each(sa.bindparam("ids", type_=sa.Text)).table_valued("value").c.value))


def id_list(ids: Iterable[int]) -> dict[str, str]:
    """Return the bound value of `WANTED`."""
    return {"ids": f"[{','.join(map(str, ids))}]"}
