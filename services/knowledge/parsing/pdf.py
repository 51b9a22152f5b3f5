"""PDF through pypdfium2: text by page, and pages as pictures with words marked."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, BinaryIO

from services.errors import BadInputError, NotFoundError, TooLargeError
from services.knowledge.types import Section
from services.texts import _

if TYPE_CHECKING:
    import pypdfium2  # type: ignore[import-untyped]

MOST_PAGES = 20_000
# What PDFium reports for a document that asks for a password.
_ERR_PASSWORD = 4
_ERR_SECURITY = 5
_LARGEST_PICTURE = 40_000_000  # pixels
_MARK = (255, 213, 64, 110)  # translucent amber
_MOST_MARKS = 400


def read(stream: BinaryIO, progress: Callable[[int, int], None]) -> Iterator[Section]:
    """Yield one section per page that has text.

    Raises:
        BadInputError: damaged, encrypted, without pages, or without a text layer.
        TooLargeError: more pages than are read.
    """
    with closing(_open(stream)) as document:
        pages = len(document)
        if pages == 0:
            raise BadInputError(_("The PDF has no pages."), _("Check the original and upload it again."))
        if pages > MOST_PAGES:
            raise TooLargeError(
                _("The PDF has {pages} pages; at most {most} are read.").format(pages=pages, most=MOST_PAGES),
                _("Split it into several files."),
            )
        found = broken = 0
        for index in range(pages):
            progress(index, pages)
            text = _page_text(document, index)
            if text is None:
                broken += 1
            elif text:
                found += 1
                yield Section(text, page=index + 1)
        progress(pages, pages)
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
    """Return a page (counted from 1) as PNG of `width` pixels with each text of `highlight` marked where it stands.

    Raises:
        NotFoundError: there is no such page.
    """
    from PIL import Image, ImageDraw

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
        scale = min(scale, (_LARGEST_PICTURE / (page_width * page_height)) ** 0.5)
        bitmap = sheet.render(scale=scale)
        picture = bitmap.to_pil().convert("RGBA")
        converter = bitmap.get_posconv(sheet)
        layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
        draw = ImageDraw.Draw(layer)
        for left, bottom, right, top in _boxes(sheet, highlight):
            x0, y0 = converter.to_bitmap(left, top)
            x1, y1 = converter.to_bitmap(right, bottom)
            draw.rectangle((min(x0, x1) - 1, min(y0, y1) - 1, max(x0, x1) + 1, max(y0, y1) + 1), fill=_MARK)
        out = io.BytesIO()
        Image.alpha_composite(picture, layer).convert("RGB").save(out, format="PNG", compress_level=3)
        return out.getvalue()


def _boxes(page: pypdfium2.PdfPage, highlight: Sequence[str]) -> Iterator[tuple[float, float, float, float]]:
    """Yield the boxes of the texts to mark, in PDF units.

    PDFium's own search stops at line ends, so a text is looked for in the page's characters without their white
    space, and its characters' boxes are joined line by line by PDFium.
    """
    with closing(page.get_textpage()) as text_page:
        count = text_page.count_chars()
        if count <= 0:
            return
        squeezed, positions = _squeezed(text_page, count)
        marks = 0
        for wanted in highlight:
            needle = re.sub(r"\W+", "", wanted).casefold()
            start = squeezed.find(needle) if needle else -1
            while start >= 0 and marks < _MOST_MARKS:
                first, last = positions[start], positions[start + len(needle) - 1]
                for rectangle in range(text_page.count_rects(first, last - first + 1)):
                    marks += 1
                    yield text_page.get_rect(rectangle)
                start = squeezed.find(needle, start + len(needle))


def _squeezed(text_page: Any, count: int) -> tuple[str, list[int]]:
    """Return the page's letters and digits in lower case, and for each the index of its character on the page."""
    import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

    letters: list[str] = []
    positions: list[int] = []
    for index in range(count):
        code = pdfium.FPDFText_GetUnicode(text_page, index)
        character = chr(code) if 0 < code < 0x110000 else " "
        if character.isalnum():
            for folded in character.casefold():
                letters.append(folded)
                positions.append(index)
    return "".join(letters), positions


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
            return tidy(text_page.get_text_bounded())
    except pypdfium2.PdfiumError:
        return None


def tidy(text: str) -> str:
    """Return text as PDFium gives it with plain line ends and words that were hyphenated at a line end joined."""
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
