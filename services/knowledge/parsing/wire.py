"""What helper and service say to each other: JSON lines, nothing that could run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.errors import (
    BadInputError,
    CancelledError,
    ErrorKind,
    MillpondError,
    NotFoundError,
    TimedOutError,
    TooLargeError,
    UnavailableError,
)
from services.knowledge.types import ChunkDraft, Section

# How a child ends that has no memory left to say so.
EXIT_OUT_OF_MEMORY = 77
# What a megabyte of text may become on the wire: sections, overlapping chunks, terms, names.
WIRE_FACTOR = 8

_ERRORS: dict[str, type[MillpondError]] = {
    ErrorKind.BAD_INPUT.value: BadInputError,
    ErrorKind.NOT_FOUND.value: NotFoundError,
    ErrorKind.TOO_LARGE.value: TooLargeError,
    ErrorKind.TIMED_OUT.value: TimedOutError,
    ErrorKind.CANCELLED.value: CancelledError,
    ErrorKind.UNAVAILABLE.value: UnavailableError,
}


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """What a file contains. `pages` counts PDF pages or slides, 0 for formats without pages.

    Of a large file the sections and chunks are on disk until they are asked for.
    """

    media_type: str
    pages: int
    sections: Sequence[Section]
    chunks: Sequence[ChunkDraft]


def line(kind: str, *values: Any) -> bytes:
    """Return one message: its kind and its values."""
    return json.dumps([kind, *values], ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n"


def kind_of(message: bytes) -> str:
    """Return the kind of a message without reading the rest of it."""
    return message[2 : message.index(b'"', 2)].decode("ascii")


def values_of(message: bytes) -> list[Any]:
    """Return the values of a message."""
    values: list[Any] = json.loads(message)
    return values[1:]


def section_line(section: Section) -> bytes:
    """Return a section as a message."""
    return line("section", section.text, section.page, section.sheet, section.heading)


def chunk_line(draft: ChunkDraft) -> bytes:
    """Return a chunk draft as a message."""
    return line("chunk", draft.text, draft.tokens, draft.terms, draft.page, draft.sheet, draft.heading)


def error_line(error: MillpondError, trace: str = "") -> bytes:
    """Return an error as a message; `trace` is for the log alone."""
    return line("error", error.kind.value, error.message, error.hint, trace)


def as_section(values: Sequence[Any]) -> Section:
    """Return the section that a message carries."""
    text, page, sheet, heading = values
    return Section(text, page, sheet, tuple(heading))


def as_chunk(values: Sequence[Any]) -> ChunkDraft:
    """Return the chunk draft that a message carries."""
    text, tokens, terms, page, sheet, heading = values
    return ChunkDraft(text, tokens, terms, page, sheet, tuple(heading))


def as_error(values: Sequence[Any]) -> MillpondError:
    """Return the error that a message carries."""
    kind, message, hint, _trace = values
    return _ERRORS.get(kind, BadInputError)(message, hint)
