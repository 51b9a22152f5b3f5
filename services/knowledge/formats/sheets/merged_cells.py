"""Merged cells: their text stands in every cell that they cover."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from services.knowledge.formats.sheets.table_rows import Row

# A merged cell may reach to the last column of a sheet: so many columns get its text.
_MOST_ACROSS = 256
# The rows below repeat a long text by its beginning.
_LONGEST_REPEATED = 200


@dataclass(slots=True)
class MergedCells:
    """The merged ranges of a sheet, applied to its rows from the top."""

    _ahead: list[tuple[int, int, int, int]] = field(default_factory=list)  # top, left, bottom, right
    _running: list[tuple[int, int, int, str]] = field(default_factory=list)  # bottom, left, right, text

    def add(self, top: int, left: int, bottom: int, right: int) -> None:
        """Add a range; rows count from 1, columns from 0, all bounds within."""
        if bottom > top or right > left:
            heapq.heappush(self._ahead, (top, left, bottom, min(right, left + _MOST_ACROSS)))

    def fill(self, number: int, cells: dict[int, str], style: int = 0) -> Row:
        """Return the row of these cells with the text of merged cells in its place."""
        if not self._ahead and not self._running:
            return Row(number, cells, style=style)
        across: set[int] = set()
        down: set[int] = set()
        if self._running:
            self._running = [each for each in self._running if each[0] >= number]
        for _bottom, left, right, text in self._running:
            for column in range(left, right + 1):
                if column not in cells:
                    cells[column] = text
                    down.add(column)
                    if column > left:
                        across.add(column)
        while self._ahead and self._ahead[0][0] <= number:
            top, left, bottom, right = heapq.heappop(self._ahead)
            text = cells.get(left, "") if top == number else ""
            if not text:
                continue
            repeated = text if len(text) <= _LONGEST_REPEATED else text[: _LONGEST_REPEATED - 1] + "…"
            if bottom > number:
                self._running.append((bottom, left, right, repeated))
            for column in range(left + 1, right + 1):
                if column not in cells:
                    cells[column] = repeated
                    across.add(column)
        if across or down:
            cells = dict(sorted(cells.items()))
        return Row(number, cells, across, down, style)
