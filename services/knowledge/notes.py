"""Notes of a document: what a parser left out of its text, or put into it that its pages do not show.

Stored by kind, count and place, without words: the sentence is made when it is shown, in the language of the moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from services.core.i18n import _, plural

# A place is a list of pages or names; longer ones are cut.
_MOST_PLACE = 200


class NoteKind(StrEnum):
    """What a note is about; `text` has the sentence of each."""

    PICTURE_PAGES = "picture_pages"
    RECOGNIZED_PAGES = "recognized_pages"
    UNSURE_PAGES = "unsure_pages"
    PAGES_WITHOUT_TEXT = "pages_without_text"
    UNRECOGNIZED_PAGES = "unrecognized_pages"
    NO_TEXT = "no_text"
    FURTHER_FRAMES = "further_frames"
    DAMAGED_PAGES = "damaged_pages"
    UNMAPPED_CHARACTERS = "unmapped_characters"
    CROWDED_PAGES = "crowded_pages"
    XFA_FORM = "xfa_form"
    PICTURES = "pictures"
    EMBEDDED_FILES = "embedded_files"
    MEDIA = "media"
    FRAMES = "frames"
    EQUATIONS = "equations"
    COMMENTS = "comments"
    DELETED_TEXT = "deleted_text"
    HIDDEN_TEXT = "hidden_text"
    HIDDEN_SLIDES = "hidden_slides"
    HIDDEN_SHEETS = "hidden_sheets"
    HIDDEN_ROWS = "hidden_rows"
    FORMULAS = "formulas"
    NUMBER_FORMATS = "number_formats"
    READING_AIDS = "reading_aids"
    UNKNOWN_SYMBOLS = "unknown_symbols"
    DAMAGED_PARTS = "damaged_parts"
    OLD_FORMAT = "old_format"
    GUESSED_ENCODING = "guessed_encoding"
    DAMAGED_CHARACTERS = "damaged_characters"
    UNREAD_ATTACHMENTS = "unread_attachments"
    SURPLUS_ATTACHMENTS = "surplus_attachments"
    MAIL_PICTURES = "mail_pictures"
    SIGNATURES = "signatures"
    ENCRYPTED_MAILS = "encrypted_mails"
    DAMAGED_LINES = "damaged_lines"
    CUT_OUTPUTS = "cut_outputs"
    XML_ENTITIES = "xml_entities"


@dataclass(frozen=True, slots=True)
class Note:
    """One fact about how a file was read: of what `kind`, how many, where ("2-4, 7"), and the sentence about it."""

    kind: NoteKind
    count: int
    place: str
    text: str


@dataclass(slots=True)
class NoteCollector:
    """Collects the notes of one file while it is read."""

    _counts: dict[NoteKind, int] = field(default_factory=dict)
    _places: dict[NoteKind, list[int | str]] = field(default_factory=dict)

    def add(self, kind: NoteKind, count: int = 1, *, place: int | str = "") -> None:
        """Add to the note of this kind; `place` is a page number or a name."""
        self._counts[kind] = self._counts.get(kind, 0) + count
        places = self._places.setdefault(kind, [])
        if place != "" and place not in places:
            places.append(place)

    def include(self, other: NoteCollector) -> None:
        """Add the notes of another collector."""
        for kind, count in other._counts.items():
            self.add(kind, count)
            for place in other._places[kind]:
                self.add(kind, 0, place=place)

    def facts(self) -> list[tuple[str, int, str]]:
        """Return (kind, count, place) of each note, in the order of their first appearance."""
        return [(kind.value, count, places_text(self._places[kind])) for kind, count in self._counts.items()]


def places_text(places: Sequence[int | str]) -> str:
    """Return page numbers as ranges ("2-4, 7"), then names, cut to a length that fits a line."""
    pages = sorted(place for place in places if isinstance(place, int))
    parts: list[str] = []
    start = 0
    for at, page in enumerate(pages):
        if at + 1 == len(pages) or pages[at + 1] != page + 1:
            parts.append(f"{pages[start]}-{page}" if page > pages[start] else str(page))
            start = at + 1
    parts += [place for place in places if isinstance(place, str)]
    text = ", ".join(parts)
    return text if len(text) <= _MOST_PLACE else text[:_MOST_PLACE].rsplit(", ", 1)[0] + ", …"


def notes_of(facts: Iterable[Sequence[Any]] | None) -> tuple[Note, ...]:
    """Return the notes that were stored as (kind, count, place); kinds of a newer version are left out."""
    known = {kind.value for kind in NoteKind}
    return tuple(
        Note(NoteKind(kind), int(count), str(place), _text(NoteKind(kind), int(count), str(place)))
        for kind, count, place in facts or ()
        if kind in known
    )


def _text(kind: NoteKind, count: int, place: str) -> str:  # noqa: PLR0911, PLR0912 - a sentence for each kind
    match kind:
        case NoteKind.PICTURE_PAGES:
            return plural(
                "Page {place} is a picture without text", "Pages {place} are pictures without text", count, place=place
            )
        case NoteKind.RECOGNIZED_PAGES:
            return plural(
                "Page {place} was read by text recognition",
                "Pages {place} were read by text recognition",
                count,
                place=place,
            )
        case NoteKind.UNSURE_PAGES:
            return plural(
                "Page {place} is hard to read: some of its text may be wrong",
                "Pages {place} are hard to read: some of their text may be wrong",
                count,
                place=place,
            )
        case NoteKind.PAGES_WITHOUT_TEXT:
            return plural(
                "No text was found on page {place}, which is a picture",
                "No text was found on pages {place}, which are pictures",
                count,
                place=place,
            )
        case NoteKind.UNRECOGNIZED_PAGES:
            return plural(
                "Text recognition failed on page {place}, which is a picture",
                "Text recognition failed on pages {place}, which are pictures",
                count,
                place=place,
            )
        case NoteKind.NO_TEXT:
            return _("No text was found in it; the file is kept as it is")
        case NoteKind.FURTHER_FRAMES:
            return _("It moves: its first picture was read")
        case NoteKind.UNREAD_ATTACHMENTS:
            return plural(
                "{count} attachment was not read: {place}",
                "{count} attachments were not read: {place}",
                count,
                place=place,
            )
        case NoteKind.SURPLUS_ATTACHMENTS:
            return plural(
                "{count} attachment was left out, more than one file may bring: {place}",
                "{count} attachments were left out, more than one file may bring: {place}",
                count,
                place=place,
            )
        case NoteKind.MAIL_PICTURES:
            return plural(
                "{count} picture was left out: {place}", "{count} pictures were left out: {place}", count, place=place
            )
        case NoteKind.SIGNATURES:
            return _("Digitally signed; the signature was not checked")
        case NoteKind.ENCRYPTED_MAILS:
            return plural(
                "{count} encrypted mail was left out: {place}",
                "{count} encrypted mails were left out: {place}",
                count,
                place=place,
            )
        case NoteKind.GUESSED_ENCODING:
            return _("Read as {place}; the file does not say its encoding").format(place=place)
        case NoteKind.DAMAGED_LINES:
            return plural(
                "Line {place} is not of the file's format; kept as it stands",
                "Lines {place} are not of the file's format; kept as they stand",
                count,
                place=place,
            )
        case NoteKind.CUT_OUTPUTS:
            return plural("{count} long output was cut", "{count} long outputs were cut", count)
        case NoteKind.XML_ENTITIES:
            return _("It defines XML entities, which were not expanded; its text was read without its structure")
        case NoteKind.DAMAGED_CHARACTERS:
            return plural(
                "{count} damaged character is shown as \ufffd", "{count} damaged characters are shown as \ufffd", count
            )
        case NoteKind.DAMAGED_PAGES:
            return plural("Page {place} could not be read", "Pages {place} could not be read", count, place=place)
        case NoteKind.UNMAPPED_CHARACTERS:
            return plural(
                "{count} character without a meaning was left out: its font does not say what it stands for "
                "(page {place})",
                "{count} characters without a meaning were left out: their fonts do not say what they stand for "
                "(page {place})",
                count,
                place=place,
            )
        case NoteKind.CROWDED_PAGES:
            return plural(
                "Page {place} has too much on it to look for tables",
                "Pages {place} have too much on them to look for tables",
                count,
                place=place,
            )
        case NoteKind.XFA_FORM:
            return _("This is an XFA form: only what it also holds as an ordinary PDF form was read")
        case NoteKind.PICTURES:
            return plural(
                "{count} picture: text that is part of it was not read",
                "{count} pictures: text that is part of them was not read",
                count,
            )
        case NoteKind.EMBEDDED_FILES:
            return plural("{count} embedded file was not read", "{count} embedded files were not read", count)
        case NoteKind.MEDIA:
            return plural("{count} sound or film was not read", "{count} sounds or films were not read", count)
        case NoteKind.FRAMES:
            return plural(
                "{count} frame shows another page, which was not read",
                "{count} frames show other pages, which were not read",
                count,
            )
        case NoteKind.EQUATIONS:
            return plural(
                "{count} equation was written in one line", "{count} equations were written in one line each", count
            )
        case NoteKind.COMMENTS:
            return plural("{count} comment was kept and marked", "{count} comments were kept and marked", count)
        case NoteKind.DELETED_TEXT:
            return plural("{count} tracked deletion was left out", "{count} tracked deletions were left out", count)
        case NoteKind.HIDDEN_TEXT:
            return plural(
                "{count} piece of hidden text was left out", "{count} pieces of hidden text were left out", count
            )
        case NoteKind.HIDDEN_SHEETS:
            return plural("A hidden sheet was read: {place}", "Hidden sheets were read: {place}", count, place=place)
        case NoteKind.HIDDEN_ROWS:
            return plural(
                "{count} hidden row or column was read ({place})",
                "{count} hidden rows or columns were read ({place})",
                count,
                place=place,
            )
        case NoteKind.FORMULAS:
            return plural(
                "{count} formula without a value: its text was kept ({place})",
                "{count} formulas without a value: their text was kept ({place})",
                count,
                place=place,
            )
        case NoteKind.NUMBER_FORMATS:
            return plural(
                "Number formats of a sheet are not known: 15 % may read 0.15",
                "Number formats of {count} sheets are not known: 15 % may read 0.15",
                count,
            )
        case NoteKind.HIDDEN_SLIDES:
            return plural(
                "Slide {place} is hidden in a show", "Slides {place} are hidden in a show", count, place=place
            )
        case NoteKind.READING_AIDS:
            return plural(
                "{count} reading aid above characters was left out",
                "{count} reading aids above characters were left out",
                count,
            )
        case NoteKind.UNKNOWN_SYMBOLS:
            return plural(
                "{count} character of a symbol font is not known",
                "{count} characters of symbol fonts are not known",
                count,
            )
        case NoteKind.OLD_FORMAT:
            return _("A format of before 2007: the text is here, numbers of lists and the place of notes may not be")
        case NoteKind.DAMAGED_PARTS:
            return plural(
                "{count} part is damaged and was not read: {place}",
                "{count} parts are damaged and were not read: {place}",
                count,
                place=place,
            )
