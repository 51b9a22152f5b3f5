"""Files that are pictures: read by text recognition, page by page, and shown with words marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import BinaryIO

from services.core.errors import BadInputError, MillpondError, NotFoundError
from services.core.i18n import _
from services.knowledge.formats.page_marks import ShareBox, marked_png
from services.knowledge.formats.pdf.pdf_scans import page_text
from services.knowledge.formats.pictures import pictures
from services.knowledge.formats.reading import Reading
from services.knowledge.notes import NoteKind
from services.knowledge.types import Section


def read_picture(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the text of a picture file, a section a page; pages without text and damaged ones are noted.

    Raises:
        BadInputError: it is damaged, or text recognition is switched off.
        TooLargeError: it has more pixels or pages than are read.
        UnavailableError: text recognition could read none of it.
    """
    if reading.recognizer is None:
        raise BadInputError(
            _("This is a picture, and text recognition is switched off."),
            _("Switch it on (MILLPOND_OCR), or upload the text, or a PDF with text."),
        )
    picture, numbers = pictures.pages_of(stream)
    if pictures.is_animated(picture):
        reading.notes.add(NoteKind.FURTHER_FRAMES)
    failed = 0
    for page, number in enumerate(numbers, start=1):
        reading.progress(page - 1, len(numbers))
        try:
            found = reading.recognizer.recognize(partial(pictures.decoded, picture, number), page)
        except MillpondError:
            if len(numbers) == 1:
                raise
            failed += 1
            reading.notes.add(NoteKind.DAMAGED_PAGES, place=page)
            continue
        if found is not None and (text := page_text(found)):
            yield Section(text, page)
    reading.progress(len(numbers), len(numbers))
    if failed == len(numbers):
        raise pictures.damaged()
    reading.recognizer.require_some(len(numbers) - failed)


def page_count(stream: BinaryIO) -> int:
    """Return the number of pages of a picture file."""
    return len(pictures.pages_of(stream)[1])


def render(stream: BinaryIO, page: int, width: int, boxes: Sequence[ShareBox]) -> bytes:
    """Return a page (counted from 1) as PNG, at most `width` pixels wide, with boxes (shares of the page) marked.

    Raises:
        NotFoundError: there is no such page.
        BadInputError: it is damaged.
    """
    picture, numbers = pictures.pages_of(stream)
    if not 1 <= page <= len(numbers):
        raise NotFoundError(_("The document has no page {page}; it has {pages}.").format(page=page, pages=len(numbers)))
    shown = pictures.decoded(picture, numbers[page - 1])
    if shown.width > width:
        shown = shown.resize((width, max(1, round(shown.height * width / shown.width))), reducing_gap=2.0)
    return marked_png(shown, boxes)
