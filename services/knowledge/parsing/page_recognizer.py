"""Text recognition as readers of formats get it in a parser's child: pages read, told, noted, summed up."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from services.core.errors import UnavailableError
from services.core.i18n import _
from services.knowledge.formats.pdf.pdf_scans import lines_in_order
from services.knowledge.notes import NoteCollector, NoteKind, places_text
from services.knowledge.parsing import limits, protocol
from services.knowledge.parsing.recognizer_client import RecognizerClient
from services.knowledge.recognition.recognized import RecognizedPicture, kept_words

if TYPE_CHECKING:
    from PIL import Image

# Pages of which less is sure on the average should be looked at.
UNSURE = 0.85


def _drawn(draw: Callable[[], Image.Image]) -> Image.Image:
    """Return a page; the CPU time that it takes does not count as that of parsing."""
    before = os.times()
    try:
        return draw()
    finally:
        after = os.times()
        limits.allow_more_cpu(after.user + after.system - before.user - before.system)


class PageRecognizer:
    """Reads pages that are pictures, and tells the service of each where its words are and how sure they are."""

    def __init__(self, client: RecognizerClient, write: Callable[[bytes], None], notes: NoteCollector) -> None:
        self._client = client
        self._write = write
        self._notes = notes
        self._pages: list[int] = []
        self._characters = 0
        self._certain = 0.0
        self._least = (1.0, 0)
        self.empty = 0
        self.failed = 0

    def recognize(self, draw: Callable[[], Image.Image], page: int) -> RecognizedPicture | None:
        """Return what a page says, which `draw` draws in RGB; None: nothing, or it could not be read, which is noted.

        What `draw` raises is passed on.
        """
        self._write(protocol.encode_message("recognizing", page))
        facts: tuple[Any, ...] = ()
        try:
            picture = _drawn(draw)
            found = self._client.recognize(picture.width, picture.height, picture.tobytes())
            del picture
            if found is None:
                self.failed += 1
                self._notes.add(NoteKind.UNRECOGNIZED_PAGES, place=page)
            elif not found.characters:
                self.empty += 1
                self._notes.add(NoteKind.PAGES_WITHOUT_TEXT, place=page)
            else:
                self._count(found, page)
                words = kept_words(found, lines_in_order(found))
                facts = (round(found.confidence, 4), round(found.least_confidence, 4), words)
                return found
        finally:
            self._write(protocol.encode_message("recognized", page, *facts))
        return None

    def _count(self, found: RecognizedPicture, page: int) -> None:
        self._pages.append(page)
        self._characters += found.characters
        self._certain += found.characters * found.confidence
        self._least = min(self._least, (found.least_confidence, page))
        self._notes.add(NoteKind.RECOGNIZED_PAGES, place=page)
        if found.confidence < UNSURE:
            self._notes.add(NoteKind.UNSURE_PAGES, place=page)

    def require_some(self, pages: int) -> None:
        """Return unless none of so many pages could be read.

        Raises:
            UnavailableError: none could; that is no fault of the file.
        """
        if pages and self.failed == pages:
            raise UnavailableError(
                _("Text recognition could not read the file: its process ended or took too long for every page."),
                _("Try again; if it happens again, raise MILLPOND_OCR_MEMORY_MB or MILLPOND_OCR_PAGE_SECONDS."),
            )

    def facts(self) -> list[Any] | None:
        """Return count, pages, mean and least confidence and the page of the latter; None: no page was read."""
        if not self._pages:
            return None
        mean = self._certain / self._characters
        return [len(self._pages), places_text(self._pages), round(mean, 4), round(self._least[0], 4), self._least[1]]
