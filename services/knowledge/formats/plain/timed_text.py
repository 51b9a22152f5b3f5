"""Subtitles (SRT, WebVTT) as running text by the minute, calendars and address cards (iCalendar, vCard) as fields."""

from __future__ import annotations

import quopri
import re
from collections.abc import Iterator
from typing import BinaryIO

from services.knowledge.formats.encoding.encodings import decode
from services.knowledge.formats.reading import Reading, text_of
from services.knowledge.formats.text import plain_sections, split_text
from services.knowledge.notes import NoteKind
from services.knowledge.types import Section

_TIMES = re.compile(r"\s*((?:\d{1,3}:)?\d{1,2}:\d{2})[.,]\d{1,3}\s*-->\s*(?:\d{1,3}:)?\d{1,2}:\d{2}[.,]\d{1,3}")
_TAG = re.compile(r"</?(?:i|b|u|c|font|ruby|rt|lang|v)\b[^>]*>|\{\\[^}]*\}|<\d[\d:.]*>")
_SPEAKER = re.compile(r"<v(?:\.[^ >]*)?\s+([^>]+)>")
_BLOCK_SECONDS = 60
_ESCAPE = re.compile(r"\\([nN,;\\])")
_BINARY = re.compile(r"ENCODING=B(?:ASE64)?\b", re.IGNORECASE)
_STRUCTURED = {"N", "ADR", "ORG"}  # their parts are divided by semicolons
_TITLES = ("SUMMARY", "FN", "N", "ORG")


def read_subtitles(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the spoken text, minute by minute, with the time as heading; notes and styles of WebVTT stay as text."""
    heading = ""
    began = -1
    words: list[str] = []
    waiting: list[str] = []
    spoken = False
    for line in [*text_of(stream, reading).split("\n"), ""]:
        times = _TIMES.match(line)
        if times:
            seconds = _seconds(times[1])
            if began < 0 or seconds - began >= _BLOCK_SECONDS or seconds < began:
                yield from _spoken(words, heading)
                words, heading, began = [], times[1], seconds
            waiting, spoken = [], True  # the line above the times is the number of the cue
        elif not line.strip():
            words += waiting if not spoken else []
            waiting, spoken = [], False
        elif spoken:
            words.append(_TAG.sub("", _SPEAKER.sub(lambda match: f"{match[1]}: ", line)).strip())
        elif line.strip() != "WEBVTT":
            waiting.append(line.strip())
    yield from _spoken(words, heading)


def _spoken(words: list[str], heading: str) -> Iterator[Section]:
    for part in split_text("\n".join(word for word in words if word)):
        yield Section(part, heading=(heading,) if heading else ())


def _seconds(time: str) -> int:
    total = 0
    for part in time.split(":"):
        total = 60 * total + int(part)
    return total


def read_cards(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the entries of a calendar or address book as "FIELD: value"; pictures in them are left out and noted."""
    lines = re.sub(r"\n[ \t]", "", text_of(stream, reading)).split("\n")
    entry: list[str] = []
    title = ""
    joined = ""
    for raw in lines:
        line = joined + raw
        name, colon, value = _field(line)
        if colon and "QUOTED-PRINTABLE" in name.upper() and value.endswith("="):
            joined = line[:-1]
            continue
        joined = ""
        field = name.partition(";")[0].rpartition(".")[2].upper()
        if field in {"BEGIN", "END"}:
            yield from _entry(entry, title)
            entry, title = [], ""
        elif _BINARY.search(name) or value.startswith("data:"):
            reading.notes.add(NoteKind.PICTURES)
        elif not colon:
            entry += [line] if line.strip() else []
        elif value.strip(" ;"):
            text = _value(name, value)
            title = title or (text if field in _TITLES else "")
            entry.append(f"{name}: {text}")
    yield from _entry(entry, title)


def _entry(entry: list[str], title: str) -> Iterator[Section]:
    for section in plain_sections("\n".join(entry)):
        yield Section(section.text, heading=(title[:200],) if title else ())


def _field(line: str) -> tuple[str, str, str]:
    """Return name with parameters, colon and value; colons within quotation marks do not count."""
    quoted = False
    for at, character in enumerate(line):
        if character == '"':
            quoted = not quoted
        elif character == ":" and not quoted:
            return line[:at], ":", line[at + 1 :]
    return line, "", ""


def _value(name: str, value: str) -> str:
    if "QUOTED-PRINTABLE" in name.upper():
        charset = re.search(r"CHARSET=([\w-]+)", name, re.IGNORECASE)
        value = decode(quopri.decodestring(value.encode()), charset[1] if charset else "").text
    text = _ESCAPE.sub(lambda match: "\n" if match[1] in "nN" else match[1], value)
    if name.partition(";")[0].rpartition(".")[2].upper() in _STRUCTURED:
        return ", ".join(part.strip() for part in text.split(";") if part.strip())
    return text
