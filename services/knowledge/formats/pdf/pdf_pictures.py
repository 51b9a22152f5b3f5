"""Pages of a PDF as pictures, with words highlighted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from services.core.errors import NotFoundError
from services.core.i18n import _
from services.knowledge.formats.page_marks import ShareBox, marked_png
from services.knowledge.formats.pdf.pdf import damaged, open_document
from services.knowledge.formats.pdf.pdf_page import page_objects
from services.knowledge.text.page_letters import PageLetters, Spans

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
        letters = PageLetters(_characters(text_page), lambda before, at: at - before <= 1)
        boxes = 0
        for wanted in highlight:
            spans = letters.find_parts(wanted, partial(_find_cells, letters))
            for first, last in spans:
                for rectangle in range(text_page.count_rects(first, last - first + 1)):
                    boxes += 1
                    if boxes > _MAX_BOXES:
                        return
                    yield text_page.get_rect(rectangle)


def _characters(text_page: Any) -> Iterator[tuple[str, int]]:
    """Yield the letters and digits of a page with their places among its characters."""
    import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

    for index in range(max(text_page.count_chars(), 0)):
        code = pdfium.FPDFText_GetUnicode(text_page, index)
        if 0 < code < 0x110000 and chr(code).isalnum():
            yield chr(code), index


def _find_cells(letters: PageLetters, cells: Sequence[str]) -> Spans:
    """Return (first, last) character of a table row's cells: where the longest one is, and the others near it."""
    found = {cell: spans for cell in cells if cell.strip() and (spans := letters.find(cell))}
    if not found:
        return []
    anchor = max(found, key=len)
    chosen: Spans = []
    for place in found[anchor]:
        near = [min(spans, key=lambda span: abs(span[0] - place[0])) for spans in found.values()]
        near = [span for span in near if abs(span[0] - place[0]) <= _ROW_CHARACTERS]
        chosen = near if len(near) > len(chosen) else chosen
    return chosen
