"""The journal: the newest samples, one row each, replaced in the order of their numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.memory.ring import Rows
from services.memory.store.tables import seconds
from services.memory.types import COLUMNS


def write(connection: Connection, rows: Rows, ids: Mapping[str, int], capacity: int) -> None:
    """Put rows in the place of those that are `capacity` older."""
    if not len(rows):
        return
    columns = [ids[column] for column in COLUMNS]
    data = np.full((len(rows), max(columns) + 1), np.nan)
    data[:, columns] = rows.values
    written = zip(rows.numbers.tolist(), rows.times.tolist(), rows.runs.tolist(), data, strict=True)
    values = [
        {"place": number % capacity, "number": number, "time": time, "run": run, "data": row.tobytes()}
        for number, time, run, row in written
    ]
    connection.execute(seconds.insert().prefix_with("OR REPLACE"), values)


def read(connection: Connection, ids: Mapping[str, int], capacity: int) -> Rows:
    """Return the newest `capacity` rows; a column that a row does not have is NaN."""
    found = connection.execute(sa.select(seconds).order_by(seconds.c.number)).all()
    newest = found[-1].number if found else 0
    found = [row for row in found if row.number > newest - capacity]
    values = np.full((len(found), len(COLUMNS)), np.nan)
    columns = np.array([ids[column] for column in COLUMNS])
    for place, row in enumerate(found):
        stored = np.frombuffer(row.data)
        known = columns < len(stored)
        values[place, known] = stored[columns[known]]
    return Rows(
        np.array([row.number for row in found], dtype=np.int64),
        np.array([row.time for row in found], dtype=np.float64),
        np.array([row.run for row in found], dtype=np.int64),
        values,
    )
