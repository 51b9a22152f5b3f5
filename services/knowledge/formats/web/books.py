"""EPUB, of versions 2 and 3: the chapters in the order of the spine."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote

from services.core.errors import BadInputError
from services.core.i18n import _
from services.knowledge.formats.blocks import Block, block_sections
from services.knowledge.formats.encoding.encodings import decode_page
from services.knowledge.formats.foreign import protected
from services.knowledge.formats.open_package import Package, check_entities
from services.knowledge.formats.reading import Reading
from services.knowledge.formats.web.web_pages import page_blocks
from services.knowledge.formats.xml_names import NAMES, attribute, xml_parser
from services.knowledge.notes import NoteKind
from services.knowledge.types import Section

if TYPE_CHECKING:
    from lxml import etree  # type: ignore[import-untyped]

_PAGES = (".xhtml", ".html", ".htm", ".xml", ".svg")
# These methods only disguise fonts.
_FONT_METHODS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_BARE_AMPERSAND = re.compile(rb"&(?!#?\w{1,20};)")
_LICENCES = ("META-INF/rights.xml", "META-INF/sinf.xml", "META-INF/license.lcpl")
_MOST_CHAPTERS = 20_000


def read_epub(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of a book.

    Raises:
        BadInputError: its chapters are encrypted, or it has none.
    """
    check_entities(stream)
    yield from block_sections(Book(stream, reading).blocks())


@dataclass(slots=True)
class Book:
    """A book: what its package file lists, with paths as the zip file has them."""

    stream: BinaryIO
    reading: Reading
    package: Package = field(init=False)
    titles: list[str] = field(init=False, default_factory=list)
    chapters: list[str] = field(init=False, default_factory=list)
    labels: dict[str, str] = field(init=False, default_factory=dict)
    _encrypted: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        """Read what lists the chapters."""
        self.package = Package(self.stream, self.reading.notes)
        encryption = self._lenient("META-INF/encryption.xml")
        self._encrypted = set(_encrypted(encryption)) if encryption is not None else set()
        for name in self._package_files():
            root = self._lenient(name)
            # Further package files describe the same book in another form.
            if root is not None and not self.chapters:
                self._read_package(root, posixpath.dirname(name))
        if not self.chapters:
            names = sorted(self.package.names())
            self.chapters = [name for name in names if name.endswith(_PAGES[:3])]
        if not self.chapters:
            raise BadInputError(
                _("The book is damaged: no chapter is in it."), _("Save it again with the program that made it.")
            )

    def _package_files(self) -> list[str]:
        root = self._lenient("META-INF/container.xml")
        listed = (
            [] if root is None else [attribute(each, "full-path") for each in root.iter() if _local(each) == "rootfile"]
        )
        found = [name.replace("\\", "/").lstrip("/") for name in listed if name in self.package]
        return found or [name for name in self.package.names() if name.endswith(".opf")][:1]

    def _lenient(self, name: str) -> etree._Element | None:
        """Return the XML of a part, read on after errors: many books have names with a bare "&"."""
        from lxml import etree

        try:
            with self.package.open(name) as part:
                data = part.read()
                if b"\x00" not in data[:100]:  # not UTF-16
                    data = _BARE_AMPERSAND.sub(b"&amp;", data)
                return etree.parse(io.BytesIO(data), xml_parser(recover=True)).getroot()
        except KeyError:
            return None
        except (etree.XMLSyntaxError, zipfile.BadZipFile, OSError):
            self.reading.notes.add(NoteKind.DAMAGED_PARTS, place=posixpath.basename(name))
            return None

    def _read_package(self, root: etree._Element, folder: str) -> None:
        """Read title, authors and chapters; the table of contents names chapters that have no heading."""
        items: dict[str, str] = {}
        contents: list[str] = []
        for each in root.iter():
            match _local(each):
                case "title" | "creator" if len(self.titles) < 5 and each.text:
                    self.titles.append(" ".join(each.text.split()))
                case "item":
                    path = _path(folder, attribute(each, "href"))
                    items[attribute(each, "id")] = path
                    if "nav" in attribute(each, "properties").split() or path.lower().endswith(".ncx"):
                        contents.append(path)
                case "itemref" if len(self.chapters) < _MOST_CHAPTERS:
                    found = items.get(attribute(each, "idref"), "")
                    if found and found not in self.chapters:
                        self.chapters.append(found)
        for path in contents:
            self._read_contents(path)
        # The table of contents repeats the headings.
        self.chapters = [path for path in self.chapters if path not in contents]

    def _read_contents(self, path: str) -> None:
        root = self._lenient(path) if path in self.package else None
        for each in root.iter() if root is not None else ():
            target = attribute(each, "href") if _local(each) == "a" else attribute(each, "src")
            if _local(each) == "a" and target:
                text = " ".join("".join(each.itertext()).split())
            elif _local(each) == "content" and target and each.getparent() is not None:
                labels = [part for part in each.getparent() if _local(part) == "navLabel"]
                text = " ".join(part for label in labels for part in label.itertext())
            else:
                continue
            file = _path(posixpath.dirname(path), target)
            if text:
                self.labels.setdefault(file, " ".join(text.split()))

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of the book: title and authors, then chapter by chapter."""
        yield from (Block(title) for title in self.titles)
        for at, chapter in enumerate(self.chapters):
            self.reading.progress(at, len(self.chapters))
            yield from self._chapter(chapter)
        self.reading.progress(len(self.chapters), len(self.chapters))

    def _chapter(self, name: str) -> Iterator[Block]:
        if name.lower() in self._encrypted:
            raise protected()
        try:
            with self.package.open(name) as part:
                data = part.read()
        except (KeyError, zipfile.BadZipFile, OSError):
            self.reading.notes.add(NoteKind.DAMAGED_PARTS, place=posixpath.basename(name))
            return
        if b"<" not in data.replace(b"\x00", b"")[:2000]:
            if any(part in self.package for part in _LICENCES):
                raise protected()
            if not name.lower().endswith(_PAGES):
                self.reading.notes.add(NoteKind.PICTURES)
                return
        blocks = page_blocks(self._text(data), self.reading.notes, titled=False)
        label = self.labels.get(name, "")
        if label and blocks and not any(block.level for block in blocks):
            yield Block(label, 1)
        yield from blocks

    def _text(self, data: bytes) -> str:
        """Return a chapter's text: UTF-8, as the standard asks, unless it says or is something else."""
        prolog = data[:200].partition(b">")[0].lower()
        if b"encoding" not in prolog or b"utf-8" in prolog:
            try:
                return data.decode("utf-8-sig")
            except UnicodeDecodeError:
                pass  # the bytes decide
        page = decode_page(data)
        page.add_notes(self.reading.notes)
        return page.text


def _local(element: etree._Element) -> str:
    return NAMES[element.tag].rpartition(":")[2]


def _path(folder: str, target: str) -> str:
    """Return the name of a part that `target` refers to from a folder."""
    target = unquote(target.partition("#")[0].replace("\\", "/"))
    return target.lstrip("/") if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))


def _encrypted(root: etree._Element) -> Iterator[str]:
    """Yield the parts that are encrypted, in lower case; disguised fonts are none."""
    for each in root.iter():
        if _local(each) == "EncryptedData":
            methods = [attribute(part, "Algorithm") for part in each if _local(part) == "EncryptionMethod"]
            if not any(method in _FONT_METHODS for method in methods):
                yield from (
                    _path("", attribute(part, "URI")).lower()
                    for part in each.iter()
                    if _local(part) == "CipherReference"
                )
