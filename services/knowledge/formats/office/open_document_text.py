"""The text of an OpenDocument file: paragraphs, lists, tables, frames, notes and comments in reading order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from services.knowledge.formats import marks
from services.knowledge.formats.blocks import Block, TableGrid
from services.knowledge.formats.equations import equation_text
from services.knowledge.formats.office.open_document_styles import ListCounter, OpenDocumentStyles
from services.knowledge.formats.symbols import raised
from services.knowledge.formats.xml_names import NAMES, attribute, child
from services.knowledge.notes import NoteCollector, NoteKind

if TYPE_CHECKING:
    from lxml import etree  # type: ignore[import-untyped]

_NO_TEXT = frozenset(
    "office:forms office:scripts office:event-listeners office:annotation-end text:sequence-decls text:variable-decls "  # noqa: SIM905
    "text:user-field-decls text:dde-connection-decls text:bibliography-source text:table-of-content-source "
    "text:alphabetical-index-source text:illustration-index-source text:table-index-source text:user-index-source "
    "text:object-index-source text:index-title-template svg:title svg:desc draw:glue-point draw:enhanced-geometry "
    "presentation:notes presentation:footer-decl presentation:header-decl presentation:date-time-decl "
    "table:table-column form:form".split()
)
_PAGE_NUMBERS = frozenset({"text:page-number", "text:page-count"})
_ROW_GROUPS = frozenset({"table:table-rows", "table:table-row-group"})
_MOST_REPEATED = 100


@dataclass(slots=True)
class OpenDocumentText:
    """Reads elements as blocks. `part` returns the XML of another part of the file."""

    notes: NoteCollector
    part: Callable[[str], etree._Element | None]
    styles: OpenDocumentStyles = field(default_factory=OpenDocumentStyles)
    _controls: dict[str, str] = field(default_factory=dict)
    _counters: dict[str, ListCounter] = field(default_factory=dict)
    _outline: ListCounter | None = None
    _footnotes: int = 0
    _boxes: list[Block] = field(default_factory=list)
    _after: list[Block] = field(default_factory=list)
    _is_header: bool = False

    @contextlib.contextmanager
    def in_header(self) -> Iterator[None]:
        """Read headers and footers: page numbers leave a mark."""
        self._is_header = True
        try:
            yield
        finally:
            self._is_header = False

    def read_controls(self, root: etree._Element) -> None:
        """Read the values of the fields of forms."""
        for each in root.iter():
            if NAMES[each.tag].startswith("form:") and (identifier := attribute(each, "id")):
                state = {"checked": "☒ ", "unchecked": "☐ "}.get(
                    attribute(each, "current-state") or attribute(each, "state"), ""
                )
                if NAMES[each.tag] == "form:checkbox":
                    state = state or "☐ "
                value = attribute(each, "current-value") or attribute(each, "value") or "".join(each.itertext()).strip()
                label = attribute(each, "label")
                self._controls[identifier] = f"{state}{label or value}"

    def blocks(self, element: etree._Element) -> Iterator[Block]:
        """Yield what the parts of an element hold."""
        for each in element:
            yield from self.block(each)

    def block(self, element: etree._Element) -> Iterator[Block]:  # noqa: PLR0912 - one case for each kind of element
        """Yield what an element holds."""
        name = NAMES[element.tag]
        match name:
            case "text:p":
                text = self._paragraph(element)
                if text:
                    yield Block(text, 1 if self.styles.is_title(attribute(element, "style-name")) else 0)
                yield from self._anchored()
            case "text:h":
                yield from self._heading(element)
            case "text:list" | "text:ordered-list" | "text:unordered-list":
                yield from self._list(element, 1, attribute(element, "style-name"))
            case "table:table":
                yield from self._table(element)
            case "draw:frame":
                yield from self._frame(element)
            case "draw:control":
                yield Block(self._controls.get(attribute(element, "control"), ""))
            case "draw:plugin" | "presentation:sound" | "anim:audio":
                self.notes.add(NoteKind.MEDIA)
            case "draw:image":  # OpenOffice 1 has no frames around it
                self.notes.add(NoteKind.PICTURES)
            case "text:tracked-changes":
                for each in element.iter():
                    if NAMES[each.tag] == "text:deletion":
                        self.notes.add(NoteKind.DELETED_TEXT)
            case "office:annotation":
                yield from self._comment(element)
            case "text:section" if attribute(element, "display") == "none":
                self.notes.add(NoteKind.HIDDEN_TEXT)
            case "math":
                self.notes.add(NoteKind.EQUATIONS)
                yield Block(equation_text(element))
            case _ if name not in _NO_TEXT:
                yield from self.blocks(element)

    def _heading(self, element: etree._Element) -> Iterator[Block]:
        text = self._paragraph(element)
        level = attribute(element, "outline-level") or attribute(element, "level") or "1"
        depth = int(level) if level.isdigit() else 1
        if text:
            if self._outline is None:
                self._outline = ListCounter(self.styles.outline)
            label = self._outline.label(depth) if depth in self.styles.outline else ""
            yield Block(f"{label} {text}".strip(), depth + 1)
        yield from self._anchored()

    def _anchored(self) -> Iterator[Block]:
        """Yield what hangs on the paragraph before: boxes, notes, comments."""
        boxes, self._boxes = self._boxes, []
        yield from boxes
        after, self._after = self._after, []
        yield from after

    def _paragraph(self, element: etree._Element) -> str:
        parts: list[str] = []
        if attribute(element, "style-name") in self.styles.hidden:
            self.notes.add(NoteKind.HIDDEN_TEXT)
            return ""
        self._inline(element, parts)
        return "".join(parts).strip()

    def _inline(self, element: etree._Element, parts: list[str]) -> None:
        parts.append(_collapsed(element.text))
        for each in element:
            self._part(each, NAMES[each.tag], parts)
            parts.append(_collapsed(each.tail))

    def _part(self, each: etree._Element, name: str, parts: list[str]) -> None:  # noqa: PLR0912 - one case for each kind
        match name:
            case "text:span" | "text:a":
                self._span(each, name, parts)
            case "text:s":
                count = attribute(each, "c", "1")
                parts.append(" " * min(int(count) if count.isdigit() else 1, _MOST_REPEATED))
            case "text:tab" | "text:tab-stop":
                parts.append("\t")
            case "text:line-break":
                parts.append("\n")
            case "text:note" | "text:footnote" | "text:endnote":
                self._note(each, parts)
            case "office:annotation":
                self._after += self._comment(each)
            case "text:ruby":
                self.notes.add(NoteKind.READING_AIDS)
                base = child(each, "text:ruby-base")
                if base is not None:
                    self._inline(base, parts)
            case "text:hidden-text" | "text:hidden-paragraph":
                self.notes.add(NoteKind.HIDDEN_TEXT)
            case "draw:control":
                parts.append(self._controls.get(attribute(each, "control"), ""))
            case _ if name in _PAGE_NUMBERS and self._is_header:
                parts.append(marks.PAGE_NUMBER)
            case _ if name.startswith(("draw:", "table:", "dr3d:")):
                equation = self._equation(each)
                if equation:
                    parts.append(equation)
                else:
                    boxes = list(self._box(each))
                    self._boxes += boxes
            case _ if name not in _NO_TEXT:
                self._inline(each, parts)

    def _box(self, element: etree._Element) -> Iterator[Block]:
        """Yield what a drawing in a paragraph holds; its headings do not head what follows."""
        boxes, after = self._boxes, self._after
        self._boxes, self._after = [], []
        found = [Block(block.text, item=block.item) for block in self.block(element)]
        self._boxes, self._after = boxes, after
        yield from found

    def _span(self, each: etree._Element, name: str, parts: list[str]) -> None:
        style = attribute(each, "style-name")
        if style in self.styles.hidden:
            self.notes.add(NoteKind.HIDDEN_TEXT)
            return
        before = len(parts)
        self._inline(each, parts)
        if style in self.styles.raised:
            parts[before:] = map(raised, parts[before:])
        address = attribute(each, "href") if name == "text:a" else ""
        if address.startswith(("mailto:", "tel:")):
            address = unquote(address.partition(":")[2].partition("?")[0])
            if address not in "".join(parts):
                parts.append(f" ({address})")

    def _note(self, note: etree._Element, parts: list[str]) -> None:
        self._footnotes += 1
        number = self._footnotes
        parts.append(marks.footnote_mark(number))
        body = next((each for each in note if NAMES[each.tag].endswith("-body")), None)
        outer, self._after = self._after, []
        text = "\n".join(block.text for block in self.blocks(body)) if body is not None else ""
        self._after = [*outer, marks.footnote(number, text)]

    def _comment(self, comment: etree._Element) -> Iterator[Block]:
        author = child(comment, "dc:creator")
        outer, self._after = self._after, []
        text = " ".join(
            block.text
            for each in comment
            if not NAMES[each.tag].startswith(("dc:", "meta:"))
            for block in self.block(each)
        )
        self._after = outer
        if text.strip():
            self.notes.add(NoteKind.COMMENTS)
            yield marks.comment((author.text or "") if author is not None else attribute(comment, "author"), text)

    def _list(self, element: etree._Element, level: int, style: str) -> Iterator[Block]:
        own = attribute(element, "style-name") or style
        counter = self._counters.get(own)
        goes_on = attribute(element, "continue-numbering") == "true" or attribute(element, "continue-list")
        if counter is None or (level == 1 and not goes_on):
            counter = self._counters[own] = ListCounter(self.styles.lists.get(own, {}))
        for item in element:
            is_labelled = NAMES[item.tag] == "text:list-item"
            for each in item:
                if NAMES[each.tag] in {"text:list", "text:ordered-list", "text:unordered-list"}:
                    yield from self._list(each, level + 1, own)
                elif NAMES[each.tag] == "text:h":
                    yield from self.block(each)
                else:
                    for block in self.block(each):
                        label = (
                            counter.label(level, attribute(item, "start-value")) if is_labelled and block.text else ""
                        )
                        is_labelled = is_labelled and not block.text
                        text = f"{label} {block.text}" if label else block.text
                        yield Block("  " * (level - 1) + text, item=True)

    def _table(self, table: etree._Element) -> Iterator[Block]:
        cells = [each for each in table.iter() if NAMES[each.tag] == "table:table-cell"]
        if len(cells) == 1:
            yield from (Block(block.text, item=block.item) for block in self.blocks(cells[0]))
            return
        outer, self._after = self._after, []
        yield from self._grid(table).blocks()
        yield from self._anchored()
        self._after = outer

    def _grid(self, table: etree._Element) -> TableGrid:
        grid = TableGrid()
        self._rows(table, grid, is_header=False)
        return grid

    def _rows(self, element: etree._Element, grid: TableGrid, *, is_header: bool) -> None:
        for each in element:
            name = NAMES[each.tag]
            if name == "table:table-header-rows":
                self._rows(each, grid, is_header=True)
            elif name in _ROW_GROUPS:
                self._rows(each, grid, is_header=is_header)
            elif name == "table:table-row":
                cells = [cell for cell in each if NAMES[cell.tag] == "table:table-cell"]
                row = [(self._cell(cell), self._across(cell), _count(cell, "number-rows-spanned")) for cell in cells]
                for _repeat in range(min(_count(each, "number-rows-repeated"), _MOST_REPEATED)):
                    grid.add_row(row, header=is_header)

    @staticmethod
    def _across(cell: etree._Element) -> int:
        return max(_count(cell, "number-columns-spanned"), min(_count(cell, "number-columns-repeated"), _MOST_REPEATED))

    def _cell(self, cell: etree._Element) -> str:
        lines: list[str] = []
        for each in cell:
            if NAMES[each.tag] == "table:table":
                lines.append(self._grid(each).inline())
            elif NAMES[each.tag] in {"text:p", "text:h"}:
                # Notes and comments follow the table.
                lines.append(self._paragraph(each))
                lines += [block.text for block in self._boxes]
                self._boxes = []
            else:
                lines += [block.text for block in self.block(each)]
        return "\n".join(line for line in lines if line)

    def _frame(self, frame: etree._Element) -> Iterator[Block]:
        """Yield the first of a frame's alternatives that can be read: text, a table, an object, a picture."""
        for each in frame:
            name = NAMES[each.tag]
            if name in {"draw:text-box", "table:table", "draw:g"}:
                yield from self.block(each) if name == "table:table" else self.blocks(each)
                return
            if name == "draw:object":
                found = list(self._object(each))
                if not found:
                    self.notes.add(NoteKind.EMBEDDED_FILES)
                yield from found
                return
            if name in {"draw:object-ole", "draw:applet", "draw:floating-frame"}:
                self.notes.add(NoteKind.EMBEDDED_FILES)
                return
            if name == "draw:plugin":
                self.notes.add(NoteKind.MEDIA)
                return
            if name == "draw:image":
                self.notes.add(NoteKind.PICTURES)
                yield from (
                    Block("".join(about.itertext())) for about in frame if NAMES[about.tag] in {"svg:title", "svg:desc"}
                )
                return

    def _object(self, element: etree._Element) -> Iterator[Block]:
        """Yield the text of an embedded object: an equation, or a chart with its values."""
        root = self._object_root(element)
        if root is not None:
            body = child(root, "office:body")
            yield from self.blocks(body) if body is not None else self.block(root)

    def _object_root(self, element: etree._Element) -> etree._Element | None:
        if len(element):
            return element[0]
        name = attribute(element, "href").removeprefix("./").strip("/")
        return self.part(f"{name}/content.xml") if name else None

    def _equation(self, frame: etree._Element) -> str:
        """Return the equation that a frame holds, "" for anything else: equations stand within sentences."""
        held = child(frame, "draw:object")
        root = self._object_root(held) if held is not None else None
        if root is None or NAMES[root.tag].rpartition(":")[2] != "math":
            return ""
        self.notes.add(NoteKind.EQUATIONS)
        return equation_text(root)


def _count(element: etree._Element, name: str) -> int:
    text = attribute(element, name)
    return int(text) if text.isdigit() and len(text) < 9 else 1


def _collapsed(text: str | None) -> str:
    """Return text as OpenDocument means it: runs of white space are one blank."""
    if not text:
        return ""
    words = " ".join(text.split())
    return f"{' ' if text[0].isspace() else ''}{words}{' ' if words and text[-1].isspace() else ''}"
