"""The history on disk: a file of fixed size, whose rows are replaced in place.

Three tables of numbers. `seconds` is a journal: the newest samples, one row each, all columns in one blob. `blocks` has
the merged tiers: one row for a column and a stretch of time, so that a window of some columns reads only these. A row's
place follows from its time; what a former lap left there bears another `number` and is not read. `names` says which
column is which, so that columns can be added later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from services.database import Database
from services.errors import StorageError
from services.memory.points import Points
from services.memory.ring import Rows
from services.memory.types import COLUMNS
from services.texts import _

_schema = sa.MetaData()

_names = sa.Table(
    "names",
    _schema,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
)
_facts = sa.Table(
    "facts",
    _schema,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Integer, nullable=False),
)
_seconds = sa.Table(
    "seconds",
    _schema,
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),  # float64 by column
)
_blocks = sa.Table(
    "blocks",
    _schema,
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),  # float32 (3, length): means, minima, maxima
)
_COLUMN_QUERY = sa.select(_blocks.c.number, _blocks.c.data).where(
    _blocks.c.place.between(sa.bindparam("low"), sa.bindparam("high")),
    _blocks.c.number.between(sa.bindparam("first"), sa.bindparam("last")),
)
_META = 0  # in place of a column: float64 (3, length): times, counts, runs
_MOST_NAMES, _MOST_BLOCKS = 1 << 12, 1 << 6


@dataclass(frozen=True, slots=True)
class Tier:
    """A pace of the merged history: `step` seconds between points, `length` points in a block, `kept` blocks."""

    id: int
    step: float
    length: int
    kept: int

    @property
    def reach(self) -> float:
        """How far back it goes for certain, in seconds: the newest block has only begun."""
        return self.step * self.length * (self.kept - 1)


MINUTES = Tier(1, 60.0, 1440, 15)  # blocks of a day, 14 days
HOURS = Tier(2, 3600.0, 720, 14)  # blocks of 30 days, 390 days


class HistoryStore:
    """Reads and writes the file. Every method raises a MillpondError when that cannot be done; nothing is half done."""

    def __init__(self, path: Path, capacity: int) -> None:
        """Open the file and begin a new run; `capacity` is how many seconds the journal keeps."""
        self._capacity = capacity
        # A power cut may cost the last seconds of a curve, so NORMAL is enough: it spares a sync every ten seconds.
        self._database = Database(
            sa.URL.create("sqlite", database=str(path)),
            schema=_schema,
            synchronous="NORMAL",
            patience=1.0,
            cache_kb=512,
            connections=2,
        )
        with self._trouble():
            self._database.create_tables()
            with self._database.write() as connection:
                self._ids = _assign(connection)
                self.run = _fact(connection, "run") + 1
                _set_fact(connection, "run", self.run)
                self.merged = _fact(connection, "merged")

    def close(self) -> None:
        self._database.close()

    def rows(self) -> Rows:
        """Return the journal."""
        with self._trouble(), self._database.read() as connection:
            found = connection.execute(sa.select(_seconds).order_by(_seconds.c.number)).all()
        newest = found[-1].number if found else 0
        found = [row for row in found if row.number > newest - self._capacity]
        values = np.full((len(found), len(COLUMNS)), np.nan)
        ids = np.array([self._ids[column] for column in COLUMNS])
        for place, row in enumerate(found):
            stored = np.frombuffer(row.data)
            known = ids < len(stored)
            values[place, known] = stored[ids[known]]
        return Rows(
            np.array([row.number for row in found], dtype=np.int64),
            np.array([row.time for row in found], dtype=np.float64),
            np.array([row.run for row in found], dtype=np.int64),
            values,
        )

    def write(self, rows: Rows, merged: Sequence[tuple[Tier, Points]], merged_to: int) -> None:
        """Put `rows` into the journal and points into their blocks, all or nothing.

        `merged_to` is the number of the first row that is in no block yet.
        """
        ids = [self._ids[column] for column in COLUMNS]
        data = np.full((len(rows), max(ids) + 1), np.nan)
        data[:, ids] = rows.values
        values = [
            {"place": number % self._capacity, "number": number, "time": time, "run": run, "data": row.tobytes()}
            for number, time, run, row in zip(
                rows.numbers.tolist(), rows.times.tolist(), rows.runs.tolist(), data, strict=True
            )
        ]
        with self._trouble(), self._database.write() as connection:
            if values:
                connection.execute(_seconds.insert().prefix_with("OR REPLACE"), values)
            for tier, points in merged:
                self._patch(connection, tier, points)
            if merged:
                _set_fact(connection, "merged", merged_to)

    def read(self, tier: Tier, start: float, end: float, pieces: Sequence[Sequence[int]]) -> Iterator[Points]:
        """Yield the points of a tier with `start <= time <= end`, one piece of the columns after the other.

        A piece holds places in COLUMNS. All pieces are of one state of the file: the same points in each.
        """
        last = _block(tier, end)
        blocks = range(max(_block(tier, start), last - tier.kept + 1), last + 1)
        size = len(blocks) * tier.length
        meta = np.full((3, size), np.nan)
        with self._trouble(), self._database.read() as connection:
            connection.exec_driver_sql("BEGIN")
            _read_column(connection, tier, _META, blocks, meta)
            found = np.flatnonzero((meta[0] >= start) & (meta[0] <= end))
            whole = len(found) > 0 and found[-1] - found[0] + 1 == len(found)
            inside = slice(found[0], found[-1] + 1) if whole else found  # a slice copies nothing
            times, counts, runs = meta[:, inside]
            for piece in pieces:
                values = np.full((3, len(piece), size), np.nan, dtype=np.float32)
                for place, column in enumerate(piece):
                    _read_column(connection, tier, self._ids[COLUMNS[column]], blocks, values[:, place])
                # Columns stay one after the other in memory: merging is faster that way.
                means, minima, maxima = (of_columns[:, inside].T for of_columns in values)
                yield Points(times, counts, runs.astype(np.int64), means, minima, maxima)

    def oldest(self, before: float) -> float | None:
        """Return the time of the oldest point that still counts at `before`, None when there is none."""
        (points,) = self.read(HOURS, before - HOURS.reach, before, [()])
        return float(points.times[0]) if len(points) else None

    def _patch(self, connection: Connection, tier: Tier, points: Points) -> None:
        steps = np.floor(points.times / tier.step).astype(np.int64)
        for number in np.unique(steps // tier.length).tolist():
            inside = steps // tier.length == number
            part, offsets = points.where(inside), steps[inside] % tier.length
            ids = [_META, *(self._ids[column] for column in COLUMNS)]
            places = [_place(tier, id_, number) for id_ in ids]
            query = sa.select(_blocks.c.place, _blocks.c.data).where(
                _blocks.c.place.in_(places), _blocks.c.number == number
            )
            stored = {row.place: row.data for row in connection.execute(query)}
            changed = []
            for index, place in enumerate(places):
                if index == 0:
                    block = _block_data(stored.get(place), tier, np.float64)
                    block[:, offsets] = (part.times, part.counts, part.runs)
                else:
                    column = index - 1
                    fresh = (part.means[:, column], part.minima[:, column], part.maxima[:, column])
                    if place not in stored and np.isnan(fresh[0]).all():
                        continue  # a column that this system does not know takes no space
                    block = _block_data(stored.get(place), tier, np.float32)
                    block[:, offsets] = fresh
                changed.append({"place": place, "number": number, "data": block.tobytes()})
            connection.execute(_blocks.insert().prefix_with("OR REPLACE"), changed)

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise StorageError(_("The memory history on disk could not be read or written.")) from error


def _assign(connection: Connection) -> dict[str, int]:
    """Return the id of each column; new ones get the next."""
    ids = {row.name: row.id for row in connection.execute(sa.select(_names))}
    for column in COLUMNS:
        if column not in ids:
            ids[column] = max(ids.values(), default=_META) + 1
            connection.execute(_names.insert().values(id=ids[column], name=column))
    return ids


def _fact(connection: Connection, name: str) -> int:
    return int(connection.scalar(sa.select(_facts.c.value).where(_facts.c.name == name)) or 0)


def _set_fact(connection: Connection, name: str, value: int) -> None:
    connection.execute(_facts.insert().prefix_with("OR REPLACE").values(name=name, value=value))


def _block(tier: Tier, time: float) -> int:
    return int(time // (tier.step * tier.length))


def _place(tier: Tier, id_: int, number: int) -> int:
    return (tier.id * _MOST_NAMES + id_) * _MOST_BLOCKS + number % tier.kept


def _block_data(stored: bytes | None, tier: Tier, kind: type[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    if stored is None:
        return np.full((3, tier.length), np.nan, dtype=kind)
    return np.frombuffer(stored, dtype=kind).reshape(3, tier.length).copy()


def _read_column(connection: Connection, tier: Tier, id_: int, blocks: range, into: NDArray[np.floating[Any]]) -> None:
    """Fill `into` (3, blocks x length) with what is stored for a column."""
    lowest = _place(tier, id_, 0)
    which = {"low": lowest, "high": lowest + tier.kept - 1, "first": blocks[0], "last": blocks[-1]}
    for number, data in connection.execute(_COLUMN_QUERY, which):
        begin = (number - blocks[0]) * tier.length
        into[:, begin : begin + tier.length] = np.frombuffer(data, dtype=into.dtype).reshape(3, tier.length)
