"""Sanitising names of files and collections for display; they are never used as paths."""

from __future__ import annotations

import re
import unicodedata

from services.core.i18n import _

LONGEST_NAME = 255
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
    return _shorten(text)


def collection_name(raw: str) -> str:
    """Return a collection's name as stored: one line, at most 255 characters; empty if nothing visible is left."""
    text = unicodedata.normalize("NFC", raw)
    text = "".join(c if _visible(c) else " " if c.isspace() else "" for c in text)
    return re.sub(r"\s+", " ", text).strip()[:LONGEST_NAME].strip()


def _visible(character: str) -> bool:
    return character in _JOINERS or unicodedata.category(character) not in _HIDDEN_CATEGORIES


def _shorten(text: str) -> str:
    if len(text) <= LONGEST_NAME:
        return text
    stem, dot, extension = text.rpartition(".")
    if not dot or len(extension) > 16:
        return text[:LONGEST_NAME].rstrip()
    return f"{stem[: LONGEST_NAME - len(extension) - 1].rstrip()}.{extension}"
