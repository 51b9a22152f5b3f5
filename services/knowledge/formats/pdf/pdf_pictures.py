"""Pages of a PDF as pictures, with words highlighted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, BinaryIO

from services.core.errors import NotFoundError
from services.core.i18n import _
from services.knowledge.formats.page_marks import ShareBox, marked_png
from services.knowledge.formats.pdf.pdf import damaged, open_document
from services.knowledge.formats.pdf.pdf_page import page_objects
from services.knowledge.text.sentences import clauses

if TYPE_CHECKING:
    import pypdfium2  # type: ignore[import-untyped]

_MAX_PIXELS = 40_000_000
_MAX_BOXES = 400
# Cells of one row are not further apart in a page's text.
_ROW_CHARACTERS = 600


def render(stream: BinaryIO, page: int, width: int, highlight: Sequence[str], marks: Sequence[ShareBox] = ()) -> bytes:
    """Return a page (counted from 1) as PNG of `width` pixels with the texts of `highlight` highlighted, and the boxes
    `marks`, in shares of the page.

    Raises:
        NotFoundError: there is no such page.
    """
    with closing(open_document(stream)) as document:
        if not 1 <= page <= len(document):
            raise NotFoundError(
                _("The document has no page {page}; it has {pages}.").format(page=page, pages=len(document))
            )
        sheet = document[page - 1]
        page_width, page_height = sheet.get_size()
        if page_width <= 0 or page_height <= 0:
            raise damaged()
        scale = width / page_width
        scale = min(scale, (_MAX_PIXELS / (page_width * page_height)) ** 0.5)
        bitmap = sheet.render(scale=scale)
        image = bitmap.to_pil().convert("RGB")
        converter = bitmap.get_posconv(sheet)
        boxes = []
        for left, bottom, right, top in _boxes(sheet, highlight):
            x0, y0 = converter.to_bitmap(left, top)
            x1, y1 = converter.to_bitmap(right, bottom)
            boxes.append((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)))
        return marked_png(image, marks, boxes)


def _boxes(page: pypdfium2.PdfPage, highlight: Sequence[str]) -> Iterator[tuple[float, float, float, float]]:
    """Yield the boxes of the texts to highlight, in PDF units; for a text not found as a whole, those of its clauses.

    PDFium's own search stops at line ends, so a text is searched in the page's letters and digits only; PDFium then
    merges the boxes of the characters line by line.
    """
    page_objects(page)
    with closing(page.get_textpage()) as text_page:
        letters = _Letters(text_page)
        boxes = 0
        for wanted in highlight:
            spans = letters.find(wanted) or [
                span
                for line in wanted.split("\n")
                for span in (
                    letters.find(line) or letters.find_cells(line.split("|"))
                    if "|" in line
                    else [span for part in clauses(line) if len(part) >= 8 for span in letters.find(part)]
                )
            ]
            for first, last in spans:
                for rectangle in range(text_page.count_rects(first, last - first + 1)):
                    boxes += 1
                    if boxes > _MAX_BOXES:
                        return
                    yield text_page.get_rect(rectangle)


class _Letters:
    """The letters and digits of a page in lower case, each with the index of its character on the page."""

    def __init__(self, text_page: Any) -> None:
        import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

        letters: list[str] = []
        self._positions: list[int] = []
        for index in range(max(text_page.count_chars(), 0)):
            code = pdfium.FPDFText_GetUnicode(text_page, index)
            character = chr(code) if 0 < code < 0x110000 else " "
            if character.isalnum():
                for folded in character.casefold():
                    letters.append(folded)
                    self._positions.append(index)
        self._text = "".join(letters)

    def find(self, wanted: str) -> list[tuple[int, int]]:
        """Return (first, last) character of each occurrence of `wanted` that is not inside a longer word."""
        needle = "".join(character for character in wanted.casefold() if character.isalnum())
        found: list[tuple[int, int]] = []
        start = self._text.find(needle) if needle else -1
        while start >= 0 and len(found) < _MAX_BOXES:
            end = start + len(needle)
            if not (self._inside_word(start) or self._inside_word(end)):
                found.append((self._positions[start], self._positions[end - 1]))
                start = self._text.find(needle, end)
            else:
                start = self._text.find(needle, start + 1)
        return found

    def find_cells(self, cells: Sequence[str]) -> list[tuple[int, int]]:
        """Return (first, last) character of a table row's cells: where the longest one is, and the others near it."""
        found = {cell: spans for cell in cells if cell.strip() and (spans := self.find(cell))}
        if not found:
            return []
        anchor = max(found, key=len)
        chosen: list[tuple[int, int]] = []
        for place in found[anchor]:
            near = [min(spans, key=lambda span: abs(span[0] - place[0])) for spans in found.values()]
            near = [span for span in near if abs(span[0] - place[0]) <= _ROW_CHARACTERS]
            chosen = near if len(near) > len(chosen) else chosen
        return chosen

    def _inside_word(self, at: int) -> bool:
        """Whether the letters before and at `at` belong to one word of a script written with spaces."""
        if not 0 < at < len(self._text) or self._positions[at] - self._positions[at - 1] > 1:
            return False
        return self._text[at] < "\u0e00" and self._text[at - 1] < "\u0e00"
