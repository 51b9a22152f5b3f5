"""Looks at zip-based documents before anything unpacks them."""

from __future__ import annotations

import zipfile
from typing import BinaryIO

from services.errors import BadInputError, TooLargeError
from services.texts import _

MEGABYTE = 1024 * 1024
# No XML part of an honest document unpacks to more; pictures do not count, nothing reads them.
LARGEST_PART = 96 * MEGABYTE
LARGEST_TOTAL = 160 * MEGABYTE
MOST_MEMBERS = 20_000
_PARTS = (".xml", ".rels", ".xhtml", ".html", ".htm", ".opf", ".ncx", ".vml", ".bin")
_NESTED = (".zip", ".docx", ".pptx", ".xlsx", ".epub", ".jar", ".7z", ".rar")

_TYPES = (
    ("word/document.xml", "docx"),
    ("ppt/presentation.xml", "pptx"),
    ("xl/workbook.xml", "xlsx"),
    ("META-INF/container.xml", "epub"),
)


def inspect(stream: BinaryIO) -> str:
    """Return the kind of document in a zip file ("docx", "pptx", "xlsx", "epub").

    Raises:
        BadInputError: damaged, encrypted, or an archive of something else.
        TooLargeError: it would unpack to more than any honest document does.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            names = {member.filename for member in members}
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise BadInputError(
            _("The file is damaged: its parts cannot be listed."), _("Save it again with the program that made it.")
        ) from error
    finally:
        stream.seek(0)
    # Word allows other names for the main part; its content types say so, but the folder always gives it away.
    kind = next((kind for part, kind in _TYPES if part in names), "") or next(
        (kind for part, kind in _TYPES[:3] if any(name.startswith(part.split("/")[0] + "/") for name in names)), ""
    )
    if not kind:
        nested = any(name.lower().endswith(_NESTED) for name in names)
        raise BadInputError(
            _("This is an archive that contains other archives.")
            if nested
            else _("This is an archive, not a document."),
            _("Unpack it and upload the documents inside."),
        )
    _check_sizes(members)
    return kind


def _check_sizes(members: list[zipfile.ZipInfo]) -> None:
    if any(member.flag_bits & 1 for member in members):
        raise BadInputError(
            _("The document is protected with a password."), _("Upload a copy that was saved without a password.")
        )
    parts = [member.file_size for member in members if member.filename.lower().endswith(_PARTS)]
    if len(members) > MOST_MEMBERS or sum(parts) > LARGEST_TOTAL or max(parts, default=0) > LARGEST_PART:
        raise TooLargeError(
            _("The document unpacks to {size} MB in {count} parts, more than a document of its kind needs.").format(
                size=sum(parts) // MEGABYTE, count=len(members)
            ),
            _("Split it into smaller documents, or save its text in another format."),
        )
