"""DOCX, PPTX, EPUB and HTML through markitdown's converters.

Its converter classes are used one by one: the package's main class starts a neural network to detect file types and
loads pandas for spreadsheets, which costs 230 MB of address space and threads that do not survive a fork. Types are
detected by `detect` and spreadsheets read by `tables`, so both stay out of the fork server.
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from services.core.errors import BadInputError
from services.core.i18n import _
from services.knowledge.formats.reading import Reading
from services.knowledge.formats.encodings import decode_page
from services.knowledge.formats.text import markdown_sections
from services.knowledge.types import Section

if TYPE_CHECKING:
    from markitdown import DocumentConverter, DocumentConverterResult

# A document type definition stands before the first element.
_PROLOG_BYTES = 65_536
# Chunks are shown as plain text: no inline markup, links and pictures by their text only.
_PLAIN_TEXT: dict[str, Any] = {
    "strip": ["a", "b", "strong", "em", "i", "u", "s", "del", "sub", "sup", "code", "kbd", "samp"],
    "escape_asterisks": False,
    "escape_underscores": False,
    "escape_misc": False,
    "bullets": "-",
}
_IMAGE = re.compile(r"!\[([^\]\n]{0,1000})\]\([^)\n]{0,2000}\)")
_SLIDE = re.compile(r"^<!-- Slide number: (\d+) -->$", re.MULTILINE)


def load() -> None:
    """Import the converters (about 0.4 s and 45 MB, once per fork server)."""
    sys.modules.setdefault("magika", types.ModuleType("magika"))
    if "pandas" not in sys.modules:
        sys.modules["pandas"] = None  # type: ignore[assignment]  # as if not installed, which markitdown supports
    import markitdown.converters  # noqa: F401


def read_docx(stream: BinaryIO, _reading: Reading) -> Iterator[Section]:
    """Yield the sections of a Word document."""
    load()
    from markitdown.converters import DocxConverter

    check_entities(stream)
    yield from markdown_sections(_clean(_convert(DocxConverter, stream).markdown))


def read_pptx(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of a presentation, slide by slide."""
    load()
    from markitdown.converters import PptxConverter

    check_entities(stream)
    yield from _slides(_convert(PptxConverter, stream).markdown, reading.progress)


def read_epub(stream: BinaryIO, _reading: Reading) -> Iterator[Section]:
    """Yield the sections of a book."""
    load()
    from markitdown.converters import EpubConverter

    check_entities(stream)
    yield from markdown_sections(_clean(_convert(EpubConverter, stream).markdown))


def _convert(converter: Callable[[], DocumentConverter], stream: BinaryIO) -> DocumentConverterResult:
    from markitdown import StreamInfo

    return converter().convert(stream, StreamInfo(), **_PLAIN_TEXT)


def read_html(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of a page."""
    load()
    from markitdown.converters import HtmlConverter

    page = decode_page(stream.read())
    page.add_notes(reading.notes)
    result = HtmlConverter().convert_string(page.text, **_PLAIN_TEXT)
    markdown = _clean(result.markdown)
    title = " ".join((result.title or "").split())
    if title and not re.search(r"^#", markdown, re.MULTILINE):
        markdown = f"# {title}\n\n{markdown}"
    yield from markdown_sections(markdown)


def _slides(markdown: str, progress: Callable[[int, int], None]) -> Iterator[Section]:
    """Yield sections with slide numbers as pages. Slide marks count up, so that a slide's text cannot fake one."""
    starts: list[tuple[int, int]] = []
    for match in _SLIDE.finditer(markdown):
        if int(match[1]) == len(starts) + 1:
            starts.append((match.start(), match.end()))
    for number, (_start, begin) in enumerate(starts, start=1):
        end = starts[number][0] if number < len(starts) else len(markdown)
        yield from markdown_sections(_clean(markdown[begin:end]), page=number)
        progress(number, len(starts))


def _clean(markdown: str) -> str:
    """Return Markdown without pictures and runs of blank lines."""
    text = _IMAGE.sub(lambda match: match[1], markdown)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def check_entities(stream: BinaryIO) -> None:
    """Refuse XML parts that define entities: office documents do not need them, entity expansion attacks do.

    Raises:
        BadInputError: a part has a document type definition with entities.
    """
    import zipfile

    with zipfile.ZipFile(stream) as archive:
        for member in archive.infolist():
            if member.filename.lower().endswith((".xml", ".rels", ".opf", ".vml")):
                with archive.open(member) as part:
                    head = part.read(_PROLOG_BYTES)
                wide = head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in head[:64]
                if b"<!ENTITY" in (head.replace(b"\x00", b"") if wide else head).upper():
                    raise BadInputError(
                        _("The document defines XML entities, which real documents do not; it was not read."),
                        _("Save it again with the program that made it."),
                    )
    stream.seek(0)
