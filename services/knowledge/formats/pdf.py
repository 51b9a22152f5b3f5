"""PDF through pypdfium2: text by page, and pages as images with words highlighted."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, BinaryIO

from services.core.errors import BadInputError, NotFoundError, TooLargeError
from services.core.i18n import _
from services.knowledge.formats.reading import Reading
from services.knowledge.notes import NoteKind
from services.knowledge.text.sentences import clauses
from services.knowledge.types import Section

if TYPE_CHECKING:
    import pypdfium2  # type: ignore[import-untyped]

MAX_PAGES = 20_000
# PDFium's error codes for a document with a password.
_ERR_PASSWORD = 4
_ERR_SECURITY = 5
_MAX_PIXELS = 40_000_000
_HIGHLIGHT = (255, 224, 130)  # multiplied with the page: white takes this colour, ink stays dark
_MAX_BOXES = 400


def read(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield one section per page that has text; pages without any are noted.

    Raises:
        BadInputError: damaged, encrypted, without pages, or without a text layer.
        TooLargeError: more than `MAX_PAGES` pages.
    """
    with closing(_open(stream)) as document:
        pages = len(document)
        if pages == 0:
            raise BadInputError(_("The PDF has no pages."), _("Check the original and upload it again."))
        if pages > MAX_PAGES:
            raise TooLargeError(
                _("The PDF has {pages} pages; at most {most} are read.").format(pages=pages, most=MAX_PAGES),
                _("Split it into several files."),
            )
        found = broken = 0
        for index in range(pages):
            reading.progress(index, pages)
            text = _page_text(document, index)
            if text is None:
                broken += 1
                reading.notes.add(NoteKind.DAMAGED_PAGES, place=index + 1)
            elif text:
                found += 1
                yield Section(text, page=index + 1)
            else:
                reading.notes.add(NoteKind.PICTURE_PAGES, place=index + 1)
        reading.progress(pages, pages)
        if not found and broken:
            raise _damaged()
        if not found:
            raise BadInputError(
                _("The PDF has {pages} pages but no text layer: its pages are pictures.").format(pages=pages),
                _("Run text recognition (OCR) over it, for example in the scanner's program, and upload the result."),
            )


def page_count(stream: BinaryIO) -> int:
    """Return the number of pages."""
    with closing(_open(stream)) as document:
        return len(document)


def render(stream: BinaryIO, page: int, width: int, highlight: Sequence[str]) -> bytes:
    """Return a page (counted from 1) as PNG of `width` pixels with the texts of `highlight` highlighted.

    Raises:
        NotFoundError: there is no such page.
    """
    from PIL import Image, ImageChops, ImageDraw

    with closing(_open(stream)) as document:
        if not 1 <= page <= len(document):
            raise NotFoundError(
                _("The document has no page {page}; it has {pages}.").format(page=page, pages=len(document))
            )
        sheet = document[page - 1]
        page_width, page_height = sheet.get_size()
        if page_width <= 0 or page_height <= 0:
            raise _damaged()
        scale = width / page_width
        scale = min(scale, (_MAX_PIXELS / (page_width * page_height)) ** 0.5)
        bitmap = sheet.render(scale=scale)
        image = bitmap.to_pil().convert("RGB")
        converter = bitmap.get_posconv(sheet)
        layer = Image.new("RGB", image.size, (255, 255, 255))
        draw = ImageDraw.Draw(layer)
        for left, bottom, right, top in _boxes(sheet, highlight):
            x0, y0 = converter.to_bitmap(left, top)
            x1, y1 = converter.to_bitmap(right, bottom)
            draw.rectangle((min(x0, x1) - 1, min(y0, y1) - 1, max(x0, x1) + 1, max(y0, y1) + 1), fill=_HIGHLIGHT)
        out = io.BytesIO()
        ImageChops.multiply(image, layer).save(out, format="PNG", compress_level=3)
        return out.getvalue()


def _boxes(page: pypdfium2.PdfPage, highlight: Sequence[str]) -> Iterator[tuple[float, float, float, float]]:
    """Yield the boxes of the texts to highlight, in PDF units; for a text not found as a whole, those of its clauses.

    PDFium's own search stops at line ends, so a text is searched in the page's letters and digits only; PDFium then
    merges the boxes of the characters line by line.
    """
    with closing(page.get_textpage()) as text_page:
        letters = _Letters(text_page)
        boxes = 0
        for wanted in highlight:
            spans = letters.find(wanted) or [
                span for part in clauses(wanted) if len(part) >= 8 for span in letters.find(part)
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

    def _inside_word(self, at: int) -> bool:
        """Whether the letters before and at `at` belong to one word of a script written with spaces."""
        if not 0 < at < len(self._text) or self._positions[at] - self._positions[at - 1] > 1:
            return False
        return self._text[at] < "\u0e00" and self._text[at - 1] < "\u0e00"


def _open(stream: BinaryIO) -> pypdfium2.PdfDocument:
    import pypdfium2

    try:
        return pypdfium2.PdfDocument(stream)
    except pypdfium2.PdfiumError as error:
        if error.err_code in {_ERR_PASSWORD, _ERR_SECURITY}:
            raise BadInputError(
                _("The PDF is protected with a password."),
                _("Open it, save an unlocked copy without a password, and upload that."),
            ) from error
        raise _damaged() from error


def _page_text(document: pypdfium2.PdfDocument, index: int) -> str | None:
    """Return a page's text, None where the page cannot be read."""
    import pypdfium2

    try:
        with closing(document[index]) as page, closing(page.get_textpage()) as text_page:
            return clean_text(text_page.get_text_bounded())
    except pypdfium2.PdfiumError:
        return None


def clean_text(text: str) -> str:
    """Return PDFium's text with plain line ends, without control characters, and hyphenated words joined."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub("[\ufffe\uffff\u00ad\u0002]\n?", "", text)
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", text)
    text = re.sub(r"(?<=[a-z])-\n(?=[a-z])", "", text)
    return "\n".join(line.rstrip() for line in text.split("\n")).strip()


def _damaged() -> BadInputError:
    return BadInputError(
        _("The PDF is damaged or incomplete and cannot be opened."),
        _("Check that it opens in a PDF reader, save it again there, and upload the copy."),
    )
