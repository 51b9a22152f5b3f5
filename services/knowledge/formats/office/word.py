"""Word documents (DOCX, DOCM, DOTX): body, headers, footers, notes, comments, text boxes, tables, in reading order.

Our own walk over the document's parts: of the libraries at hand none keeps text boxes, headers, comments and merged
cells. The body is read paragraph by paragraph and dropped behind, so that memory does not grow with its length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from services.knowledge.formats import marks
from services.knowledge.formats.blocks import Block, TableGrid, block_sections
from services.knowledge.formats.equations import equation_text
from services.knowledge.formats.office.word_styles import Numbering, Styles
from services.knowledge.formats.office.word_text import ParagraphText, RunReader
from services.knowledge.formats.open_package import Package, check_entities
from services.knowledge.formats.reading import Reading
from services.knowledge.formats.web.web_pages import included_page, page_blocks
from services.knowledge.formats.xml_names import NAMES, attribute, child, is_on, value
from services.knowledge.notes import NoteKind
from services.knowledge.types import Section

if TYPE_CHECKING:
    from lxml import etree  # type: ignore[import-untyped]

# Parts of a body that hold others.
_AROUND = frozenset({"w:sdt", "w:sdtContent", "w:customXml", "w:ins", "w:moveTo", "w:smartTag", "sect", "sub-section"})
# A table of one row with cells of this many characters is a way to lay out text in columns.
_LONG_CELL = 300
# Chinese punctuation that no blank follows.
_CLOSING = "、．，）】"


def read_docx(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of a Word document."""
    check_entities(stream)
    package = Package(stream, reading.notes)
    yield from block_sections(WordReader(package, reading).blocks())


@dataclass(slots=True)
class SideTexts:
    """Texts that the body refers to by identifier: footnotes, endnotes and comments, each with its author."""

    texts: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    numbers: dict[tuple[str, str], int] = field(default_factory=dict)

    def mark(self, kind: str, identifier: str) -> str:
        """Return what stands in the text for a footnote; comments leave no mark."""
        key = (kind, identifier)
        if kind == "comment" or key not in self.texts:
            return ""
        self.numbers.setdefault(key, len(self.numbers) + 1)
        return marks.footnote_mark(self.numbers[key])

    def blocks(self, references: Iterable[tuple[str, str]]) -> Iterator[Block]:
        """Yield what the text before refers to, each once."""
        for key in dict.fromkeys(references):
            author, text = self.texts.pop(key, ("", ""))
            if text and key[0] == "comment":
                yield marks.comment(author, text)
            elif text:
                yield marks.footnote(self.numbers.get(key, len(self.numbers) + 1), text)


class WordReader:
    """Reads a document part by part."""

    def __init__(self, package: Package, reading: Reading) -> None:
        self._package = package
        self.notes = reading.notes
        self._main = package.main_part("word/document.xml")
        self._styles = Styles()
        self._styles.read(self._root("styles"))
        self._numbering = Numbering(self._styles)
        self._numbering.read(self._root("numbering"))
        self._side = SideTexts()
        self._runs = self._reader(self._main)
        self._streamed: WordTable | None = None
        self._first_row: etree._Element | None = None

    def _root(self, kind: str) -> etree._Element | None:
        found = self._package.related(self._main, kind)
        return self._package.root(found[0]) if found else None

    def _reader(self, part: str, *, is_header: bool = False) -> RunReader:
        return RunReader(self._package, part, self.notes, self._box, self._side.mark, is_header=is_header)

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of the whole document: headers first, footers last."""
        for kind in ("footnote", "endnote", "comment"):
            for part in self._package.related(self._main, f"{kind}s"):
                self._read_side_texts(kind, part)
        footers = marks.footer(self._lines_of("footer"))
        yield from marks.header(self._lines_of("header"))
        yield from self._body()
        # Comments whose place in the text is gone.
        yield from self._side.blocks([key for key in self._side.texts if key[0] == "comment"])
        yield from footers

    def _lines_of(self, kind: str) -> Iterator[str]:
        """Yield the lines of all headers or footers: of the first page, of even pages, of each section."""
        for part in self._package.related(self._main, kind):
            root = self._package.root(part)
            if root is not None:
                yield from self._lines_in(root, part, is_header=True)

    def _lines_in(self, root: etree._Element, part: str, *, is_header: bool = False) -> list[str]:
        """Return the lines of another part, whose relations are its own."""
        main, self._runs = self._runs, self._reader(part, is_header=is_header)
        try:
            return [line for each in root for block in self._block(each) for line in block.text.split("\n")]
        finally:
            self._runs = main

    def _read_side_texts(self, kind: str, part: str) -> None:
        root = self._package.root(part)
        for each in root if root is not None else ():
            if attribute(each, "type", "normal") != "normal":
                continue  # the lines that separate notes from the text
            text = "\n".join(self._lines_in(each, part)).strip()
            if text and kind == "comment":
                self.notes.add(NoteKind.COMMENTS)
            self._side.texts[kind, attribute(each, "id")] = (attribute(each, "author"), text)

    def _body(self) -> Iterator[Block]:
        from lxml import etree

        wanted = [
            "{*}p",
            "{*}tbl",
            "{*}sdt",
            "{*}customXml",
            "{*}ins",
            "{*}altChunk",
            "{*}AlternateContent",
            "{*}tr",
            "{*}sect",
        ]
        with self._package.open(self._main) as part:
            for _event, element in etree.iterparse(
                part, tag=wanted, resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True
            ):
                parent = element.getparent()
                if parent is not None and NAMES[element.tag] == "w:tr":
                    self._stream_row(element, parent)
                    continue
                if parent is None or NAMES[parent.tag] != "w:body":
                    continue
                yield from self._block(element)
                element.clear()
                while element.getprevious() is not None:
                    del parent[0]

    def _stream_row(self, row: etree._Element, table: etree._Element) -> None:
        """Read a row of a table in the body at once and drop it: a table may be as long as the document.

        The first row waits for a second one, for a table of one cell is not read as a table.
        """
        above = table.getparent()
        if above is None or NAMES[above.tag] != "w:body":
            return
        if self._first_row is None:
            self._first_row = row
            return
        if self._streamed is None:
            self._streamed = WordTable(self)
            self._streamed.add_row(self._first_row)
        self._streamed.add_row(row)
        row.clear()

    def _block(self, element: etree._Element) -> Iterator[Block]:
        """Yield what a part of a body holds."""
        name = NAMES[element.tag]
        if name == "w:p":
            yield from self._paragraph(element)
        elif name == "w:tbl":
            yield from self._table(element)
        elif name in _AROUND:
            for each in element:
                yield from self._block(each)
        elif name == "mc:AlternateContent":
            for alternative in element:
                found = [block for each in alternative for block in self._block(each)]
                if found:
                    yield from found
                    return
        elif name == "m:oMathPara":
            self.notes.add(NoteKind.EQUATIONS)
            yield Block(equation_text(element))
        elif name == "w:altChunk":
            yield from self._included(element)

    def _included(self, element: etree._Element) -> Iterator[Block]:
        """Yield a page that the document takes in whole, as programs do that make documents of HTML."""
        relation = self._package.relations(self._main).get(attribute(element, "id"))
        if relation is None or relation.target not in self._package:
            self.notes.add(NoteKind.EMBEDDED_FILES)
            return
        with self._package.open(relation.target) as part:
            data = part.read()
        page = included_page(data, relation.target)
        if page is None:
            self.notes.add(NoteKind.EMBEDDED_FILES)
            return
        page.add_notes(self.notes)
        yield from page_blocks(page.text, self.notes, titled=False)

    def _paragraph(self, paragraph: etree._Element) -> Iterator[Block]:
        properties = paragraph[0] if len(paragraph) and NAMES[paragraph[0].tag] == "w:pPr" else None
        style = value(properties, "w:pStyle") if properties is not None else ""
        self._runs.skips_page_references = self._styles.is_contents(style)
        found = self._runs.read(paragraph)
        text = "".join(found.parts).strip()
        level = self._level(properties, style)
        label, depth = self._label(properties, style, text)
        if text:
            text = f"{label}{'' if label[-1] in _CLOSING else ' '}{text}" if label else text
            is_item = bool(label) and not level
            yield Block("  " * depth + text if is_item else text, level, item=is_item)
        yield from self._anchored(found)

    def _anchored(self, found: ParagraphText) -> Iterator[Block]:
        """Yield what hangs on a paragraph: its boxes, then its notes and comments."""
        yield from found.boxes
        yield from self._side.blocks(found.references)

    def _level(self, properties: etree._Element | None, style: str) -> int:
        if properties is None:
            return 0
        outline = value(properties, "w:outlineLvl")
        if outline.isdigit():
            return int(outline) + 2 if int(outline) < 9 else 0
        return self._styles.level(style) if style else 0

    def _label(self, properties: etree._Element | None, style: str, text: str) -> tuple[str, int]:
        """Return the number or bullet before a paragraph, and how deep it lies."""
        if properties is None:
            return "", 0
        own = child(properties, "w:numPr")
        number, level = value(own, "w:numId"), value(own, "w:ilvl")
        depth = int(level) if level.isdigit() else 0
        if not number and style:
            number, depth, definer = self._styles.numbering(style)
            depth = self._numbering.level_of_style(number, definer, depth)
        if not number or number == "0" or not text:
            return "", 0
        return self._numbering.label(number, depth), depth

    def _box(self, content: etree._Element) -> Iterator[Block]:
        """Yield the blocks of a text box; its headings do not head what follows the box."""
        for each in content:
            for block in self._block(each):
                yield Block(block.text, item=block.item)

    def _table(self, table: etree._Element) -> Iterator[Block]:
        streamed, self._streamed, self._first_row = self._streamed, None, None
        if streamed is None:
            cells = [cell for row in _rows(table) for cell in _cells(row)]
            if len(cells) == 1:
                yield from self._box(cells[0])
                return
            streamed = self._read_table(table)
        grid = streamed.grid
        if len(grid.rows) == 1 and any(len(cell) > _LONG_CELL for cell in grid.rows[0]):
            yield from (Block(cell) for cell in dict.fromkeys(grid.rows[0]))
        else:
            yield from grid.blocks()
        yield from self._side.blocks(streamed.references)

    def _read_table(self, table: etree._Element) -> WordTable:
        found = WordTable(self)
        for row in _rows(table):
            found.add_row(row)
        return found

    def cell_text(self, cell: etree._Element, references: list[tuple[str, str]]) -> str:
        """Return a cell's text, a table within as running text; `references` takes its notes and comments."""
        lines: list[str] = []
        for each in _flat(cell):
            if NAMES[each.tag] == "w:tbl":
                nested = self._read_table(each)
                lines.append(nested.grid.inline())
                references += nested.references
            elif NAMES[each.tag] == "w:p":
                properties = child(each, "w:pPr")
                found = self._runs.read(each)
                text = "".join(found.parts).strip()
                label, _depth = self._label(properties, value(properties, "w:pStyle"), text)
                lines.append(f"{label} {text}" if label and text else text)
                lines += [block.text for block in found.boxes]
                references += found.references
        return "\n".join(line for line in lines if line)


@dataclass(slots=True)
class WordTable:
    """A table while it is read row by row, and the notes and comments that its cells refer to."""

    reader: WordReader
    grid: TableGrid = field(default_factory=TableGrid)
    references: list[tuple[str, str]] = field(default_factory=list)

    def add_row(self, row: etree._Element) -> None:
        """Read a row; one that is deleted, as tracked changes have it, is left out."""
        properties = child(row, "w:trPr")
        if child(properties, "w:del") is not None:
            self.reader.notes.add(NoteKind.DELETED_TEXT)
            return
        before = value(properties, "w:gridBefore")
        column = min(int(before), 100) if before.isdigit() else 0
        cells: list[tuple[str, int, int]] = [("", 1, 1)] * column
        for cell in _cells(row):
            cell_properties = child(cell, "w:tcPr")
            across = value(cell_properties, "w:gridSpan")
            span = int(across) if across.isdigit() else 1
            merged = child(cell_properties, "w:vMerge")
            if child(cell_properties, "w:hMerge") is not None and value(cell_properties, "w:hMerge") != "restart":
                text = cells[-1][0] if cells else ""
            else:
                begins = merged is not None and attribute(merged, "val") == "restart"
                text = self.reader.cell_text(cell, self.references)
                goes_on = merged is not None and not begins
                text = self.grid.merged_down(column, text, begins=begins, goes_on=goes_on)
            cells.append((text, span, 1))
            column += span
        self.grid.add_row(cells, header=is_on(properties, "w:tblHeader"))


def _flat(element: etree._Element) -> Iterator[etree._Element]:
    """Yield the parts of an element, those within content controls and the like, too."""
    for each in element:
        if NAMES[each.tag] in _AROUND:
            yield from _flat(each)
        else:
            yield each


def _rows(table: etree._Element) -> Iterator[etree._Element]:
    return (each for each in _flat(table) if NAMES[each.tag] == "w:tr")


def _cells(row: etree._Element) -> Iterator[etree._Element]:
    return (each for each in _flat(row) if NAMES[each.tag] == "w:tc")
