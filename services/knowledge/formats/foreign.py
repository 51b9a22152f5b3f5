"""Formats that are not read, by the name that people know them by, and which program turns them into one that is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from services.core.errors import BadInputError
from services.core.i18n import _

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def protected() -> BadInputError:
    """Return the error for a document that asks for a password or a licence."""
    return BadInputError(
        _("The document is protected with a password."), _("Upload a copy that was saved without a password.")
    )


def unread(what: str, hint: str) -> BadInputError:
    """Return the error for a format that is not read."""
    return BadInputError(_("This is {what}, which cannot be read.").format(what=what), hint)


def is_compound(head: bytes) -> bool:
    """Whether a file begins as the compound files (OLE) of Microsoft's programs of before 2007 do."""
    return head.startswith(_OLE)


def compound_kind(stream: BinaryIO) -> str:
    """Return the format of a compound file: "msg", "xls", "doc" or "ppt".

    Raises:
        BadInputError: it is protected, damaged, or of a format that is not read.
    """
    import olefile  # type: ignore[import-untyped]

    try:
        with olefile.OleFileIO(stream) as parts:
            names = {name for path in parts.listdir(streams=True, storages=True) for name in path[:1]}
    except (OSError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise unread(_("an old Office file, and a damaged one"), _save_anew()) from error
    finally:
        stream.seek(0)
    if names & {"EncryptedPackage", "DRMEncryptedDataSpace"}:
        raise protected()
    if "__properties_version1.0" in names:
        return "msg"
    if names & {"Workbook", "Book"}:
        return "xls"
    if "WordDocument" in names:
        return "doc"
    if "PowerPoint Document" in names:
        return "ppt"
    what, hint = next(
        ((what, hint) for name, what, hint in _compound_formats() if name in names),
        (_("an old Office file"), _save_anew()),
    )
    raise unread(what, hint)


def _compound_formats() -> Iterator[tuple[str, str, str]]:
    """Yield (a stream that tells, what the file is, what to do)."""
    yield "VisioDocument", _("a Visio drawing"), _save_as("PDF")
    yield "Quill", _("a Publisher document"), _save_as("PDF")
    yield "MatOST", _("a Works document"), _save_as("DOCX")
    yield "PerfectOffice_MAIN", _("a WordPerfect document"), _save_as("DOCX")
    yield "BodyText", _("a Hangul document (.hwp)"), _save_as("DOCX")
    yield "StarWriterDocument", _("a StarOffice document"), _save_as("ODT")


def _save_as(form: str) -> str:
    return _("Open it in the program that made it or in LibreOffice, save it as {form}, and upload that.").format(
        form=form
    )


def _save_anew() -> str:
    return _("Save it as PDF, DOCX, PPTX, XLSX or text without a password, and upload that.")


def refuse_foreign(head: bytes) -> None:
    """Refuse a file that begins like a format that is not read.

    Raises:
        BadInputError: it does.
    """
    for magic, what, hint in _magics():
        if head.startswith(magic):
            raise unread(what, hint)
    if head[60:68] in {b"BOOKMOBI", b"TEXtREAd"}:
        raise unread(_("a Kindle book"), _("Convert it to EPUB, for example with Calibre, and upload that."))


def _magics() -> Iterator[tuple[bytes, str, str]]:
    """Yield (first bytes, what the file is, what to do)."""
    for picture in (b"GIF8", b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51", b"8BPS"):
        yield picture, _("a picture of a kind that is seldom text"), _("Save it as PNG or TIFF, and upload that.")
    for program in (b"\x7fELF", b"MZ\x90"):
        yield program, _("a program"), _("Upload the documents that belong to it.")
    for archive in (b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"):
        yield archive, _("an archive"), _("Unpack it and upload the documents inside.")
    yield b"SQLite format 3\x00", _("a database"), _("Export what it holds as CSV, and upload that.")
    yield b"\xffWPC", _("a WordPerfect document"), _save_as("DOCX")
    for word in (b"\xdb\xa5-\x00", b"1\xbe\x00\x00", b"2\xbe\x00\x00", b"\xfe7\x00#"):
        yield word, _("a Word document of the time before 1997"), _save_as("DOCX")
    yield b"%!PS", _("a PostScript file"), _save_as("PDF")
    yield b"AT&TFORM", _("a DjVu document"), _save_as("PDF")
    yield b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d", _("a OneNote notebook"), _save_as("PDF")


def refuse_foreign_zip(names: set[str]) -> None:
    """Refuse a zip-based document of a format that is not read, by the parts that it has.

    Raises:
        BadInputError: it is one.
    """
    if "encrypted-package" in names:
        raise protected()
    for part, what, form in _zip_formats():
        if any(name.startswith(part) for name in names):
            raise unread(what, _save_as(form))


def _zip_formats() -> Iterator[tuple[str, str, str]]:
    """Yield (how the name of a part begins, what the file is, the form to save it in)."""
    yield "Index/Slide", _("a Keynote presentation"), "PPTX"
    yield "index.apxl", _("a Keynote presentation"), "PPTX"
    yield "Index/Document.iwa", _("a document of Pages or Numbers"), "PDF"
    yield "Index.zip", _("a document of Pages, Numbers or Keynote"), "PDF"
    yield "database/", _("a database of LibreOffice"), "ODS"
    yield "visio/", _("a Visio drawing"), "PDF"
    yield "FixedDocumentSequence.fdseq", _("an XPS document"), "PDF"
    yield "FixedDocSeq.fdseq", _("an XPS document"), "PDF"
    yield "Contents/section0.xml", _("a Hangul document (.hwpx)"), "DOCX"
