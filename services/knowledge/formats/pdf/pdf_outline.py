"""The outline of a PDF (its bookmarks) as headings: a page's text is parted where the title of a bookmark stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.knowledge.types import Section

if TYPE_CHECKING:
    import pypdfium2  # type: ignore[import-untyped]

# Bookmarks and levels that are read, and how much of a title.
_MAX_BOOKMARKS = 5_000
_MAX_LEVELS = 6
_MAX_TITLE = 200
# A title may be broken into this many lines.
_TITLE_LINES = 3


@dataclass(slots=True)
class Outline:
    """The bookmarks by page, and the path of headings that the page before ended with."""

    by_page: dict[int, list[tuple[int, str]]] = field(default_factory=dict)
    path: tuple[str, ...] = ()

    def sections(self, text: str, page: int) -> Iterator[Section]:
        """Yield the text of a page (counted from 1) in parts, each with its heading."""
        lines = text.split("\n")
        start = 0
        for number, (level, title) in enumerate(self.by_page.get(page, ())):
            at = _line_of(title, lines, start)
            path = (*self.path[:level], title)
            if at < 0:
                # Bookmarks of a page that does not show their title: the first names the page.
                self.path = path if number == 0 or len(path) > len(self.path) else self.path[:level]
                continue
            if body := "\n".join(lines[start:at]).strip():
                yield Section(body, page=page, heading=self.path)
            self.path, start = path, at
        if body := "\n".join(lines[start:]).strip():
            yield Section(body, page=page, heading=self.path)
        # What follows on later pages belongs to the last bookmark, found or not.
        for level, title in self.by_page.get(page, ())[-1:]:
            self.path = (*self.path[:level], title)


def read_outline(document: pypdfium2.PdfDocument) -> Outline:
    """Return the outline of a document; empty if it has none or a damaged one."""
    import pypdfium2

    outline = Outline()
    try:
        for count, bookmark in enumerate(document.get_toc(max_depth=_MAX_LEVELS)):
            if count >= _MAX_BOOKMARKS:
                break
            title = " ".join(bookmark.get_title().split())[:_MAX_TITLE]
            destination = bookmark.get_dest()
            index = destination.get_index() if destination else None
            if title and index is not None:
                outline.by_page.setdefault(index + 1, []).append((bookmark.level, title))
    except (pypdfium2.PdfiumError, UnicodeDecodeError):
        return Outline()
    return outline


def _line_of(title: str, lines: list[str], start: int) -> int:
    """Return the number of the line where a title stands alone, perhaps behind its number; -1 if there is none."""
    wanted = _letters(title)
    if not wanted:
        return -1
    for at in range(start, len(lines)):
        if lines[at].startswith("|"):
            continue
        found = ""
        for line in lines[at : at + _TITLE_LINES]:
            found += _letters(line)
            if found == wanted or (found.endswith(wanted) and found[: -len(wanted)].isdigit()):
                return at
            if len(found) > len(wanted) + 10:
                break
    return -1


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
