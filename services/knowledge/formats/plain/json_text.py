"""JSON and JSON Lines: values one by one as text (`nested_values`); what is no JSON is kept as it stands and noted."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

from services.knowledge.formats.plain import json_values
from services.knowledge.formats.plain.json_values import JsonCursor, JsonError
from services.knowledge.formats.plain.nested_values import list_sections, member_sections
from services.knowledge.formats.reading import Reading, text_of
from services.knowledge.formats.text import plain_sections
from services.knowledge.notes import NoteKind
from services.knowledge.types import Section


def read_json(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of a file that holds one value of JSON, or several, one after the other."""
    text = text_of(stream, reading)
    try:
        yield from _sections(text, reading)
    except RecursionError:  # nested deeper than any document; better twice than not at all
        yield from plain_sections(text)


def _sections(text: str, reading: Reading) -> Iterator[Section]:
    cursor = JsonCursor(text, json_values.skip(text, 0))
    if text.startswith("[", cursor.at):
        yield from list_sections(cursor.elements())
    elif text.startswith("{", cursor.at) and not _has_more_lines(text, cursor.at):
        yield from member_sections(cursor.members())
    elif _has_more_lines(text, cursor.at):
        yield from _lines(text, reading)
        return
    else:
        cursor.at, cursor.damaged = 0, True
    if cursor.damaged or text[cursor.at :].strip():
        # What is no JSON is kept as it stands.
        reading.notes.add(NoteKind.DAMAGED_LINES, place=text.count("\n", 0, cursor.at) + 1)
        yield from plain_sections(text[cursor.at :])


def read_json_lines(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of a file with a value on each line; lines that are damaged are kept as they stand."""
    yield from _lines(text_of(stream, reading), reading)


def _has_more_lines(text: str, at: int) -> bool:
    """Whether the first line is a value of its own, and more follow."""
    end = text.find("\n", at)
    if end < 0 or not text[end:].strip():
        return False
    try:
        _value, ended = json_values.value_at(text[at:end], 0)
    except JsonError:
        return False
    return not text[at + ended : end].strip()


def _lines(text: str, reading: Reading) -> Iterator[Section]:
    damaged: list[str] = []

    def values() -> Iterator[object]:
        at = 0
        while (at := json_values.skip(text, at)) < len(text):
            try:
                value, end = json_values.value_at(text, at)
                whole = not text[end : _line_end(text, end)].strip(" \t,")
            except JsonError:
                whole = False
            if not whole:
                end = _line_end(text, at)
                number = text.count("\n", 0, at) + 1
                damaged.append(f"{number}: {text[at:end]}")
                reading.notes.add(NoteKind.DAMAGED_LINES, place=number)
            else:
                yield value
            at = end + text.startswith(",", end)

    yield from list_sections(values())
    yield from plain_sections("\n".join(damaged))


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def is_json_file(stream: BinaryIO, most: int) -> bool:
    """Whether a file of at most `most` bytes is JSON as a whole; the stream stands at its beginning afterwards."""
    data = stream.read(most + 1)
    stream.seek(0, io.SEEK_SET)
    if len(data) > most:
        return False
    try:
        return json_values.is_json(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return False
