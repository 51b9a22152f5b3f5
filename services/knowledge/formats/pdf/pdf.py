"""PDF through pypdfium2: text by page, form fields, comments and attached files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

from services.core.errors import BadInputError, TooLargeError
from services.core.i18n import _, plural
from services.knowledge.formats.pdf import pdf_forms, pdf_scans
from services.knowledge.formats.pdf.pdf_grid import Grid, grid_of
from services.knowledge.formats.pdf.pdf_layout import OpenTable, PageText, laid_out
from services.knowledge.formats.pdf.pdf_margins import Margins
from services.knowledge.formats.pdf.pdf_outline import Outline, read_outline
from services.knowledge.formats.pdf.pdf_page import (
    HYPHENS,
    MAX_PLACED_CHARACTERS,
    Box,
    Fonts,
    PageObjects,
    Word,
    page_objects,
    path_lines,
    segment_count,
    turned,
    words_of,
)
from services.knowledge.formats.reading import Reading
from services.knowledge.notes import NoteKind
from services.knowledge.text.kinds import TextKind, kind_of
from services.knowledge.types import Section

if TYPE_CHECKING:
    import pypdfium2  # type: ignore[import-untyped]

MAX_PAGES = 20_000
# PDFium's error codes for a document with a password.
_ERR_PASSWORD = 4
_ERR_SECURITY = 5
# A page with pictures over this share of it and no more letters than this is a picture: a scan with a stamp.
_PICTURE_SHARE = 0.3
_MAX_STAMP_LETTERS = 60
# A picture over this share of a page is the page: its text layer is what somebody's text recognition found in it.
_SCAN_SHARE = 0.8
_THUMBNAIL_WIDTH = 120
# Differences of grey that make a page without text and pictures more than blank paper.
_BLANK_CONTRAST = 16
# Lines and frames alone are no picture: little ink, drawn in few strokes.
_RULE_INK = 0.03
_RULE_SEGMENTS = 24
# Characters that fonts give no meaning: the private use areas, and what stands for unknown ones.
_UNMAPPED = re.compile("[\x00\x01\x03-\x08\x0e-\x1f\ue000-\uf8ff\ufffd\U000f0000-\U0010ffff]")
# A page with fewer unmapped characters is not noted: bullets of symbol fonts are such.
_MIN_UNMAPPED = 20
# What words look like where the codes of a font's characters happen to be letters.
_PLAUSIBLE = re.compile(r"\W*(?:[A-Z]?[a-z]+(?:['’-][a-z]+)*|[A-Z]+|[^\x00-\xff]+)\W*|[+-]?\d[\d.,:/-]*%?")
_BULLETS = str.maketrans({"\uf0b7": "•", "\uf0a7": "▪", "\uf0d8": "➢", "\uf0fc": "✓", "\uf076": "❖", "\uf0a8": "▫"})


@dataclass(slots=True)
class _Pages:
    """What was found in the pages so far."""

    texts: int = 0
    damaged: int = 0
    pictures: int = 0
    unmapped: int = 0  # pages with characters without a meaning
    stamps: set[str] = field(default_factory=set)  # texts of pages that are pictures, without numbers
    margins: Margins = field(default_factory=Margins)
    outline: Outline = field(default_factory=Outline)
    open_table: OpenTable = field(default_factory=OpenTable)


def read(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the text page by page, parted at the headings of its outline; pages that are pictures are read by text
    recognition, or noted.

    Raises:
        BadInputError: damaged, encrypted, without pages, or without a text layer while text recognition is off.
        TooLargeError: more than `MAX_PAGES` pages.
        UnavailableError: it has pictures alone, and text recognition failed on all of them.
    """
    with closing(open_document(stream)) as document:
        pdf_forms.note_form(document, reading)
        pages = len(document)
        if pages == 0:
            raise BadInputError(_("The PDF has no pages."), _("Check the original and upload it again."))
        if pages > MAX_PAGES:
            raise TooLargeError(
                _("The PDF has {pages} pages; at most {most} are read.").format(pages=pages, most=MAX_PAGES),
                _("Split it into several files."),
            )
        found = _Pages(outline=read_outline(document))
        for index in range(pages):
            reading.progress(index, pages)
            yield from _page_sections(document, index, reading, found)
        reading.progress(pages, pages)
        if text := pdf_forms.dynamic_form_text(document):
            found.texts += 1
            yield Section(text)
        pdf_forms.read_attachments(document, reading)
        _check(found, pages, reading)


def page_count(stream: BinaryIO) -> int:
    """Return the number of pages."""
    with closing(open_document(stream)) as document:
        return len(document)


def open_document(stream: BinaryIO) -> pypdfium2.PdfDocument:
    """Open a PDF.

    Raises:
        BadInputError: damaged, or protected with a password.
    """
    import pypdfium2

    try:
        return pypdfium2.PdfDocument(stream)
    except pypdfium2.PdfiumError as error:
        if error.err_code in {_ERR_PASSWORD, _ERR_SECURITY}:
            raise BadInputError(
                _("The PDF is protected with a password."),
                _("Open it, save an unlocked copy without a password, and upload that."),
            ) from error
        raise damaged() from error


def damaged() -> BadInputError:
    """Return the error for a PDF that cannot be opened."""
    return BadInputError(
        _("The PDF is damaged or incomplete and cannot be opened."),
        _("Check that it opens in a PDF reader, save it again there, and upload the copy."),
    )


def _check(found: _Pages, pages: int, reading: Reading) -> None:
    """Raise an error for a document that has no text of its own, unless text recognition has looked for some."""
    if found.texts:
        return
    if reading.recognizer is not None:
        reading.recognizer.require_some(found.pictures)
        if reading.recognizer.empty:
            return
    if found.damaged == pages:
        raise damaged()
    # Scans with page numbers or one stamp on all pages have no text of their own.
    if len(found.stamps) > 1 or (found.stamps and pages == 1):
        return
    if found.unmapped and not found.pictures:
        raise BadInputError(
            _("The text of the PDF cannot be read: its fonts do not say what their characters stand for."),
            _("Run text recognition (OCR) over it, or save it as a PDF from the program that made it once more."),
        )
    if not found.pictures:
        raise BadInputError(_("All pages of the PDF are blank."), _("Check the original and upload it again."))
    raise BadInputError(
        plural(
            "The PDF has {count} page but no text layer: it is a picture.",
            "The PDF has {count} pages but no text layer: they are pictures.",
            pages,
        ),
        _("Run text recognition (OCR) over it, for example in the scanner's program, and upload the result."),
    )


def _page_sections(document: pypdfium2.PdfDocument, index: int, reading: Reading, found: _Pages) -> Iterator[Section]:
    import pypdfium2

    try:
        with closing(document[index]) as page:
            objects = page_objects(page)
            text, raw, words, unmapped = _page_text(page, objects, index + 1, reading, found)
            is_picture = _is_picture(page, objects, text)
            recognized = ""
            if is_picture or _is_garbled(page, objects, raw, unmapped):
                recognized = _recognized(page, index + 1, reading)
            annotations = pdf_forms.page_annotations(document, page, raw, words)
    except pypdfium2.PdfiumError:
        found.damaged += 1
        reading.notes.add(NoteKind.DAMAGED_PAGES, place=index + 1)
        return
    if recognized:
        text, is_picture, unmapped = recognized, False, 0
        found.open_table.header = ""
    if unmapped >= _MIN_UNMAPPED:
        reading.notes.add(NoteKind.UNMAPPED_CHARACTERS, unmapped, place=index + 1)
        found.unmapped += 1
    if is_picture:
        found.pictures += 1
        if reading.recognizer is None:
            reading.notes.add(NoteKind.PICTURE_PAGES, place=index + 1)
        if letters := "".join(filter(str.isalpha, text)):
            found.stamps.add(letters)
    if annotations.text:
        text = f"{text}\n\n{annotations.text}".strip()
    for file in annotations.files:
        pdf_forms.pass_on(file, reading)
    if annotations.comments:
        reading.notes.add(NoteKind.COMMENTS, len(annotations.comments))
    if text and (annotations.text or not is_picture):
        found.texts += 1
    if text:
        yield from found.outline.sections(text, index + 1)


def _recognized(page: Any, number: int, reading: Reading) -> str:
    """Return the text that text recognition finds on a page, "" for none."""
    if reading.recognizer is None:
        return ""
    found = reading.recognizer.recognize(partial(pdf_scans.scan, page), number)
    return pdf_scans.page_text(found) if found is not None else ""


def _is_garbled(page: Any, objects: PageObjects, text: str, unmapped: int) -> bool:
    """Whether a page has text, but none that says what the page shows: its fonts do not tell what most characters stand
    for, or it lies on a scan and no one can read it.
    """
    if unmapped >= _MIN_UNMAPPED and 2 * unmapped > sum(not character.isspace() for character in text):
        return True
    width, height = page.get_size()
    covered = max((_shared(box, Box(*page.get_bbox())) for box in objects.pictures), default=0.0)
    return covered > _SCAN_SHARE * width * height and kind_of(text) is TextKind.UNREADABLE


def _page_text(
    page: Any, objects: PageObjects, number: int, reading: Reading, found: _Pages
) -> tuple[str, str, list[Word], int]:
    """Return the text that a page shows, the same as PDFium has it, the words in the latter, and how many of its
    characters have no meaning.
    """
    with closing(page.get_textpage()) as text_page:
        text = text_page.get_text_range().translate(_BULLETS)
        if len(text) > MAX_PLACED_CHARACTERS:
            reading.notes.add(NoteKind.CROWDED_PAGES, place=number)
            found.open_table.header = ""
            return clean_text(text), text, [], 0
        words = words_of(text_page, text, page)
        unmapped = _unmapped_words(words, text)
        count = sum(end - start for start, end in unmapped.items()) or len(_UNMAPPED.findall(text))
        turn = page.get_rotation()
        repeated = found.margins.repeated(words, text, turned(Box(*page.get_bbox()), turn), number)
        left_out = unmapped.keys() | repeated
        shown = [word for word in words if word.shown and word.start not in left_out]

        def grid() -> Grid:
            return grid_of(box for item, matrix in objects.paths for box in path_lines(item, matrix, turn))

        stacked = len(words) > len(text.split()) and _have_stacks(words, text)
        exact = len(shown) == len(words) and not stacked
        layout = PageText(text, shown, exact, grid, Fonts(text_page))
        return laid_out(layout, found.open_table, clean_text), text, shown, count


def _have_stacks(words: Sequence[Word], text: str) -> bool:
    """Whether words touch that are no parts of a hyphenated one: characters below each other."""
    return any(one.end == other.start and text[one.end - 1] not in HYPHENS for one, other in pairwise(words))


def _unmapped_words(words: Sequence[Word], text: str) -> dict[int, int]:
    """Return (start, end) of words whose characters have no meaning, unless what PDFium takes them for makes sense."""
    unmapped = {word.start: word.end for word in words if not word.mapped}
    guessed = [text[start:end] for start, end in unmapped.items()]
    sound = sum(_PLAUSIBLE.fullmatch(word) is not None for word in guessed)
    if 2 * sound > len(guessed) and not any(_UNMAPPED.search(word) for word in guessed):
        return {}
    return unmapped


def _is_picture(page: Any, objects: PageObjects, text: str) -> bool:
    """Whether what a page says is in its pictures: a scan, perhaps with a stamp or a page number, or drawn text."""
    letters = 0
    for character in text:
        letters += character.isalnum()
        if letters > _MAX_STAMP_LETTERS:
            return False
    width, height = page.get_size()
    covered = sum(_shared(box, Box(*page.get_bbox())) for box in objects.pictures)
    if covered > _PICTURE_SHARE * width * height:
        return True
    return not letters and not _is_blank(page, objects)


def _shared(one: Box, other: Box) -> float:
    """Return the area that two boxes share."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.top, other.top) - max(one.bottom, other.bottom)
    return max(width, 0.0) * max(height, 0.0)


def _is_blank(page: Any, objects: PageObjects) -> bool:
    """Whether nothing can be seen on a page."""
    if objects.pictures:
        return False
    if not objects.paths and not objects.others:
        return True
    width, height = page.get_size()
    scale = _THUMBNAIL_WIDTH / max(width, height, 1.0)
    counts = page.render(scale=scale, grayscale=True, may_draw_forms=False).to_pil().histogram()
    paper = max(range(256), key=counts.__getitem__)
    ink = sum(counts[: max(paper - _BLANK_CONTRAST, 0)]) + sum(counts[paper + _BLANK_CONTRAST :])
    return ink == 0 or (ink < _RULE_INK * sum(counts) and segment_count(objects.paths) <= _RULE_SEGMENTS)


def clean_text(text: str) -> str:
    """Return PDFium's text with plain line ends, without control characters, and hyphenated words joined."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub("[\ufffe\uffff\u00ad\u0002]\n?", "", text)
    text = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f]", "", text)
    text = re.sub(r"(?<=[a-z])-\n(?=[a-z])", "", text)
    text = _UNMAPPED.sub("", text)
    return "\n".join(line.rstrip() for line in text.split("\n")).strip()
