"""The text of a Word paragraph: runs, fields, links, symbols, equations; what it anchors (boxes, notes) follows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.knowledge.formats.blocks import Block
from services.knowledge.formats.drawing import description, graphic_blocks, paragraphs
from services.knowledge.formats.equations import equation_text
from services.knowledge.formats.marks import PAGE_NUMBER, comment
from services.knowledge.formats.open_package import Package
from services.knowledge.formats.symbols import raised, symbol_character
from services.knowledge.formats.xml_names import NAMES, attribute, child, is_on, value
from services.knowledge.notes import NoteCollector, NoteKind

if TYPE_CHECKING:
    from lxml import etree  # type: ignore[import-untyped]

_WITHIN = frozenset(
    "w:hyperlink w:ins w:moveTo w:smartTag w:customXml w:sdtContent w:bdo w:dir w:rubyBase w:r".split()  # noqa: SIM905
)
_PAGE_FIELDS = frozenset({"PAGE", "NUMPAGES", "SECTIONPAGES"})
_ADDRESS = re.compile(r"^(?:mailto:|tel:)([^?]+)", re.IGNORECASE)
_MARKS = {"w:tab": "\t", "w:ptab": "\t", "w:br": "\n", "w:cr": "\n", "w:noBreakHyphen": "-"}


@dataclass(slots=True)
class ParagraphText:
    """The text of a paragraph, the boxes anchored in it, and the (kind, identifier) of its notes and comments."""

    parts: list[str] = field(default_factory=list)
    boxes: list[Block] = field(default_factory=list)
    references: list[tuple[str, str]] = field(default_factory=list)
    pictures: int = 0

    def amount(self) -> tuple[int, int, int]:
        """Return a measure of what was found so far."""
        return len(self.parts), len(self.boxes), self.pictures


@dataclass(slots=True)
class Field:
    """A field: its instruction, and whether its result has begun."""

    instruction: str = ""
    result: bool = False
    marked: bool = False


@dataclass(slots=True)
class RunReader:
    """Reads the paragraphs of one part. Fields may reach over several paragraphs, so it remembers those that are open.

    `box` returns the blocks of a text box; `mark` returns what stands in the text for a footnote.
    """

    package: Package
    part: str
    notes: NoteCollector
    box: Callable[[etree._Element], Iterator[Block]]
    mark: Callable[[str, str], str]
    is_header: bool = False
    skips_page_references: bool = False
    _fields: list[Field] = field(default_factory=list)
    _pictures: set[str] = field(default_factory=set)

    def read(self, paragraph: etree._Element) -> ParagraphText:
        """Return the text of a paragraph."""
        found = ParagraphText()
        self._walk(paragraph, found)
        for each in self._fields:
            each.result = True  # a field without an end must not hide the rest of the document
        return found

    def _walk(self, element: etree._Element, found: ParagraphText) -> None:
        for each in element:
            name = NAMES[each.tag]
            if name == "w:t":
                if not self._fields or self._is_shown(found):
                    found.parts.append(each.text or "")
            elif name == "w:r":
                self._run(each, found)
            else:
                self._one(each, name, found)

    def _run(self, run: etree._Element, found: ParagraphText) -> None:
        properties = run[0] if len(run) and NAMES[run[0].tag] == "w:rPr" else None
        if properties is not None and is_on(properties, "w:vanish") and not self._fields:
            if "".join(each.text or "" for each in run if NAMES[each.tag] == "w:t").strip():
                self.notes.add(NoteKind.HIDDEN_TEXT)
            return
        before = len(found.parts)
        self._walk(run, found)
        if properties is not None and value(properties, "w:vertAlign") == "superscript":
            found.parts[before:] = map(raised, found.parts[before:])

    def _one(  # noqa: PLR0912 - one case for each kind of element
        self, each: etree._Element, name: str, found: ParagraphText
    ) -> None:
        """Read a part of a paragraph or run."""
        if name in _MARKS:
            if not self._fields or self._is_shown(found):
                found.parts.append(_MARKS[name])
            return
        if name in _WITHIN:
            self._walk(each, found)
        match name:
            case "w:t":
                found.parts.append(each.text or "")
            case "w:hyperlink":
                self._address(each, found)
            case "w:fldChar":
                self._field_mark(each, found)
            case "w:instrText":
                if self._fields and not self._fields[-1].result:
                    self._fields[-1].instruction += each.text or ""
            case "w:fldSimple":
                self._fields.append(Field(attribute(each, "instr"), result=True))
                self._is_shown(found)
                self._walk(each, found)
                self._fields.pop()
            case "w:sdt":
                if not is_on(each, "w:sdtPr", "w:showingPlcHdr"):
                    content = child(each, "w:sdtContent")
                    if content is not None:
                        self._walk(content, found)
            case "w:del" | "w:moveFrom":
                if name == "w:del" and any(NAMES[part.tag] == "w:delText" for part in each.iter()):
                    self.notes.add(NoteKind.DELETED_TEXT)
            case "w:sym":
                found.parts.append(self._symbol(each))
            case "w:footnoteReference" | "w:endnoteReference" | "w:commentReference":
                kind, identifier = name[2:-9], attribute(each, "id")
                found.references.append((kind, identifier))
                found.parts.append(self.mark(kind, identifier))
            case "w:footnote" | "w:endnote":  # Word 2003 keeps them where they belong
                found.boxes += self.box(each)
            case "annotation":
                self._annotation(each, found)
            case "w:ruby":
                self.notes.add(NoteKind.READING_AIDS)
                base = child(each, "w:rubyBase")
                if base is not None:
                    self._walk(base, found)
            case "m:oMath" | "m:oMathPara":
                self.notes.add(NoteKind.EQUATIONS)
                found.parts.append(equation_text(each))
            case "mc:AlternateContent" | "w:drawing" | "w:pict" | "w:object":
                self._graphic(each, found)

    def _annotation(self, each: etree._Element, found: ParagraphText) -> None:
        """Read what Word 2003 annotates: an insertion, a deletion, a comment."""
        kind, content = attribute(each, "type"), child(each, "content")
        if kind.endswith("Deletion"):
            self.notes.add(NoteKind.DELETED_TEXT)
        elif kind.endswith("Comment") and content is not None:
            self.notes.add(NoteKind.COMMENTS)
            text = " ".join(block.text for block in self.box(content))
            found.boxes.append(comment(attribute(each, "author"), text))
        elif content is not None:
            self._walk(content, found)

    def _is_shown(self, found: ParagraphText) -> bool:
        """Whether text here is the visible result of all fields that are open; page numbers leave a mark instead."""
        for each in self._fields:
            if not each.result:
                return False
            code = each.instruction.split(maxsplit=1)[0].upper() if each.instruction.strip() else ""
            if self.is_header and code in _PAGE_FIELDS:
                if not each.marked:
                    each.marked = True
                    found.parts.append(PAGE_NUMBER)
                return False
            if self.skips_page_references and code == "PAGEREF":
                return False
        return True

    def _field_mark(self, mark: etree._Element, found: ParagraphText) -> None:
        kind = attribute(mark, "fldCharType")
        if kind == "begin":
            self._fields.append(Field())
            box = child(mark, "w:ffData", "w:checkBox")
            if box is not None:
                checked = child(box, "w:checked")
                is_checked = is_on(box, "w:checked") if checked is not None else is_on(box, "w:default")
                found.parts.append("☒" if is_checked else "☐")
            choices = child(mark, "w:ffData", "w:ddList")
            if choices is not None:
                entries = [attribute(each, "val") for each in choices if NAMES[each.tag] == "w:listEntry"]
                chosen = value(choices, "w:result") or "0"
                found.parts.append(entries[int(chosen)] if chosen.isdigit() and int(chosen) < len(entries) else "")
        elif kind == "separate" and self._fields:
            self._fields[-1].result = True
        elif kind == "end" and self._fields:
            self._fields[-1].result = True
            self._is_shown(found)
            ended = self._fields.pop()
            address = re.search(r'^\s*HYPERLINK\s+"(?:mailto:|tel:)([^"?]+)', ended.instruction, re.IGNORECASE)
            if address and address[1] not in "".join(found.parts):
                found.parts.append(f" ({address[1]})")

    def _address(self, link: etree._Element, found: ParagraphText) -> None:
        """Add a mail address or telephone number that stands behind other words."""
        relation = self.package.relations(self.part).get(attribute(link, "id"))
        address = _ADDRESS.match(relation.target) if relation is not None else None
        if address and address[1] not in "".join(found.parts):
            found.parts.append(f" ({address[1]})")

    def _symbol(self, element: etree._Element) -> str:
        try:
            code = int(attribute(element, "char"), 16)
        except ValueError:
            code = 0
        character = symbol_character(attribute(element, "font"), code)
        if not character:
            self.notes.add(NoteKind.UNKNOWN_SYMBOLS)
        return character or "\ufffd"

    def _graphic(  # noqa: PLR0912 - one case for each kind of element
        self, element: etree._Element, found: ParagraphText
    ) -> None:
        """Read a drawing; of alternatives the first that holds something."""
        name = NAMES[element.tag]
        match name:
            case "mc:AlternateContent":
                before = found.amount()
                for each in element:
                    self._graphic(each, found)
                    if found.amount() != before:
                        return
            case "w:txbxContent":
                found.boxes += self.box(element)
            case "a:graphicData" if attribute(element, "uri").endswith(("/chart", "/diagram", "/chartex")):
                found.boxes += graphic_blocks(element, self.package, self.part, self.notes)
            case "a:txBody":
                found.boxes += (Block(text) for text in paragraphs(element, self.notes))
            case "v:textpath":
                found.boxes.append(Block(attribute(element, "string")))
            case "pic:pic" | "v:imagedata":
                self._picture(element, found)
            case "OLEObject":
                self.notes.add(NoteKind.EMBEDDED_FILES)
                found.pictures += 1
            case "w:drawing" | "w:pict" | "w:object" | "mc:Choice" | "mc:Fallback":
                for each in element:
                    self._graphic(each, found)
            case _ if name.startswith(("w:", "m:")):
                self._one(each=element, name=name, found=found)
            case _:
                for each in element:
                    self._graphic(each, found)

    def _picture(self, element: etree._Element, found: ParagraphText) -> None:
        found.pictures += 1
        target = next((attribute(each, "embed") for each in element.iter() if NAMES[each.tag] == "a:blip"), "")
        target = target or attribute(element, "id")
        if target and target in self._pictures:
            return  # a logo that is shown again
        self._pictures.add(target)
        self.notes.add(NoteKind.PICTURES)
        for above in element.iterancestors():
            name = NAMES[above.tag]
            if name in {"wp:inline", "wp:anchor", "v:shape"}:
                described = above if name == "v:shape" else child(above, "wp:docPr")
                text = description(described) if described is not None else ""
                if text:
                    found.boxes.append(Block(text))
                return
