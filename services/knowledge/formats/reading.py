"""What every reader of a format gets, and the text of files that are text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol

from services.core.errors import TooLargeError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.knowledge.notes import NoteCollector

if TYPE_CHECKING:
    from PIL import Image

    from services.knowledge.recognition.recognized import RecognizedPicture

# A picture that comes with a mail and has fewer bytes is a logo or an icon, not a scan.
LEAST_SCAN_BYTES = 50_000
Attach = Callable[[str, bytes | Iterable[bytes]], None]


def drop_attachment(_name: str, _data: bytes | Iterable[bytes]) -> None:
    """Do nothing with a file that another one brings."""


class PictureRecognizer(Protocol):
    """Reads pages that are pictures. `empty` had no text, `failed` could not be read; both are noted."""

    empty: int
    failed: int

    def recognize(self, draw: Callable[[], Image.Image], page: int) -> RecognizedPicture | None:
        """Return what a page says, which `draw` draws in RGB; None: nothing, or it could not be read.

        What `draw` raises is passed on.
        """

    def require_some(self, pages: int) -> None:
        """Return unless none of so many pages could be read; else raise UnavailableError."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader gets beside the file: its name, the most MB of text, and where to report progress and notes.

    `attach` takes a file that this one brings, as a whole or piece by piece: it becomes a document of its own, or a
    note if it cannot be read or is more than one file may bring. The name is the one that its sender chose.
    `recognizer` reads pages that are pictures; None: they stay unread.
    """

    name: str
    output_mb: int
    progress: Callable[[int, int], None]
    notes: NoteCollector = field(default_factory=NoteCollector)
    attach: Attach = drop_attachment
    recognizer: PictureRecognizer | None = None


def text_of(stream: BinaryIO, reading: Reading) -> str:
    """Return the decoded text of a whole file; what a reader should know of its encoding becomes a note.

    Raises:
        TooLargeError: it holds more text than one file may.
        BadInputError: it is not text.
    """
    from services.knowledge.formats.encoding.encodings import decode

    # No encoding takes more than four bytes for one byte of UTF-8.
    data = stream.read(4 * reading.output_mb * MEGABYTE + 1)
    if len(data) > 4 * reading.output_mb * MEGABYTE:
        raise TooLargeError(
            _("The file contains more than {limit} MB of text.").format(limit=reading.output_mb),
            _("Split it into smaller files."),
        )
    found = decode(data)
    found.add_notes(reading.notes)
    return found.text
