"""Messages between fork server and service: JSON lines, no executable content.

Imported by the fork server: only what every child may inherit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from services.core.errors import (
    BadInputError,
    CancelledError,
    ErrorKind,
    MillpondError,
    NotFoundError,
    TimedOutError,
    TooLargeError,
    UnavailableError,
)
from services.core.kept_text import kept, read_kept
from services.knowledge.recognition.recognized import RecognizedPage, words_of
from services.knowledge.types import ChunkDraft, Section

# Exit code of a child without memory for an error message.
EXIT_OUT_OF_MEMORY = 77
_ERRORS: dict[str, type[MillpondError]] = {
    ErrorKind.BAD_INPUT.value: BadInputError,
    ErrorKind.NOT_FOUND.value: NotFoundError,
    ErrorKind.TOO_LARGE.value: TooLargeError,
    ErrorKind.TIMED_OUT.value: TimedOutError,
    ErrorKind.CANCELLED.value: CancelledError,
    ErrorKind.UNAVAILABLE.value: UnavailableError,
}


def encode_message(kind: str, *values: Any) -> bytes:
    """Return a message as a line: its kind and its values."""
    return json.dumps([kind, *values], ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n"


def message_kind(message: bytes) -> str:
    """Return the kind of a message without decoding the rest of it."""
    return message[2 : message.index(b'"', 2)].decode("ascii")


def message_values(message: bytes) -> list[Any]:
    """Return the values of a message."""
    values: list[Any] = json.loads(message)
    return values[1:]


def section_message(section: Section) -> bytes:
    """Return a section as a message."""
    return encode_message("section", section.text, section.page, section.sheet, section.heading)


def chunk_message(draft: ChunkDraft) -> bytes:
    """Return a chunk draft as a message."""
    return encode_message("chunk", draft.text, draft.tokens, draft.terms, draft.page, draft.sheet, draft.heading)


def error_message(error: MillpondError, trace: str = "") -> bytes:
    """Return an error as a message; `trace` is for the log only."""
    return encode_message("error", error.kind.value, kept(error.message), kept(error.hint), trace)


def decode_section(values: Sequence[Any]) -> Section:
    """Return the section that a message carries."""
    text, page, sheet, heading = values
    return Section(text, page, sheet, tuple(heading))


def decode_chunk(values: Sequence[Any]) -> ChunkDraft:
    """Return the chunk draft that a message carries."""
    text, tokens, terms, page, sheet, heading = values
    return ChunkDraft(text, tokens, terms, page, sheet, tuple(heading))


def decode_page(values: Sequence[Any]) -> RecognizedPage:
    """Return the page read by text recognition that a message carries."""
    page, confidence, least, words = values
    return RecognizedPage(page, confidence, least, words_of(words))


def decode_error(values: Sequence[Any]) -> MillpondError:
    """Return the error that a message carries."""
    kind, message, hint, _trace = values
    return _ERRORS.get(kind, BadInputError)(read_kept(message), read_kept(hint))
