"""Source lines of allocations: their package, short paths and text; comparisons as CSV and JSON files."""

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

from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.memory import fork_snapshot
from services.memory.tracing.types import ComparisonRow, SourceLine, TraceComparison

_ROOT = Path(__file__).resolve().parents[3]
OUR_FOLDERS = tuple(f"{_ROOT / name}/" for name in ("console", "pages", "services"))
# Where tracing itself allocates; the shell adds its pages about allocations.
_machinery = {str(Path(__file__).parent), str(fork_snapshot.__file__)}
# Code that watches memory: the sampler, the ledger, the detector, diagnostics.
_WATCHING = str(Path(fork_snapshot.__file__).parent) + "/"
_LARGEST_SOURCE = 4 * MEGABYTE
_LONGEST_LINE = 300
_IMPORT_FILES = ("<frozen importlib.", "<frozen zipimport", "<unknown>")
_LIBRARIES = ("/site-packages/", "/dist-packages/")
COLUMNS = ("change", "where", "bytes", "bytes_diff", "blocks", "blocks_diff", "source", "traceback")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def is_ours(file: str) -> bool:
    """Return whether a file is part of Millpond."""
    return file.startswith(OUR_FOLDERS)


def is_library(file: str) -> bool:
    """Return whether a file is part of an installed library."""
    return any(mark in file for mark in _LIBRARIES)


def is_watching(file: str) -> bool:
    """Return whether a file is code that watches memory."""
    return file.startswith(_WATCHING)


def register_machinery(module: ModuleType) -> None:
    """Count the files of a package, or a module's file, as part of tracing itself."""
    file = Path(str(module.__file__))
    _machinery.add(str(file.parent if file.name == "__init__.py" else file))


def is_machinery(file: str) -> bool:
    """Return whether a file belongs to the import system or to tracing itself."""
    return file.startswith((*_IMPORT_FILES, *_machinery)) or file.endswith(
        ("/tracemalloc.py", "/importlib/__init__.py")
    )


def short_path(file: str) -> str:
    """Return a path relative to the project's root, or to the folder of the library that it belongs to."""
    if is_ours(file):
        return str(Path(file).relative_to(_ROOT))
    for mark in _LIBRARIES:
        if mark in file:
            return file.rpartition(mark)[2]
    library = str(Path(tokenize.__file__).parent) + "/"
    return file.removeprefix(library)


def source_lines(places: Iterable[SourceLine]) -> dict[SourceLine, str]:
    """Return the text of lines, "" where there is none to show.

    Only for places from a snapshot, never for paths from a request: so that no files but the interpreter's sources can
    be read.
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
    """Return the requested lines. Not by `linecache`, which would keep every file in memory."""
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
        return {}  # the file is gone or no source: show the place alone
    return texts


def place_text(place: SourceLine) -> str:
    """Return a place as text: short path and line."""
    return f"{short_path(place.file)}:{place.line}" if place.line else short_path(place.file)


def as_rows(comparison: TraceComparison) -> list[dict[str, Any]]:
    """Return the rows as plain values, most recent call last."""
    return [_values(row) for row in comparison.rows]


def as_csv(comparison: TraceComparison) -> str:
    """Return the rows as CSV with a header, and what the watching itself has allocated as the last one.

    Text that a spreadsheet would run as a formula gets an apostrophe.
    """
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for row in comparison.rows:
        values = _values(row)
        values["traceback"] = " > ".join(values["traceback"])
        writer.writerow({name: _without_formula(value) for name, value in values.items()})
    writer.writerow(
        {
            "change": "",
            "where": _("Watching"),
            "bytes": comparison.watching_bytes,
            "bytes_diff": comparison.watching_bytes_diff,
            "blocks": comparison.watching_blocks,
            "blocks_diff": comparison.watching_blocks_diff,
            "source": "",
            "traceback": "",
        }
    )
    return file.getvalue()


def as_json(comparison: TraceComparison) -> str:
    """Return the whole comparison as JSON."""
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
        "watching": {
            "bytes": comparison.watching_bytes,
            "bytes_diff": comparison.watching_bytes_diff,
            "blocks": comparison.watching_blocks,
            "blocks_diff": comparison.watching_blocks_diff,
        },
        "rows": as_rows(comparison),
    }
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _values(row: ComparisonRow) -> dict[str, Any]:
    return {
        "change": str(row.change),
        "where": place_text(row.place),
        "bytes": row.bytes,
        "bytes_diff": row.bytes_diff,
        "blocks": row.blocks,
        "blocks_diff": row.blocks_diff,
        "source": row.source,
        "traceback": [place_text(place) for place in row.frames],
    }


def _without_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
