"""The parts of an XLSX workbook beside its sheets: texts, number formats, comments, and what is drawn on a sheet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.core.i18n import _
from services.knowledge.formats import marks
from services.knowledge.formats.open_package import Package
from services.knowledge.formats.sheets.number_formats import BUILTIN, NumberFormat, number_format
from services.knowledge.formats.xml_names import attribute
from services.knowledge.notes import NoteCollector, NoteKind

if TYPE_CHECKING:
    from lxml import etree  # type: ignore[import-untyped]

_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
# Codes in the header of a printed page: positions, fonts, and what the program puts in.
_HEADER_CODE = re.compile(r"""&(?:[LCR]|"[^"]*"|\d+|K[0-9A-Fa-f]{6}|[PNDTFAZGBIUSEXYOH+\-])""")
# What is formatted and empty: cells with a name, those without one at the end of a row, rows.
_EMPTY = (
    re.compile(rb"""(?:<(?:\w+:)?c(?: s="\d+")?/>)+(?=</(?:\w+:)?row>)"""),
    re.compile(rb"""<(?:\w+:)?c r="[A-Z]+\d+"(?: s="\d+")?(?:/>|></(?:\w+:)?c>)"""),
    re.compile(rb"""<(?:\w+:)?row r="\d+"[^<>]*(?:/>|(?<!/)></(?:\w+:)?row>)"""),
)
_BLOCK = 1 << 20
_THREAD_STUB = "[Threaded comment]"


def local(tag: object) -> str:
    """Return a tag's name without its namespace."""
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def plain(text: str) -> str:
    """Return a text with what XML cannot hold, written as "_x000D_", put back."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text


def rich_text(element: etree._Element) -> str:
    """Return the text of a shared or inline string, without the reading aids of East Asian names."""
    parts: list[str] = []
    for each in element:
        name = local(each.tag)
        if name == "t":
            parts.append(each.text or "")
        elif name == "r":
            parts += [run.text or "" for run in each if local(run.tag) == "t"]
    return plain("".join(parts))


def streamed(package: Package, part: str, *tags: str) -> Iterator[etree._Element]:
    """Yield the elements of these names as a part is read, and forget each behind it.

    Cells that are formatted and empty are cut out before: sheets have millions of them.
    """
    from lxml import etree

    names = [f"{{*}}{tag}" for tag in tags]
    parser = etree.XMLPullParser(
        events=("end",), tag=names, resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True
    )
    with package.open(part) as stream:
        rest = b""
        while block := stream.read(_BLOCK):
            block = rest + block
            end = block.rfind(b">") + 1
            rows = block.rfind(b"row>") + 4
            if rows > 4 and end - rows < _BLOCK:
                end = rows  # whole rows, where there are any
            block, rest = block[:end], block[end:]
            parser.feed(_without_empty(block))
            yield from _forgotten(parser)
        parser.feed(_without_empty(rest))
        parser.close()
        yield from _forgotten(parser)


def _without_empty(block: bytes) -> bytes:
    if b"/>" in block or b"></" in block:
        for empty in _EMPTY:
            block = empty.sub(b"", block)
    return block


def _forgotten(parser: etree.XMLPullParser) -> Iterator[etree._Element]:
    for _event, element in parser.read_events():
        yield element
        element.clear()
        above = element.getparent()
        while above is not None and element.getprevious() is not None:
            del above[0]


def shared_strings(package: Package, workbook: str) -> list[str]:
    """Return the texts that cells refer to by their number."""
    parts = package.related(workbook, "sharedStrings") or [
        name for name in ("xl/sharedStrings.xml",) if name in package
    ]
    return [rich_text(item) for part in parts[:1] for item in streamed(package, part, "si")]


@dataclass(slots=True)
class Styles:
    """The number format of each style, and a number for its looks; what else a style sheet says does not matter."""

    formats: list[NumberFormat | None] = field(default_factory=list)
    looks: list[int] = field(default_factory=list)

    def number_format(self, style: int) -> NumberFormat | None:
        """Return the format of a style; None where numbers are shown as they are."""
        return self.formats[style] if 0 <= style < len(self.formats) else None

    def appearance(self, style: int) -> int:
        """Return a number that differs where font or fill do."""
        return self.looks[style] if 0 <= style < len(self.looks) else 0


def read_styles(package: Package, workbook: str) -> Styles:
    """Return the styles of a workbook; a style sheet that cannot be read leaves numbers as they are, with a note."""
    styles = Styles()
    codes: dict[int, str] = dict(BUILTIN)
    for part in package.related(workbook, "styles")[:1]:
        root = package.root(part)
        for group in root if root is not None else ():
            if local(group.tag) == "numFmts":
                codes |= {_number(each, "numFmtId"): attribute(each, "formatCode") for each in group}
        for group in root if root is not None else ():
            if local(group.tag) != "cellXfs":
                continue
            for each in group:
                code = codes.get(_number(each, "numFmtId"), "")
                styles.formats.append(None if code in {"", "General"} else number_format(code))
                styles.looks.append(1 + 1000 * _number(each, "fontId") + _number(each, "fillId"))
    return styles


def _number(element: etree._Element, name: str) -> int:
    text = attribute(element, name, "0")
    return int(text) if text.isdigit() else 0


def read_comments(package: Package, sheet: str, people: dict[str, str]) -> dict[str, list[str]]:
    """Return the comments of a sheet by the cell that they belong to ("B5"): those in threads, else the old ones."""
    found: dict[str, list[str]] = {}
    for part in package.related(sheet, "threadedComment"):
        root = package.root(part)
        for each in root if root is not None else ():
            text = " ".join("".join(child.itertext()) for child in each if local(child.tag) == "text")
            author = people.get(attribute(each, "personId"), "")
            found.setdefault(attribute(each, "ref"), []).append(marks.comment(author, text).text)
    for part in package.related(sheet, "comments"):
        root = package.root(part)
        authors = [each.text or "" for each in root.iter("{*}author")] if root is not None else []
        for each in root.iter("{*}comment") if root is not None else ():
            reference, number = attribute(each, "ref"), _number(each, "authorId")
            text = " ".join(rich_text(child) for child in each if local(child.tag) == "text").strip()
            if not text or (reference in found and text.startswith(_THREAD_STUB)):
                continue
            author = authors[number] if number < len(authors) else ""
            # Excel begins a comment with its author's name.
            text = text.removeprefix(f"{author}:").strip() if author else text
            found.setdefault(reference, []).append(marks.comment(author, text).text)
    return found


def people(package: Package, workbook: str) -> dict[str, str]:
    """Return the names of those who comment in threads, by their identifiers."""
    roots = [package.root(part) for part in package.related(workbook, "person")]
    return {
        attribute(each, "id"): attribute(each, "displayName") for root in roots if root is not None for each in root
    }


def drawn_texts(package: Package, sheet: str, notes: NoteCollector) -> Iterator[str]:
    """Yield the text boxes and charts on a sheet; pictures and charts that say nothing are noted."""
    from services.knowledge.formats.drawing import chart_blocks, diagram_blocks, paragraphs

    for part in package.related(sheet, "drawing"):
        root = package.root(part)
        relations = package.relations(part)
        for each in root.iter() if root is not None else ():
            name = local(each.tag)
            if name == "pic":
                notes.add(NoteKind.PICTURES)
            elif name == "txBody":
                text = "\n".join(paragraphs(each))
                if text.strip():
                    yield text
            elif name in {"chart", "relIds"}:
                relation = relations.get(attribute(each, "dm") if name == "relIds" else attribute(each, "id"))
                drawn = package.root(relation.target) if relation is not None else None
                blocks = list(diagram_blocks(drawn) if name == "relIds" else chart_blocks(drawn))
                text = "\n".join(block.text for block in blocks)
                if text.strip():
                    yield _("Chart: {text}").format(text=text) if name == "chart" else text
                else:
                    notes.add(NoteKind.PICTURES)


def page_header(element: etree._Element) -> list[str]:
    """Return what the headers and footers of printed pages say, each once."""
    texts = (_HEADER_CODE.sub(" ", each.text or "").replace("&&", "&") for each in element)
    return list(dict.fromkeys(" ".join(text.split()) for text in texts if any(map(str.isalpha, text))))
