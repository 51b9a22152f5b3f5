"""Windows of the history as CSV, piece by piece: the text of a long window is never in RAM as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime

from services.memory.types import Window

_LINES = 200


def csv_lines(window: Window, *, extremes: bool = False) -> Iterator[str]:
    """Yield CSV (RFC 4180), some hundred lines at a time: UTC time, seconds since the epoch, run, then the means by
    column, with `extremes` also minima and maxima; a field is empty where nothing is known."""
    header = ["moment", "time", "run", *window.means]
    values = list(window.means.values())
    if extremes:
        header += [f"{column}.min" for column in window.minima] + [f"{column}.max" for column in window.maxima]
        values += [*window.minima.values(), *window.maxima.values()]
    yield ",".join(header) + "\r\n"
    for start in range(0, len(window), _LINES):
        part = slice(start, start + _LINES)
        parts = (window.times, window.runs, *values)
        rows = zip(*(of[part].tolist() for of in parts), strict=True)
        yield "".join(
            f"{_moment(time)},{time:.3f},{run},{','.join(map(_field, fields))}\r\n" for time, run, *fields in rows
        )


def _moment(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")


def _field(value: float) -> str:
    return repr(value) if math.isfinite(value) else ""
