from __future__ import annotations

import csv
import io
import json

from services.memory.tracing.source import COLUMNS, as_csv, as_json
from services.memory.tracing.types import ComparisonRow, GroupBy, RowChange, SnapshotInfo, SourceLine, TraceComparison

INFO = SnapshotInfo("0" * 16, 0.0, 0.0, 1, 0, 0, 0, 0, 0, 0, 0.0, 0.0, name="=1+1")
ROWS = (
    ComparisonRow((SourceLine("/a, b.py", 1), SourceLine("/c.py", 2)), 10, -5, 1, 0, RowChange.SHRUNK, '@cached("x")'),
    ComparisonRow((SourceLine("=cmd|' /C calc'!A0", 0),), 1, 1, 1, 1, RowChange.NEW, "line\nbreak"),
)
FOUND = TraceComparison(INFO, INFO, GroupBy.TRACEBACK, ROWS, 2, 11, -4, 2, 1)


def test_csv_is_whole_and_harmless() -> None:
    """Commas, quotes and line breaks stay in their cells; what a spreadsheet would run as a formula is marked."""
    rows = list(csv.DictReader(io.StringIO(as_csv(FOUND), newline="")))
    assert list(rows[0]) == list(COLUMNS)
    assert rows[0]["traceback"] == "/a, b.py:1 > /c.py:2"
    assert (rows[0]["bytes_diff"], rows[0]["source"]) == ("-5", '\'@cached("x")')
    assert rows[1]["where"].startswith("'=cmd")
    assert rows[1]["source"] == "line\nbreak"


def test_json_has_everything() -> None:
    """A program gets totals, both snapshots and the rows with their tracebacks."""
    found = json.loads(as_json(FOUND))
    assert found["totals"] == {"bytes": 11, "bytes_diff": -4, "blocks": 2, "blocks_diff": 1, "rows": 2}
    assert found["rows"][0]["traceback"] == ["/a, b.py:1", "/c.py:2"]
    assert found["same_run"]
    assert found["new"]["name"] == "=1+1"
