"""Blocks of the merged tiers: columns of points, patched and read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from services.memory.points import Points
from services.memory.store.tables import blocks
from services.memory.tiers import Tier
from services.memory.types import COLUMNS

_META = 0  # in place of a column: float64 (3, length): times, counts, runs
_MOST_NAMES, _MOST_BLOCKS = 1 << 12, 1 << 6
_COLUMN_QUERY = sa.select(blocks.c.number, blocks.c.data).where(
    blocks.c.place.between(sa.bindparam("low"), sa.bindparam("high")),
    blocks.c.number.between(sa.bindparam("first"), sa.bindparam("last")),
)


def patch(connection: Connection, tier: Tier, points: Points, ids: Mapping[str, int]) -> None:
    """Put points, all columns of each, into the blocks that they belong to."""
    steps = np.floor(points.times / tier.step).astype(np.int64)
    for number in np.unique(steps // tier.length).tolist():
        inside = steps // tier.length == number
        _patch_block(connection, tier, number, points.where(inside), ids)


def read(
    connection: Connection, tier: Tier, start: float, end: float, pieces: Sequence[Sequence[int]]
) -> Iterator[Points]:
    """Yield the points with `start <= time <= end`; a piece holds the ids of its columns."""
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
        # Columns stay one after the other in memory: merging is faster that way.
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
            continue  # a column that this system does not know takes no space
        block = _block(stored.get(place), tier, np.float32)
        block[:, offsets] = fresh
        changed.append({"place": place, "number": number, "data": block.tobytes()})
    connection.execute(blocks.insert().prefix_with("OR REPLACE"), changed)


def _place(tier: Tier, id_: int, number: int) -> int:
    return (tier.id * _MOST_NAMES + id_) * _MOST_BLOCKS + number % tier.kept


def _block(stored: bytes | None, tier: Tier, kind: type[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    if stored is None:
        return np.full((3, tier.length), np.nan, dtype=kind)
    return np.frombuffer(stored, dtype=kind).reshape(3, tier.length).copy()


def _read_column(connection: Connection, tier: Tier, id_: int, numbers: range, into: NDArray[np.floating[Any]]) -> None:
    """Fill `into` (3, blocks x length) with what is stored for a column."""
    lowest = _place(tier, id_, 0)
    which = {"low": lowest, "high": lowest + tier.kept - 1, "first": numbers[0], "last": numbers[-1]}
    for number, data in connection.execute(_COLUMN_QUERY, which):
        begin = (number - numbers[0]) * tier.length
        into[:, begin : begin + tier.length] = np.frombuffer(data, dtype=into.dtype).reshape(3, tier.length)
