"""The notes of a sheet: what was read although nobody sees it, and what has no value."""

from __future__ import annotations

from dataclasses import dataclass

from services.knowledge.notes import NoteCollector, NoteKind

_LAST_COLUMN = 16_384


@dataclass(slots=True)
class SheetNotes:
    """Counts while a sheet is read; `finish` adds the notes."""

    notes: NoteCollector
    sheet: str
    _formulas: int = 0
    _comments: int = 0
    _hidden: int = 0

    def formula_without_value(self) -> None:
        """Count a formula that the program which wrote it did not compute."""
        self._formulas += 1

    def comments(self, count: int) -> None:
        """Count comments that were kept."""
        self._comments += count

    def hidden_row(self) -> None:
        """Count a hidden row that was read."""
        self._hidden += 1

    def hidden_columns(self, first: int, last: int) -> None:
        """Count hidden columns; all those right of a table are hidden to make a sheet look tidy."""
        if last < _LAST_COLUMN:
            self._hidden += last - first + 1

    def hidden_sheet(self) -> None:
        """Add the note that this sheet is hidden."""
        self.notes.add(NoteKind.HIDDEN_SHEETS, place=self.sheet)

    def finish(self) -> None:
        """Add the notes of what was counted."""
        for kind, count in (
            (NoteKind.FORMULAS, self._formulas),
            (NoteKind.COMMENTS, self._comments),
            (NoteKind.HIDDEN_ROWS, self._hidden),
        ):
            if count:
                self.notes.add(kind, count, place=self.sheet)
