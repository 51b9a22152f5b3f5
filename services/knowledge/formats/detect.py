"""Detection of file formats by content, by name only where the content is ambiguous.

Zip-based documents are checked here, before anything unpacks them.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import PurePath
from typing import BinaryIO

from services.core.errors import BadInputError, TooLargeError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.knowledge.formats.foreign import (
    compound_kind,
    is_compound,
    protected,
    refuse_foreign,
    refuse_foreign_zip,
)
from services.knowledge.formats.registry import BY_SUFFIX

HEAD_BYTES = 4096
# A file without an ending for JSON is looked through up to this size.
MOST_JSON_BYTES = 16 * MEGABYTE
_BEGINNINGS = ((b"BEGIN:VCALENDAR", "calendar"), (b"BEGIN:VCARD", "cards"), (b"WEBVTT", "subtitles"))
_MAIL = {"mail", "mbox", "mht"}
_PICTURES = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
)
# Workbooks of the years before compound files: the first record of each version.
_BIFF = (b"\x09\x00\x04\x00", b"\x09\x02\x06\x00", b"\x09\x04\x06\x00", b"\x09\x08\x08\x00\x00\x05")
_OPEN_DOCUMENTS = {
    "text": "odt",
    "writer": "odt",
    "presentation": "odp",
    "impress": "odp",
    "graphics": "odg",
    "draw": "odg",
    "formula": "odt",
    "chart": "odt",
    "spreadsheet": "ods",
}
_FLAT_DOCUMENTS = {"text": "odt", "presentation": "odp", "graphics": "odg", "spreadsheet": "fods"}
_FLAT = re.compile(rb"office:mimetype\s*=\s*[\"']application/vnd\.oasis\.opendocument\.([a-z]+)")
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
# Limits against zip bombs; pictures do not count, nothing reads them.
MAX_PART_BYTES = 96 * MEGABYTE
MAX_TOTAL_BYTES = 160 * MEGABYTE
MAX_MEMBERS = 20_000
_PARTS = (".xml", ".rels", ".xhtml", ".html", ".htm", ".opf", ".ncx", ".vml", ".bin")
_NESTED = (".zip", ".docx", ".pptx", ".xlsx", ".epub", ".odt", ".ods", ".odp", ".jar", ".7z", ".rar")
_TYPES = (
    ("word/document.xml", "docx"),
    ("ppt/presentation.xml", "pptx"),
    ("xl/workbook.bin", "xlsb"),
    ("xl/workbook.xml", "xlsx"),
    ("META-INF/container.xml", "epub"),
)


def required_library(head: bytes, name: str) -> str:
    """Return what a file with these first bytes needs of libraries: "pdf", "picture", "office", "html" or ""."""
    if _is_pdf(head):
        return "pdf"
    if picture_kind(head):
        return "picture"
    if head.startswith(b"PK\x03\x04"):
        return "office"
    if is_compound(head) or _flat_kind(head) or _mail_kind(head, name):
        return "html"
    return "html" if _is_html(head) or BY_SUFFIX.get(_suffix(name)) == "html" else ""


def detect(stream: BinaryIO, name: str) -> str:
    """Return the format of a file, a key of `registry.FORMATS`.

    Raises:
        BadInputError: the file is empty or of an unsupported format.
        TooLargeError: a zip-based document that unpacks to too much.
    """
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    if not head:
        raise BadInputError(_("The file is empty."), _("Check the original and upload it again."))
    if kind := "pdf" if _is_pdf(head) else picture_kind(head):
        return kind
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return detect_zip(stream)
    if is_compound(head):
        return compound_kind(stream)
    if flat := _flat_kind(head):
        return flat
    refuse_foreign(head)
    if _is_html(head):
        return "html"
    return _mail_kind(head, name) or _text_kind(stream, head, name)


def _text_kind(stream: BinaryIO, head: bytes, name: str) -> str:
    """Return what a text is by its ending, else by what it begins with."""
    from services.knowledge.formats.plain.code_languages import language_of
    from services.knowledge.formats.plain.json_text import is_json_file
    from services.knowledge.formats.plain.notebooks import is_notebook
    from services.knowledge.formats.plain.xml_text import is_xml

    named = BY_SUFFIX.get(_suffix(name), "text")
    start = head.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\x00")
    if named in {"text", "code"} and is_xml(head):
        return "xml"
    if named == "xml" and not start.startswith(b"<"):
        return "text"
    if named == "text":
        named = next((kind for beginning, kind in _BEGINNINGS if start.startswith(beginning)), "text")
        if language_of(name, head[:200].decode("latin-1").partition("\n")[0]) is not None:
            named = "code"
        elif start.startswith((b"{", b"[")) and is_json_file(stream, MOST_JSON_BYTES):
            named = "json"
    return "notebook" if named == "json" and is_notebook(head) else named


def picture_kind(head: bytes) -> str:
    """Return "png", "jpeg", "tiff" or "webp" for a picture that begins so, "" for other files."""
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    return next((kind for beginning, kind in _PICTURES if head.startswith(beginning)), "")


def _is_pdf(head: bytes) -> bool:
    """Whether a PDF begins here: readers accept some bytes before its header. The head of a mail that brings a PDF is
    something else.
    """
    from services.knowledge.formats.mail.mail import looks_like_mail

    return head.startswith(b"%PDF-") or (b"%PDF-" in head[:1024] and not looks_like_mail(head))


def _is_html(head: bytes) -> bool:
    """Whether an HTML page begins here, after an XML declaration and comments."""
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    while head.startswith((b"<!--", b"<?xml")):
        _comment, closed, head = head.partition(b"-->" if head.startswith(b"<!") else b"?>")
        if not closed:
            return False
        head = head.lstrip()
    return _HTML.match(head) is not None


def _mail_kind(head: bytes, name: str) -> str:
    """Return "mail", "mbox" or "mht" for a mail; its own word counts where the ending says nothing."""
    from services.knowledge.formats.mail.mail import looks_like_mail

    named = BY_SUFFIX.get(_suffix(name), "text")
    if named in _MAIL:
        return named
    return looks_like_mail(head) if named == "text" else ""


def _flat_kind(head: bytes) -> str:
    """Return the format of an office document that is no zip file: RTF, a very old workbook, or all in one XML file."""
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{\\rtf"):
        return "rtf"
    return "xls" if head.startswith(_BIFF) else _one_xml_file(head)


def _one_xml_file(head: bytes) -> str:
    """Return the format of an office document in one XML file, "" for other files."""
    if b"<office:document" in head:
        found = _FLAT.search(head)
        return _FLAT_DOCUMENTS.get(found[1].decode() if found else "text", "")
    if b"office:spreadsheet" in head and b"Workbook" in head:
        return "spreadsheet-xml"
    if b"<w:wordDocument" in head:
        return "docx"
    if b"<pkg:package" in head:
        return "pptx" if b"PowerPoint" in head or b"/ppt/" in head else "docx"
    return ""


def _suffix(name: str) -> str:
    return PurePath(name.replace("\\", "/")).suffix.lower()


def detect_zip(stream: BinaryIO) -> str:
    """Return the format of a zip-based document ("docx", "pptx", "xlsx", "epub").

    Raises:
        BadInputError: damaged, encrypted, or not a document.
        TooLargeError: it would unpack to more than any legitimate document.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            names = {member.filename for member in members}
            open_document = _open_document(archive, names)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise BadInputError(
            _("The file is damaged: its parts cannot be listed."), _("Save it again with the program that made it.")
        ) from error
    finally:
        stream.seek(0)
    # Word allows other names for the main part; its content types say so, but the folder always gives it away.
    kind = (
        open_document
        or next((kind for part, kind in _TYPES if part in names), "")
        or next(
            (kind for part, kind in _TYPES[:4] if any(name.startswith(part.split("/")[0] + "/") for name in names)), ""
        )
    )
    if not kind:
        refuse_foreign_zip(names)
        nested = any(name.lower().endswith(_NESTED) for name in names)
        raise BadInputError(
            _("This is an archive that contains other archives.")
            if nested
            else _("This is an archive, not a document."),
            _("Unpack it and upload the documents inside."),
        )
    _check_sizes(members)
    return kind


def _open_document(archive: zipfile.ZipFile, names: set[str]) -> str:
    """Return the format of an OpenDocument file by its media type, "" for other files."""
    for part in ("mimetype", "META-INF/manifest.xml"):
        if part not in names or "content.xml" not in names or archive.getinfo(part).flag_bits & 1:
            continue
        with archive.open(part) as stream:
            found = re.search(rb"application/vnd\.(?:oasis\.opendocument|sun\.xml)\.([a-z]+)", stream.read(HEAD_BYTES))
        if found:
            return _OPEN_DOCUMENTS.get(found[1].decode(), "")
    return ""


def _check_sizes(members: list[zipfile.ZipInfo]) -> None:
    if any(member.flag_bits & 1 for member in members):
        raise protected()
    parts = [member.file_size for member in members if member.filename.lower().endswith(_PARTS)]
    if len(members) > MAX_MEMBERS or sum(parts) > MAX_TOTAL_BYTES or max(parts, default=0) > MAX_PART_BYTES:
        raise TooLargeError(
            _("The document unpacks to {size} MB in {count} parts, more than a document of its kind needs.").format(
                size=sum(parts) // MEGABYTE, count=len(members)
            ),
            _("Split it into smaller documents, or save its text in another format."),
        )
