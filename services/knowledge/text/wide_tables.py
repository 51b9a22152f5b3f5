"""Tables with rows wider than a chunk: cut by columns, so that each piece says its columns and its row.

The first columns, which tell the rows apart, are repeated in each piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.knowledge.text.cuts import pieces
from services.knowledge.text.units import SHORT_RULE, Joint, Unit

if TYPE_CHECKING:
    from services.knowledge.tokenization.tokenizer import TextTokenizer

_SEPARATOR = re.compile(r"(?<!\\)\|")
# Shares of a chunk: most for a header, for one of its names, for the cells that tell rows apart.
HEADER_SHARE = 1 / 3
_NAME_SHARE = 1 / 6
_KEY_SHARE = 1 / 5
_FILL = 0.9
_MOST_KEYS = 2
_CHARACTERS_OF_TOKEN = 3
# A chunk with less room has none for names of columns.
LEAST_BUDGET = 40
_RULE_TOKENS = 8  # of the rule, and of the marks at both ends of two lines


def cells_of(row: str) -> list[str]:
    """Return the cells of a table row."""
    found = [cell.strip() for cell in _SEPARATOR.split(row.strip())]
    return found[1:-1] if found and not found[-1] else found[1:]


def is_wide(header: Unit | None, rows: Sequence[Unit], budget: int) -> bool:
    """Whether a table's header is too long to be repeated, or a row too long for a chunk."""
    above = header.tokens if header is not None else 0
    return above > budget * HEADER_SHARE or any(row.tokens + above > budget for row in rows)


@dataclass(slots=True)
class _Column:
    """A column: its place, its name as it is repeated, and the tokens of both name and longest cell."""

    at: int
    name: str
    name_tokens: int
    tokens: int


@dataclass(slots=True)
class WideTable:
    """Cuts one table."""

    tokenizer: TextTokenizer
    budget: int

    def cut(self, header: Unit | None, rows: Sequence[Unit]) -> Iterator[Unit]:
        """Yield the units of a table: those of the first columns of all rows, then those of further columns."""
        names = cells_of(header.text.split("\n")[0]) if header is not None else []
        table = [cells_of(row.text) for row in rows]
        width = max(len(names), *map(len, table))
        names += [""] * (width - len(names))
        if header is not None and header.tokens <= self.budget * HEADER_SHARE:
            # A row or two are long in a table that is not wide.
            for row, cells in zip(rows, table, strict=True):
                if row.tokens + header.tokens <= self.budget:
                    yield row
                else:
                    yield from self._cut_row(row, names, cells, list(range(width)))
            return
        short = [self._shortened(name, _NAME_SHARE) for name in names]
        for name, shown in zip(names, short, strict=True):
            if shown != name:  # in full once
                yield from (self._unit(rows[0], piece + "\n") for piece in pieces(name, self.tokenizer, self.budget))
        columns = self._columns(short, table)
        keys = _key_columns(table, width)
        for group in self._groups(columns, keys):
            yield from self._cut_group(rows, short, table, group)

    def _cut_group(
        self, rows: Sequence[Unit], names: list[str], table: list[list[str]], group: list[int]
    ) -> Iterator[Unit]:
        header = self._header(rows[0], [names[at] for at in group])
        keys = _key_columns(table, len(names))
        for row, cells in zip(rows, table, strict=True):
            held = [at for at in group if at < len(cells) and cells[at]]
            if not held or (set(held) <= set(keys) and any(cells[len(keys) :])):
                continue
            unit = self._unit(row, _line([cells[at] if at < len(cells) else "" for at in group]), header)
            if _tokens(header) + unit.tokens <= self.budget:
                yield unit
            else:
                yield from self._cut_row(row, names, cells, held)

    def _cut_row(self, row: Unit, names: list[str], cells: list[str], held: Sequence[int]) -> Iterator[Unit]:
        """Yield the pieces of one row: as many of its cells as fit, each with its name, behind the row's first cell."""
        filled = [at for at in held if at < len(cells) and cells[at]]
        if not filled:
            return
        key = filled[0]
        key_text, key_name = self._shortened(cells[key], _KEY_SHARE), self._shortened(names[key], _NAME_SHARE)
        rest = filled[1:] if key_text == cells[key] else filled
        base = self._count([key_text, key_name])
        group: list[int] = []
        tokens = sum(base) + _RULE_TOKENS
        counts = self._count([names[at] for at in rest] + [cells[at] for at in rest])
        for place, at in enumerate(rest):
            cost = counts[place] + counts[len(rest) + place] + 2
            if group and tokens + cost > self.budget * _FILL:
                yield self._piece(
                    row, [key_name, *(names[at] for at in group)], [key_text, *(cells[at] for at in group)]
                )
                group, tokens = [], sum(base) + _RULE_TOKENS
            if tokens + cost > self.budget * _FILL:
                yield from self._cut_cell(row, (key_name, key_text), names[at], cells[at])
                continue
            group.append(at)
            tokens += cost
        if group or not rest:
            yield self._piece(row, [key_name, *(names[at] for at in group)], [key_text, *(cells[at] for at in group)])

    def _cut_cell(self, row: Unit, key: tuple[str, str], name: str, cell: str) -> Iterator[Unit]:
        """Yield the pieces of one long cell, each with the name of its column behind the row's first cell."""
        name = self._shortened(name, _NAME_SHARE)
        first = [] if cell.startswith(key[1].removesuffix("…")) and key[1] else [key]
        header = self._header(row, [*(each[0] for each in first), name])
        taken = _tokens(header) + self._count([key[1]])[0] + 4
        for piece in pieces(cell, self.tokenizer, max(self.budget - taken, self.budget // 4)):
            unit = self._unit(row, _line([*(each[1] for each in first), piece.strip()]), header)
            unit.whole = False
            yield unit

    def _piece(self, row: Unit, names: list[str], cells: list[str]) -> Unit:
        return self._unit(row, _line(cells), self._header(row, names))

    def _header(self, like: Unit, names: list[str]) -> Unit | None:
        if not any(names):
            return None
        unit = Unit(f"{_line(names)}{SHORT_RULE}\n", like.section, joint=Joint.KEPT, is_header=True)
        unit.tokens = self._count([unit.text])[0]
        return unit

    def _unit(self, like: Unit, text: str, header: Unit | None = None) -> Unit:
        unit = Unit(text, like.section, header=header, is_row=True)
        unit.tokens = self._count([text])[0]
        return unit

    def _count(self, texts: Sequence[str]) -> list[int]:
        return self.tokenizer.counts(texts)

    def _columns(self, names: list[str], table: list[list[str]]) -> list[_Column]:
        most = int(self.budget * HEADER_SHARE)
        counts = self._count(names)
        longest = [0] * len(names)
        for cells in table:
            for at, tokens in enumerate(self._count(cells)):
                longest[at] = max(longest[at], min(tokens, most))
        return [_Column(at, name, counts[at] + 1, counts[at] + longest[at] + 2) for at, name in enumerate(names)]

    def _groups(self, columns: list[_Column], keys: list[int]) -> Iterator[list[int]]:
        """Yield groups of columns that fit a chunk together with the key columns."""
        name_base = sum(columns[at].name_tokens for at in keys)
        base = sum(columns[at].tokens for at in keys) + _RULE_TOKENS
        group: list[int] = []
        names, tokens = name_base, base
        for column in columns:
            if column.at in keys:
                continue
            full = (
                names + column.name_tokens > self.budget * HEADER_SHARE or tokens + column.tokens > self.budget * _FILL
            )
            if group and full:
                yield [*keys, *group]
                group, names, tokens = [], name_base, base
            group.append(column.at)
            names += column.name_tokens
            tokens += column.tokens
        yield [*keys, *group]

    def _shortened(self, text: str, share: float) -> str:
        """Return a text that is repeated: its beginning if it is longer than a share of the chunk."""
        if len(text) <= self.budget * share:
            return text
        if self._count([text])[0] <= self.budget * share:
            return text
        short = text[: max(int(self.budget * share * _CHARACTERS_OF_TOKEN), 8)]
        while len(short) > 8 and self._count([short])[0] > self.budget * share:
            short = short[: len(short) * 2 // 3]
        return short.rstrip() + "…"


def _key_columns(table: list[list[str]], width: int) -> list[int]:
    """Return the first columns that tell the rows apart: one, or two where the first one repeats."""
    for count in range(1, min(_MOST_KEYS, width - 1) + 1):
        if len({tuple(cells[:count]) for cells in table}) == len(table):
            return list(range(count))
    return [0]


def _tokens(unit: Unit | None) -> int:
    return unit.tokens if unit is not None else 0


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"
