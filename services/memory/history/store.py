"""The history on disk: an SQLite file of fixed size, whose rows are replaced in place.

`seconds` is a journal: the newest samples, one row each, all columns in one blob. `blocks` has the downsampled tiers:
a row for a column and a period, so that a window of some columns reads only these. The place of a row follows from its
number; a row left by an earlier lap has another number and is not read. `names` maps columns to ids, so that columns
can be added later. `facts` has the number of the present run and of the first row not in a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from services.core.database import Database
from services.core.errors import DamagedError, StorageError
from services.core.i18n import _
from services.memory.history.downsample import HOURS, Points, Tier
from services.memory.history.ring import Rows
from services.memory.types import COLUMNS

schema = sa.MetaData()
names = sa.Table(
    "names",
    schema,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
)
facts = sa.Table(
    "facts",
    schema,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Integer, nullable=False),
)
seconds = sa.Table(
    "seconds",
    schema,
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),  # float64 by column
)
blocks = sa.Table(
    "blocks",
    schema,
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),  # float32 (3, length): means, minima, maxima
)
_META = 0  # in place of a column: float64 (3, length): times, counts, runs
_MAX_NAMES, _MAX_BLOCKS = 1 << 12, 1 << 6
_COLUMN_QUERY = sa.select(blocks.c.number, blocks.c.data).where(
    blocks.c.place.between(sa.bindparam("low"), sa.bindparam("high")),
    blocks.c.number.between(sa.bindparam("first"), sa.bindparam("last")),
)


class HistoryStore:
    """Reads and writes the file. Every method raises StorageError on failure; writes are all or nothing."""

    def __init__(self, path: Path, capacity: int) -> None:
        """Open the file and begin a new run; `capacity` is the number of rows in the journal."""
        self._capacity = capacity
        # A power cut may lose the last seconds of the history, so NORMAL is enough: it saves a sync every ten seconds.
        self._database = Database(
            sa.URL.create("sqlite", database=str(path)),
            schema=schema,
            synchronous="NORMAL",
            cache_kb=512,
            connections=2,
            patience=1.0,
            checked=True,
        )
        with _storage_errors():
            self._database.create_tables()
            with self._database.write() as connection:
                self._ids = assign_names(connection)
                self.run = get_fact(connection, "run") + 1
                set_fact(connection, "run", self.run)
                self.merged = get_fact(connection, "merged")

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def rows(self) -> Rows:
        """Return the rows of the journal."""
        with _storage_errors(), self._database.read() as connection:
            return read_journal(connection, self._ids, self._capacity)

    def write(self, rows: Rows, merged: Sequence[tuple[Tier, Points]], merged_to: int) -> None:
        """Write `rows` to the journal and points to their blocks, all or nothing.

        `merged_to` is the number of the first row not in a block.
        """
        with _storage_errors(), self._database.write() as connection:
            write_journal(connection, rows, self._ids, self._capacity)
            for tier, points in merged:
                patch_blocks(connection, tier, points, self._ids)
            if merged:
                set_fact(connection, "merged", merged_to)

    def read(self, tier: Tier, start: float, end: float, pieces: Sequence[Sequence[int]]) -> Iterator[Points]:
        """Yield the points of a tier with `start <= time <= end`, one piece of the columns after the other.

        A piece has indexes into COLUMNS. All pieces are of the same state of the file, with the same points.
        """
        ids = [[self._ids[COLUMNS[column]] for column in piece] for piece in pieces]
        with _storage_errors(), self._database.read() as connection:
            connection.exec_driver_sql("BEGIN")
            yield from read_blocks(connection, tier, start, end, ids)

    def oldest(self, before: float) -> float | None:
        """Return the time of the oldest point within reach at `before`, None when there is none."""
        (points,) = self.read(HOURS, before - HOURS.reach, before, [()])
        return float(points.times[0]) if len(points) else None


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise StorageError(_("The memory history on disk could not be read or written.")) from error
    except ValueError as error:  # arrays of another length than they were written with
        raise DamagedError(_("The memory history on disk is damaged.")) from error


def write_journal(connection: Connection, rows: Rows, ids: Mapping[str, int], capacity: int) -> None:
    """Write rows in place of those `capacity` rows older."""
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


def read_journal(connection: Connection, ids: Mapping[str, int], capacity: int) -> Rows:
    """Return the newest `capacity` rows; a column missing in a row is NaN."""
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


def assign_names(connection: Connection) -> dict[str, int]:
    """Return the id of each column, from 1; new columns get the next one."""
    ids = {row.name: row.id for row in connection.execute(sa.select(names))}
    for column in COLUMNS:
        if column not in ids:
            ids[column] = max(ids.values(), default=0) + 1
            connection.execute(names.insert().values(id=ids[column], name=column))
    return ids


def get_fact(connection: Connection, name: str) -> int:
    """Return the number stored under a name, 0 when there is none."""
    return int(connection.scalar(sa.select(facts.c.value).where(facts.c.name == name)) or 0)


def set_fact(connection: Connection, name: str, value: int) -> None:
    """Store a number under a name."""
    connection.execute(facts.insert().prefix_with("OR REPLACE").values(name=name, value=value))


def patch_blocks(connection: Connection, tier: Tier, points: Points, ids: Mapping[str, int]) -> None:
    """Write points, with all columns, into their blocks."""
    steps = np.floor(points.times / tier.step).astype(np.int64)
    for number in np.unique(steps // tier.length).tolist():
        inside = steps // tier.length == number
        _patch_block(connection, tier, number, points.where(inside), ids)


def read_blocks(
    connection: Connection, tier: Tier, start: float, end: float, pieces: Sequence[Sequence[int]]
) -> Iterator[Points]:
    """Yield the points with `start <= time <= end`; a piece has the ids of its columns."""
    last = tier.block(end)
    numbers = range(max(tier.block(start), last - tier.kept + 1), last + 1)
    size = len(numbers) * tier.length
    meta = np.full((3, size), np.nan)
    _read_column(connection, tier, _META, numbers, meta)
    found = np.flatnonzero((meta[0] >= start) & (meta[0] <= end))
    whole = len(found) > 0 and found[-1] - found[0] + 1 == len(found)
    inside = slice(found[0], found[-1] + 1) if whole else found  # a slice copies nothing
    times, counts, runs = meta[:, inside]
    for piece in pieces:
        values = np.full((3, len(piece), size), np.nan, dtype=np.float32)
        for place, id_ in enumerate(piece):
            _read_column(connection, tier, id_, numbers, values[:, place])
        # Columns stay contiguous in memory, which makes merging faster.
        means, minima, maxima = (of_columns[:, inside].T for of_columns in values)
        yield Points(times, counts, runs.astype(np.int64), means, minima, maxima)


def _patch_block(connection: Connection, tier: Tier, number: int, points: Points, ids: Mapping[str, int]) -> None:
    offsets = np.floor(points.times / tier.step).astype(np.int64) % tier.length
    places = [_place(tier, id_, number) for id_ in (_META, *(ids[column] for column in COLUMNS))]
    query = sa.select(blocks.c.place, blocks.c.data).where(blocks.c.place.in_(places), blocks.c.number == number)
    stored = {row.place: row.data for row in connection.execute(query)}
    meta = _block(stored.get(places[0]), tier, np.float64)
    meta[:, offsets] = (points.times, points.counts, points.runs)
    changed = [{"place": places[0], "number": number, "data": meta.tobytes()}]
    for column, place in enumerate(places[1:]):
        fresh = (points.means[:, column], points.minima[:, column], points.maxima[:, column])
        if place not in stored and np.isnan(fresh[0]).all():
            continue  # a column without values takes no space
        block = _block(stored.get(place), tier, np.float32)
        block[:, offsets] = fresh
        changed.append({"place": place, "number": number, "data": block.tobytes()})
    connection.execute(blocks.insert().prefix_with("OR REPLACE"), changed)


def _place(tier: Tier, id_: int, number: int) -> int:
    return (tier.id * _MAX_NAMES + id_) * _MAX_BLOCKS + number % tier.kept


def _block(stored: bytes | None, tier: Tier, kind: type[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    if stored is None:
        return np.full((3, tier.length), np.nan, dtype=kind)
    return np.frombuffer(stored, dtype=kind).reshape(3, tier.length).copy()


def _read_column(connection: Connection, tier: Tier, id_: int, numbers: range, into: NDArray[np.floating[Any]]) -> None:
    """Fill `into` (3, blocks x length) with the stored values of a column."""
    lowest = _place(tier, id_, 0)
    which = {"low": lowest, "high": lowest + tier.kept - 1, "first": numbers[0], "last": numbers[-1]}
    for number, data in connection.execute(_COLUMN_QUERY, which):
        begin = (number - numbers[0]) * tier.length
        into[:, begin : begin + tier.length] = np.frombuffer(data, dtype=into.dtype).reshape(3, tier.length)
