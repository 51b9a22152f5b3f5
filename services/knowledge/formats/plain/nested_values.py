"""Nested values as text: lists of flat records become tables, everything else lines of "path: value".

Shared by JSON and XML. Nothing is dropped: null, empty lists and repeated keys are written as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice

from services.knowledge.formats.sheets.table_rows import TableWriter
from services.knowledge.formats.text import plain_sections
from services.knowledge.types import Section

# Records that are looked at before a list is taken for a table.
_BATCH = 200
_TABLE = 3  # records that are worth a table within other values
_MOST_COLUMNS = 40
_LONGEST_CELL = 300
_LEAST_FILLED = 0.5
# Up to these lengths parts stay together in one section: the members of an object, several records of a list.
_SHORT_PART = 1_500
_LONG_SECTION = 2_500
# A longer record is a section of its own.
_SHORT_RECORD = 200
# Keys by which records call themselves.
_NAMES = ("id", "name", "title", "key", "code", "number", "label", "sku", "uuid", "_id")
_LONGEST_LINE = 1_000
_LONGEST_HEADING = 120
Path = tuple[str, ...]


class TitledKey(str):
    """A key with a title of its own: what it holds is a section, however short."""

    __slots__ = ()


class Members(list[tuple[str, object]]):
    """The members of an object in their order; a key may come twice, "" is text without one."""

    __slots__ = ()


def member_sections(found: Iterable[tuple[str, object]], path: Path = ()) -> Iterator[Section]:
    """Yield the sections of an object: short members together, long ones with their key as heading.

    A list may be an iterator: it is used up at once.
    """
    part = _Part(path)
    for key, value in found:
        if isinstance(value, Iterator):
            first = list(islice(value, _BATCH))
            if len(first) < _BATCH and _is_short(first):
                yield from part.add_or_close(_flat(first, key))
            else:
                yield from part.close()
                yield from list_sections(chain(first, value), (*path, key))
        elif is_scalar(value) or (_is_short(value) and not isinstance(key, TitledKey)):
            yield from part.add_or_close(_flat(value, key))
        else:
            yield from part.close()
            yield from _value(value, (*path, key))
    yield from part.close()


def _value(value: object, path: Path) -> Iterator[Section]:
    if isinstance(value, Members):
        yield from member_sections(value, path)
    elif isinstance(value, list):
        yield from list_sections(iter(value), path)
    else:
        part = _Part(path)
        part.add(_flat(value, ""))
        yield from part.close()


def list_sections(values: Iterator[object], path: Path = ()) -> Iterator[Section]:
    """Yield a list in batches: a table where its elements are alike, else one record after the other."""
    number = 0
    table: _RecordTable | None = None
    part = _Part(path)
    while batch := list(islice(values, _BATCH)):
        rows = [row for record in batch if (row := _row(record)) is not None]
        if len(rows) == len(batch) and _are_alike(rows):
            yield from part.close()
            table = table or _RecordTable(path)
            yield from table.add(rows)
        else:
            if table is not None:
                yield from table.close()
                table = None
            for at, record in enumerate(batch, start=number):
                label = _label(record, f"{path[-1] if path else ''}[{at}]")
                if isinstance(record, list) and not _is_short(record, _LONG_SECTION):
                    yield from part.close()
                    yield from _value(record, (*path, label))
                elif isinstance(record, list) and not _is_short(record, _SHORT_RECORD):
                    yield from part.close()
                    yield from _record((*path, label), _flat(record, ""))
                elif isinstance(record, list):
                    yield from part.add_or_close([label, *_flat(record, ""), ""])
                else:
                    yield from part.add_or_close(_flat(record, label))
        number += len(batch)
    if table is not None:
        yield from table.close()
    yield from part.close()


def _record(path: Path, lines: list[str]) -> Iterator[Section]:
    """Yield a record as a section of its own; its label is the first line."""
    part = _Part(path)
    part.add([_heading(path)[-1], "", *lines])
    yield from part.close()


def _label(record: object, place: str) -> str:
    """Return the place of a record in its list, with what it calls itself."""
    named = dict(record) if isinstance(record, Members) else {}
    name = next((named[key] for key in _NAMES if is_scalar(named.get(key, [])) and named[key] not in {None, ""}), "")
    return f"{place} {scalar_text(name)}" if name and len(scalar_text(name)) <= _LONGEST_HEADING // 2 else place


def _is_row(record: object) -> bool:
    return _row(record) is not None


def _row(record: object) -> dict[str, str] | None:
    """Return the cells of a record by column; None if it is no row: lists of records in it, long texts, a key twice."""
    if not isinstance(record, Members) or not record or len(record) > _MOST_COLUMNS:
        return None
    cells: dict[str, str] = {}
    for path, text in _cells(record, ""):
        if text is None or path in cells or len(text) > _LONGEST_CELL or "\n" in text or len(cells) >= _MOST_COLUMNS:
            return None
        cells[path] = text
    return cells


def _cells(record: Members, path: str) -> Iterator[tuple[str, str | None]]:
    for key, value in record:
        column = f"{path}.{key}" if path and key else path or key
        if isinstance(value, Members) and value:
            yield from _cells(value, column)
        elif is_scalar(value) or (isinstance(value, list) and all(map(is_scalar, value))):
            yield column, _cell(value)
        else:
            yield column, None


def _cell(value: object) -> str:
    if isinstance(value, Members):
        return "{}"
    if isinstance(value, list):
        return ", ".join(map(scalar_text, value)) if value else "[]"
    return scalar_text(value)


def _are_alike(rows: list[dict[str, str]]) -> bool:
    """Whether records have enough keys in common for a table."""
    columns = {key for row in rows for key in row}
    return 1 < len(columns) <= _MOST_COLUMNS and sum(map(len, rows)) >= _LEAST_FILLED * len(columns) * len(rows)


@dataclass(slots=True)
class _RecordTable:
    """Records as rows; a new key becomes a new column."""

    path: Path
    columns: dict[str, int] = field(default_factory=dict)
    header: dict[int, str] = field(default_factory=dict)
    writer: TableWriter | None = None

    def add(self, rows: list[dict[str, str]]) -> Iterator[Section]:
        """Add rows; all of their keys are columns from the first row on."""
        known = len(self.columns)
        for row in rows:
            for key in row:
                self.header[self.columns.setdefault(key, len(self.columns))] = key
        if self.writer is not None and len(self.columns) > known:
            yield from self.close()
            self.writer = None
        if self.writer is None:
            self.writer = TableWriter("", sorted(self.header), self.header)
        for row in rows:
            yield from self._placed(self.writer.add({self.columns[key]: cell for key, cell in row.items()}))

    def close(self) -> Iterator[Section]:
        if self.writer is not None:
            yield from self._placed(self.writer.close())

    def _placed(self, sections: Iterator[Section]) -> Iterator[Section]:
        return (replace(section, heading=_heading(self.path)) for section in sections)


@dataclass(slots=True)
class _Part:
    """Lines that become one section."""

    path: Path
    lines: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.lines.append(line)
            self.size += len(line) + 1

    def add_or_close(self, lines: list[str]) -> Iterator[Section]:
        """Add lines that belong together, after the section so far if they would make it long."""
        if self.lines and self.size + sum(map(len, lines)) > _LONG_SECTION:
            yield from self.close()
        self.add(lines)

    def close(self) -> Iterator[Section]:
        lines, self.lines, self.size = self.lines, [], 0
        for section in plain_sections("\n".join(lines)):
            yield replace(section, heading=_heading(self.path))


def _heading(path: Path) -> Path:
    return tuple(" ".join(key.split())[:_LONGEST_HEADING] for key in path if key.strip())


def _is_short(value: object, most: int = _SHORT_PART) -> bool:
    """Whether a value takes little room, and is no list of records."""
    if isinstance(value, list) and len(value) >= _TABLE and all(isinstance(record, Members) for record in value):
        return False
    size = 0
    for line in _flat_lines(value, ""):
        size += len(line) + 1
        if size > most:
            return False
    return True


def _flat(value: object, path: str) -> list[str]:
    return list(_flat_lines(value, path))


def _flat_lines(value: object, path: str) -> Iterator[str]:
    """Yield "path: value" for every value within another one."""
    if isinstance(value, Members):
        if not value:
            yield f"{path}: {{}}"
        for key, member in value:
            yield from _flat_lines(member, f"{path}.{key}" if path and key else path or key)
    elif isinstance(value, list):
        if all(map(is_scalar, value)) and len(joined := _cell(value)) <= _LONGEST_LINE and "\n" not in joined:
            yield f"{path}: {joined}" if path else joined
            return
        for at, member in enumerate(value):
            yield from _flat_lines(member, f"{path}[{at}]")
    else:
        text = scalar_text(value)
        yield f"{path}: {text}" if path else text


def is_scalar(value: object) -> bool:
    """Whether a value is a string, a number or a constant."""
    return not isinstance(value, list)


def scalar_text(value: object) -> str:
    """Return a string, number or constant as text, true, false and null as JSON writes them."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    return '""' if value == "" else str(value)
