"""What readers of documents yield: headings, paragraphs, list items and tables, and the sections made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from services.core.errors import TooLargeError
from services.core.i18n import _
from services.knowledge.formats.text import MAX_SECTION_CHARACTERS, split_text
from services.knowledge.types import Section

_MAX_HEADING = 400
_MAX_COLUMNS = 1000
_MAX_CELLS = 3_000_000
# Rows of one block of a table; each block repeats the header.
_BLOCK_ROWS = 200
# A merged cell's text is repeated in full up to this length, its beginning beyond.
_MAX_REPEATED = 200


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph or table; `level` is a heading's (1 outermost), an `item` follows another without a blank line."""

    text: str
    level: int = 0
    item: bool = False


@dataclass(slots=True)
class TableGrid:
    """The cells of a table while it is read; a merged cell's text stands in every cell that it covers."""

    rows: list[list[str]] = field(default_factory=list)
    header_rows: int = 0
    titles: list[str] = field(default_factory=list)
    _down: dict[int, tuple[int, str]] = field(default_factory=dict)
    _above: dict[int, str] = field(default_factory=dict)
    _cells: int = 0

    def add_row(self, cells: Iterable[tuple[str, int, int]], *, header: bool = False) -> None:
        """Add a row of (text, columns, rows covered).

        Raises:
            TooLargeError: the table has more than three million cells.
        """
        row: list[str] = []
        spans = 0
        for text, across, down in cells:
            self._fill(row)
            plain = " ".join(text.split()).replace("|", "¦")
            spans = max(1, min(across, _MAX_COLUMNS - len(row)))
            for at in range(spans):
                row.append(plain if at == 0 else _shortened(plain))
                if down > 1:
                    self._down[len(row) - 1] = (down - 1, _shortened(plain))
        self._fill(row)
        self._cells += len(row)
        if self._cells > _MAX_CELLS:
            raise TooLargeError(
                _("The table has more than {most} cells.").format(most=_MAX_CELLS),
                _("Split it into smaller tables, or export only the columns that matter."),
            )
        if not self.rows and len(row) > 1 and spans == len(row) and row[0]:
            self.titles.append(row[0])  # a title above the table, in one merged cell
        elif any(row):
            self.header_rows += header and self.header_rows == len(self.rows)
            self.rows.append(row)

    def merged_down(self, column: int, text: str, *, begins: bool, goes_on: bool) -> str:
        """Return a cell's text where rows say of each cell whether it begins a merged one or goes on with it."""
        if goes_on:
            text = self._above.get(column, text)
        if begins or goes_on:
            self._above[column] = text
        else:
            self._above.pop(column, None)
        return text

    def end_group(self) -> None:
        """End the rows that merged cells reach down to."""
        self._down.clear()

    def _fill(self, row: list[str]) -> None:
        """Continue a row with cells that reach down from the rows above."""
        while (found := self._down.get(len(row))) is not None and len(row) < _MAX_COLUMNS:
            left, text = found
            if left > 1:
                self._down[len(row)] = (left - 1, text)
            else:
                del self._down[len(row)]
            row.append(text)

    def blocks(self) -> Iterator[Block]:
        """Yield the titles and the table, in parts that each begin with the header."""
        for title in self.titles:
            yield Block(title)
        yield from table_blocks(self.rows, self.header_rows)

    def inline(self) -> str:
        """Return the table as running text, for a table within a cell: "a: b; c: d"."""
        rows = [[cell for cell in row if cell] for row in self.rows]
        return "; ".join([*self.titles, *((": " if len(row) == 2 else ", ").join(row) for row in rows if row)])


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_REPEATED else text[: _MAX_REPEATED - 1].rstrip() + "…"


def table_blocks(rows: Sequence[Sequence[str]], header_rows: int = 0) -> Iterator[Block]:
    """Yield a table as lines of cells. The first `header_rows` become one header; if 0, the first row may be one."""
    body = [list(row) for row in rows if any(row)]
    if not body:
        return
    width = max(map(len, body))
    header: list[str] = []
    if 0 < header_rows < len(body):
        header = [_joined(column) for column in zip(*(_padded(row, width) for row in body[:header_rows]), strict=True)]
        body = body[header_rows:]
    elif header_rows == 0 and _names_columns(body):
        header, body = body[0], body[1:]
    top = f"{_line(_padded(header, width))}\n|{' --- |' * width}\n" if header else ""
    if not top and width == 1:
        yield from (Block(row[0]) for row in body)
        return
    lines: list[str] = []
    size = 0
    for row in body:
        line = _line(row)
        if lines and (size + len(line) > MAX_SECTION_CHARACTERS - len(top) or len(lines) >= _BLOCK_ROWS):
            yield Block(top + "\n".join(lines))
            lines, size = [], 0
        lines.append(line)
        size += len(line) + 1
    yield Block(top + "\n".join(lines))


def _names_columns(rows: list[list[str]]) -> bool:
    """Whether the first row reads as names of columns: all filled, none a number, more rows below."""
    first = rows[0]
    return (
        len(rows) > 1
        and len(first) > 1
        and all(cell and not cell.replace(".", "").replace(",", "").strip("-+%€$£ ").isdigit() for cell in first)
    )


def _joined(column: Sequence[str]) -> str:
    """Return the name of a column out of several rows of header, each part once."""
    return " ".join(dict.fromkeys(part for part in column if part))


def _padded(row: Sequence[str], width: int) -> list[str]:
    return [*row, *[""] * (width - len(row))]


def _line(row: Sequence[str]) -> str:
    return "| " + " | ".join(row) + " |"


def block_sections(blocks: Iterable[Block], page: int | None = None) -> Iterator[Section]:
    """Yield one section per heading; the heading is its first line. Long ones are split between blocks."""
    path: list[tuple[int, str]] = []
    parts: list[str] = []
    size = 0
    item = False
    for block in blocks:
        text = block.text.strip()
        if not text:
            continue
        if block.level or size + len(text) > MAX_SECTION_CHARACTERS:
            yield from _section(parts, path, page)
            parts, size = [], 0
        if block.level:
            text = " ".join(text.split())
            path = [(above, name) for above, name in path if above < block.level]
            path.append((block.level, text[:_MAX_HEADING]))
        if parts:
            parts.append("\n" if block.item and item else "\n\n")
        # An item keeps the blanks that show how deep it lies.
        parts.append(block.text.rstrip() if block.item else text)
        size += len(text) + 2
        item = block.item
    yield from _section(parts, path, page)


def _section(parts: list[str], path: list[tuple[int, str]], page: int | None) -> Iterator[Section]:
    heading = tuple(title for _level, title in path)
    for part in split_text("".join(parts)):
        yield Section(part, page, heading=heading)
