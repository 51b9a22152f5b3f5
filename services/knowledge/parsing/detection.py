"""What a file is: decided by its content, by its name only where the content leaves it open."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import BinaryIO

from services.errors import BadInputError
from services.knowledge.parsing import archives
from services.texts import _

MEDIA_TYPES = {
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "epub": "application/epub+zip",
    "html": "text/html",
    "csv": "text/csv",
    "markdown": "text/markdown",
    "text": "text/plain",
}
HEAD_BYTES = 4096

_SUFFIXES = {
    ".htm": "html", ".html": "html", ".xhtml": "html", ".csv": "csv", ".tsv": "csv", ".md": "markdown",
    ".markdown": "markdown", ".mdown": "markdown",
}  # fmt: skip
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)


def needs(head: bytes, name: str) -> str:
    """Return which libraries the file will need by its first bytes: "pdf", "office", "html" or "" (none)."""
    if _is_pdf(head):
        return "pdf"
    if head.startswith(b"PK\x03\x04"):
        return "office"
    return "html" if _is_html(head) or _SUFFIXES.get(_suffix(name)) == "html" else ""


def detect(stream: BinaryIO, name: str) -> str:
    """Return the kind of a file, a key of `MEDIA_TYPES`.

    Raises:
        BadInputError: the file is empty or of a kind that is not read.
        TooLargeError: a zip-based document that unpacks to too much.
    """
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    if not head:
        raise BadInputError(_("The file is empty."), _("Check the original and upload it again."))
    if _is_pdf(head):
        return "pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return archives.inspect(stream)
    for magic, what in _foreign():
        if head.startswith(magic):
            raise BadInputError(
                _("This is {what}, which cannot be read.").format(what=what),
                _("Save it as PDF, DOCX, PPTX, XLSX, EPUB, HTML, CSV, Markdown or text without a password."),
            )
    if _is_html(head):
        return "html"
    return _SUFFIXES.get(_suffix(name), "text")


def _foreign() -> Iterator[tuple[bytes, str]]:
    """Yield formats that are recognised only to say clearly that they are not read."""
    yield b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _("an old or password-protected Office file")
    yield b"{\\rtf", _("an RTF file")
    for picture in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"II*\x00", b"MM\x00*"):
        yield picture, _("a picture")
    for program in (b"\x7fELF", b"MZ\x90"):
        yield program, _("a program")
    for archive in (b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"):
        yield archive, _("an archive")
    yield b"SQLite format 3\x00", _("a database")


def _is_pdf(head: bytes) -> bool:
    # Readers accept some bytes before the header.
    return b"%PDF-" in head[:1024]


def _is_html(head: bytes) -> bool:
    """Whether a page begins here, after an XML declaration and comments."""
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    while head.startswith((b"<!--", b"<?xml")):
        _comment, closed, head = head.partition(b"-->" if head.startswith(b"<!") else b"?>")
        if not closed:
            return False
        head = head.lstrip()
    return _HTML.match(head) is not None


def _suffix(name: str) -> str:
    return PurePath(name.replace("\\", "/")).suffix.lower()
