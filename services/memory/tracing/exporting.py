"""Comparisons as files: CSV for a spreadsheet, JSON for programs."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from typing import Any

from services.memory.tracing.source import short
from services.memory.tracing.types import Comparison, Place, Row

COLUMNS = ("change", "where", "bytes", "bytes_diff", "blocks", "blocks_diff", "source", "traceback")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def said(place: Place) -> str:
    """Return a place as a person says it: short path and line."""
    return f"{short(place.file)}:{place.line}" if place.line else short(place.file)


def as_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the rows as plain values, most recent call last."""
    return [_values(row) for row in comparison.rows]


def as_csv(comparison: Comparison) -> str:
    """Return the rows with a heading. Text that a spreadsheet would take for a formula gets a mark in front."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for row in comparison.rows:
        values = _values(row)
        values["traceback"] = " > ".join(values["traceback"])
        writer.writerow({name: _inert(value) for name, value in values.items()})
    return file.getvalue()


def as_json(comparison: Comparison) -> str:
    """Return everything that is known of the comparison."""
    value = {
        "new": asdict(comparison.new),
        "old": asdict(comparison.old) if comparison.old else None,
        "by": comparison.by,
        "same_run": comparison.same_run,
        "totals": {
            "bytes": comparison.bytes,
            "bytes_diff": comparison.bytes_diff,
            "blocks": comparison.blocks,
            "blocks_diff": comparison.blocks_diff,
            "rows": comparison.row_count,
        },
        "rows": as_rows(comparison),
    }
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _values(row: Row) -> dict[str, Any]:
    return {
        "change": str(row.change),
        "where": said(row.place),
        "bytes": row.bytes,
        "bytes_diff": row.bytes_diff,
        "blocks": row.blocks,
        "blocks_diff": row.blocks_diff,
        "source": row.source,
        "traceback": [said(place) for place in row.frames],
    }


def _inert(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
