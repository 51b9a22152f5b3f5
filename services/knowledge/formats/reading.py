"""What every reader of a format gets, and the text of files that are text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from services.core.errors import TooLargeError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.knowledge.notes import NoteCollector


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader gets beside the file: its name, the most MB of text, and where to report progress and notes."""

    name: str
    output_mb: int
    progress: Callable[[int, int], None]
    notes: NoteCollector = field(default_factory=NoteCollector)


def text_of(stream: BinaryIO, reading: Reading) -> str:
    """Return the decoded text of a whole file.

    Raises:
        TooLargeError: it holds more text than one file may.
        BadInputError: it is not text.
    """
    from services.knowledge.formats.text import decode

    # No encoding takes more than four bytes for one byte of UTF-8.
    data = stream.read(4 * reading.output_mb * MEGABYTE + 1)
    if len(data) > 4 * reading.output_mb * MEGABYTE:
        raise TooLargeError(
            _("The file contains more than {limit} MB of text.").format(limit=reading.output_mb),
            _("Split it into smaller files."),
        )
    return decode(data)
