"""Where code lies: whose it is, how a path is said, and the text of a line.

Comparisons as files: CSV for a spreadsheet, JSON for programs.
"""

from __future__ import annotations

import csv
import io
import json
import stat
import tokenize
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from services.memory import fork_snapshot
from services.memory.tracing.types import Comparison, Row, SourceLine

_ROOT = Path(__file__).resolve().parents[3]
OUR_FOLDERS = tuple(f"{_ROOT / name}/" for name in ("console", "pages", "services"))
# Where tracing itself allocates; the shell adds its pages about allocations.
_machinery = {str(Path(__file__).parent), str(fork_snapshot.__file__)}
_LARGEST_SOURCE = 4 * 1024 * 1024
_LONGEST_LINE = 300
_IMPORT_FILES = ("<frozen importlib.", "<frozen zipimport", "<unknown>")
_LIBRARIES = ("/site-packages/", "/dist-packages/")
COLUMNS = ("change", "where", "bytes", "bytes_diff", "blocks", "blocks_diff", "source", "traceback")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def is_ours(file: str) -> bool:
    """Return whether a file is part of Millpond."""
    return file.startswith(OUR_FOLDERS)


def register_machinery(module: ModuleType) -> None:
    """Count the files of a package, or a module's file, as part of tracing itself."""
    file = Path(str(module.__file__))
    _machinery.add(str(file.parent if file.name == "__init__.py" else file))


def is_machinery(file: str) -> bool:
    """Return whether a file belongs to the import system or to tracing itself."""
    return file.startswith((*_IMPORT_FILES, *_machinery)) or file.endswith(("/tracemalloc.py", "/importlib/__init__.py"))


def short(file: str) -> str:
    """Return a path without what all paths begin with: ours from the project's root, libraries from their package."""
    if is_ours(file):
        return str(Path(file).relative_to(_ROOT))
    for mark in _LIBRARIES:
        if mark in file:
            return file.rpartition(mark)[2]
    library = str(Path(tokenize.__file__).parent) + "/"
    return file.removeprefix(library)


def source_lines(places: Iterable[SourceLine]) -> dict[SourceLine, str]:
    """Return the text of lines, "" where there is none to show.

    For places out of a snapshot only, never for what a request names: then no other file than the interpreter's own
    sources can be read.
    """
    wanted: defaultdict[str, set[int]] = defaultdict(set)
    for place in places:
        wanted[place.file].add(place.line)
    found: dict[SourceLine, str] = {}
    for file, lines in wanted.items():
        texts = _read(Path(file), lines)
        found |= {SourceLine(file, line): texts.get(line, "") for line in lines}
    return found


def _read(path: Path, lines: set[int]) -> dict[int, str]:
    """Return the lines asked for. Not by `linecache`, which would keep every file for good."""
    last = max(lines)
    if last < 1 or path.suffix != ".py" or not path.is_absolute():
        return {}
    texts = {}
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode) or state.st_size > _LARGEST_SOURCE:
            return {}
        with tokenize.open(path) as source:
            for number, text in enumerate(source, 1):
                if number in lines:
                    texts[number] = text.strip()[:_LONGEST_LINE]
                if number >= last:
                    break
    except (OSError, SyntaxError, UnicodeDecodeError):
        return {}  # the file is gone or is no source: the place alone must do
    return texts


def said(place: SourceLine) -> str:
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
