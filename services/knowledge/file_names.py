"""Names of files made fit for display, never used as paths; names of documents that belong to a folder or to a mail."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from services.core.errors import ConflictError
from services.core.i18n import _

LONGEST_NAME = 255
# Between a folder or a mail and what it contains: no file system allows it to pass for a path.
SEPARATOR = " › "
_LONGEST_OWN_NAME = 160  # of an attachment, where the whole name is too long
_JOINERS = "\u200c\u200d"  # zero-width, but part of how Persian and Indic words are written
_HIDDEN_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def display_name(raw: str) -> str:
    """Return the display name of a file that was uploaded as `raw`: one line, at most 255 characters.

    Removed: folders with either kind of slash, control characters, marks that change the writing direction (they can
    make "exe.fdp" read as "pdf.exe"). Long names are cut before the extension. Markup stays: the user interface
    escapes it.
    """
    text = unicodedata.normalize("NFC", raw.replace("\\", "/").rsplit("/", 1)[-1])
    text = "".join(c if _visible(c) else " " if c in "\t\n\r\u2028\u2029" else "" for c in text)
    text = re.sub(r"\s+", " ", text).strip()
    if not text.strip("."):
        return _("unnamed file")
    return _shorten(text, LONGEST_NAME)


def document_name(raw: str) -> str:
    """Return the name of the document for a file that a client calls `raw`, with the folders that it names.

    Of a full path ("C:\\Users\\anna\\offer.pdf", "/home/anna/offer.pdf") only the last part counts: the folders are
    those of the sender's machine.
    """
    parts = re.split(r"[\\/]", raw)
    if ".." in parts or re.match(r"[\\/]|[A-Za-z]:[\\/]", raw):
        parts = parts[-1:]
    return name_with_folders(parts)


class NamesOfOneUpload:
    """The names of files that come together: a second one of the same name would replace the first in silence."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def add(self, raw: str) -> None:
        """Record a file that the client calls `raw`.

        Raises:
            ConflictError: another file of this upload has its name.
        """
        name = document_name(raw)
        if name in self._names:
            raise ConflictError(
                _("Two files of this upload are called “{name}”; only the first was added.").format(name=name),
                _("Rename one of them, or send both with their folders in their names (“a/{name}”).").format(name=name),
            )
        self._names.add(name)


def name_with_folders(parts: Sequence[str]) -> str:
    """Return the name of a file with the folders that it lies in, outermost first; parts that mean no folder are left
    out.
    """
    folders = [display_name(part) for part in parts[:-1] if part.strip(" .")]
    return _within(SEPARATOR.join(folders), display_name(parts[-1]))


def attachment_name(parent: str, raw: str) -> str:
    """Return the name of a document that came as `raw` with the document `parent`."""
    return _within(parent, display_name(raw))


def numbered_name(name: str, number: int) -> str:
    """Return a name with a number before its extension: "report (2).pdf"."""
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension) > 16:
        stem, dot, extension = name, "", ""
    mark = f" ({number}){dot}{extension}"
    return stem[: LONGEST_NAME - len(mark)].rstrip() + mark


def collection_name(raw: str) -> str:
    """Return a collection's name as stored: one line, at most 255 characters; empty if nothing visible is left."""
    text = unicodedata.normalize("NFC", raw)
    text = "".join(c if _visible(c) else " " if c.isspace() else "" for c in text)
    return re.sub(r"\s+", " ", text).strip()[:LONGEST_NAME].strip()


def _within(outer: str, name: str) -> str:
    """Return a name with what it lies in before it; too long, both are cut, the outer one more."""
    if not outer:
        return name
    if len(outer) + len(SEPARATOR) + len(name) > LONGEST_NAME:
        name = _shorten(name, _LONGEST_OWN_NAME)
        room = LONGEST_NAME - len(SEPARATOR) - len(name)
        if len(outer) > room:
            outer = outer[: room - 1].rstrip() + "…"
    return f"{outer}{SEPARATOR}{name}"


def _visible(character: str) -> bool:
    return character in _JOINERS or unicodedata.category(character) not in _HIDDEN_CATEGORIES


def _shorten(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    stem, dot, extension = text.rpartition(".")
    if not dot or len(extension) > 16:
        return text[:longest].rstrip()
    return f"{stem[: longest - len(extension) - 1].rstrip()}.{extension}"
