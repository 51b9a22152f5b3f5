"""OpenDocument text, presentations and drawings (ODT, ODP, ODG, their templates, flat XML), and OpenOffice 1 files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, BinaryIO

from services.core.errors import BadInputError
from services.core.i18n import _
from services.knowledge.formats import marks
from services.knowledge.formats.blocks import Block, block_sections
from services.knowledge.formats.foreign import protected
from services.knowledge.formats.office.open_document_text import OpenDocumentText
from services.knowledge.formats.reading import Reading
from services.knowledge.formats.xml_names import (
    NAMES,
    PROLOG_BYTES,
    attribute,
    child,
    is_lack_of_memory,
    refuse_entities,
    xml_parser,
)
from services.knowledge.notes import NoteKind
from services.knowledge.types import Section

if TYPE_CHECKING:
    from lxml import etree  # type: ignore[import-untyped]

_HEADERS = frozenset({"style:header", "style:header-left", "style:header-first"})
_FOOTERS = frozenset({"style:footer", "style:footer-left", "style:footer-first"})
# Frames of a page of notes that show the slide or repeat what stands elsewhere.
_NOT_NOTES = frozenset({"page", "page-number", "header", "footer", "date-time"})


def read_open_document(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of a text, or of a presentation page by page.

    Raises:
        BadInputError: damaged, or protected with a password.
    """
    document = OpenDocument(stream, reading)
    if document.is_paged():
        yield from document.pages()
    else:
        yield from block_sections(document.blocks())


@dataclass(slots=True)
class OpenDocument:
    """The XML parts of a file: a zip file, or one XML file that holds all of them."""

    stream: BinaryIO
    reading: Reading
    content: etree._Element = field(init=False)
    styles: etree._Element | None = field(init=False)
    text: OpenDocumentText = field(init=False)
    _archive: zipfile.ZipFile | None = field(init=False, default=None)
    _repeated: dict[str, None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Parse the parts."""
        if zipfile.is_zipfile(self.stream):
            self._archive = zipfile.ZipFile(self.stream)
            self._refuse_protected()
            content = self.part("content.xml")
            if content is None:
                raise BadInputError(
                    _("The document is damaged: its main part is missing."),
                    _("Save it again with the program that made it."),
                )
            self.content, self.styles = content, self.part("styles.xml")
        else:
            self.stream.seek(0)
            self.content = self.styles = _parsed(self.stream, huge=True)
        self.text = OpenDocumentText(self.reading.notes, self.part)
        for root in (self.styles, self.content):
            if root is not None:
                self.text.styles.read(root)
                self.text.read_controls(root)

    def part(self, name: str) -> etree._Element | None:
        """Return the XML of a part, None if there is none or it cannot be read."""
        from lxml import etree

        try:
            if self._archive is not None:
                with self._archive.open(name) as part:
                    return _parsed(part)
        except KeyError:
            return None
        except (etree.XMLSyntaxError, zipfile.BadZipFile, OSError) as error:
            if name == "content.xml" or is_lack_of_memory(error):
                raise
            self.reading.notes.add(NoteKind.DAMAGED_PARTS, place=name)
        return None

    def _refuse_protected(self) -> None:
        try:
            manifest = self._archive.read("META-INF/manifest.xml") if self._archive is not None else b""
        except KeyError:
            return
        if b"encryption-data" in manifest:
            raise protected()

    def _body(self) -> etree._Element | None:
        """Return the element that holds the text or the pages."""
        body = child(self.content, "office:body")
        kinds = ("office:text", "office:presentation", "office:drawing", "office:chart")
        return next((found for kind in kinds if (found := child(body, kind)) is not None), body)

    def is_paged(self) -> bool:
        """Whether the document consists of pages of a presentation or drawing."""
        body = self._body()
        return body is not None and any(NAMES[each.tag] == "draw:page" for each in body)

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of a text document: headers first, footers last."""
        body = self._body()
        yield from marks.header(self._lines(_HEADERS))
        yield from self.text.blocks(body) if body is not None else self.text.block(self.content)
        yield from marks.footer(self._lines(_FOOTERS))

    def _masters(self) -> Iterator[etree._Element]:
        for each in self.styles if self.styles is not None else ():
            if NAMES[each.tag] == "office:master-styles":
                yield from (master for master in each if NAMES[master.tag] == "style:master-page")

    def _lines(self, kinds: frozenset[str]) -> Iterator[str]:
        with self.text.in_header():
            for master in self._masters():
                for each in master:
                    if NAMES[each.tag] in kinds and attribute(each, "display", "true") != "false":
                        for block in self.text.blocks(each):
                            yield from block.text.split("\n")

    def pages(self) -> Iterator[Section]:
        """Yield the sections of a presentation, page by page."""
        body = self._body()
        pages = [each for each in body if NAMES[each.tag] == "draw:page"] if body is not None else []
        declared = [
            "".join(each.itertext())
            for each in (body if body is not None else ())
            if NAMES[each.tag] in {"presentation:footer-decl", "presentation:header-decl"}
        ]
        for number, page in enumerate(pages, start=1):
            self.reading.progress(number - 1, len(pages))
            yield from block_sections(self._page(page, number, declared if number == 1 else []), page=number)
        self.reading.progress(len(pages), len(pages))

    def _page(self, page: etree._Element, number: int, declared: list[str]) -> Iterator[Block]:
        if self.text.styles.hides_page(attribute(page, "style-name")):
            self.reading.notes.add(NoteKind.HIDDEN_SLIDES, place=number)
        frames = [each for each in page if NAMES[each.tag] != "presentation:notes"]
        title = next((each for each in frames if attribute(each, "class") == "title"), None)
        head = " ".join(block.text for block in self.text.block(title)) if title is not None else ""
        if head:
            yield Block(head, 1)
        for each in frames:
            if each is not title:
                for block in self.text.block(each):
                    yield Block(block.text, item=block.item)
        yield from marks.on_every_slide([*declared, *self._master_text(attribute(page, "master-page-name"))])
        notes = child(page, "presentation:notes")
        for each in notes if notes is not None else ():
            if attribute(each, "class") not in _NOT_NOTES:
                text = "\n".join(block.text for block in self.text.block(each))
                if text.strip():
                    yield marks.speaker_notes(text)

    def _master_text(self, name: str) -> list[str]:
        """Return the text that a page takes from its master, unless an earlier page had it."""
        found: list[str] = []
        for master in self._masters():
            if attribute(master, "name") != name:
                continue
            with self.text.in_header():
                for each in master:
                    if NAMES[each.tag].startswith("draw:") and not attribute(each, "class"):
                        found += [block.text for block in self.text.block(each)]
        new = [text for text in found if text not in self._repeated]
        self._repeated.update(dict.fromkeys(new))
        return new


def _parsed(part: IO[bytes], *, huge: bool = False) -> etree._Element:
    from lxml import etree

    data = part.read()
    refuse_entities(data[:PROLOG_BYTES])
    return etree.parse(io.BytesIO(data), xml_parser(huge=huge)).getroot()
