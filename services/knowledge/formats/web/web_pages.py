"""HTML: what a page shows, as headings, paragraphs, lists and tables; scripts, styles and what is hidden left out.

lxml's parser sends the elements one by one: no tree is built, and deep nesting costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote

from services.knowledge.formats.blocks import Block, block_sections
from services.knowledge.formats.equations import equation_text
from services.knowledge.formats.reading import Reading
from services.knowledge.formats.symbols import number_text, raised
from services.knowledge.formats.web.page_tables import PageTable
from services.knowledge.notes import NoteCollector, NoteKind
from services.knowledge.types import Section

if TYPE_CHECKING:
    from services.knowledge.formats.encoding.encodings import Decoded

_PIECE = 65_536
_MAX_JUNK = 0.05
_UNSHOWN = frozenset("script style template noscript head datalist rp rt rtc annotation annotation-xml".split())  # noqa: SIM905
_BREAKS = frozenset(
    "address article aside blockquote body center dd details dialog dir div dl dt fieldset figcaption figure footer "  # noqa: SIM905
    "form h1 h2 h3 h4 h5 h6 header hr legend li main menu nav ol p pre search section summary ul table "
    "caption tr td th thead tbody tfoot frameset noframes title text".split()
)
_PLACES = frozenset("table thead tbody tfoot tr td th ol ul menu dir li dl dd".split())  # noqa: SIM905
_HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all", re.IGNORECASE)
_ADDRESS = re.compile(r"\s*(?:mailto:|tel:)([^?]+)", re.IGNORECASE)
_NO_INPUT = frozenset({"hidden", "password", "file", "image", "color", "range"})
# What an element of an equation may be called, and characters that XML has not.
_NAME = re.compile(r"[A-Za-z][\w.-]*")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPACE = re.compile(r"[ \t\r\n\f\u200b\u00ad]+")


def read_html(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of a page.

    Raises:
        BadInputError: it is binary data.
    """
    from services.knowledge.formats.encoding.encodings import decode, decode_page
    from services.knowledge.formats.encoding.plausibility import SAMPLE_CHARACTERS, junk

    data = stream.read()
    page = decode_page(data)
    if page.guessed and junk(page.text[:SAMPLE_CHARACTERS]) > _MAX_JUNK:
        decode(data)  # says what is wrong
    page.add_notes(reading.notes)
    yield from page_sections(page.text, reading.notes)


def page_sections(text: str, notes: NoteCollector) -> Iterator[Section]:
    """Yield the sections of a page or of a piece of one."""
    return block_sections(page_blocks(text, notes))


def page_blocks(text: str, notes: NoteCollector, *, titled: bool = True) -> list[Block]:
    """Return what a page shows. With `titled` its title heads it if it has no heading of its own."""
    from lxml import etree  # type: ignore[import-untyped]

    reader = PageReader(notes)
    parser = etree.HTMLParser(target=reader, encoding="utf-8", huge_tree=True)
    for start in range(0, len(text), _PIECE):
        parser.feed(text[start : start + _PIECE].encode(errors="replace"))
    if text.strip():
        parser.close()
    return reader.blocks(titled=titled)


def included_page(data: bytes, name: str) -> Decoded | None:
    """Return the page that a file within a document is: HTML, or an archive of one (MHT); None for anything else."""
    from services.knowledge.formats.encoding.encodings import decode_page

    if name.lower().endswith((".mht", ".mhtml")):
        import email

        parts = [part for part in email.message_from_bytes(data).walk() if part.get_content_type() == "text/html"]
        content = parts[0].get_payload(decode=True) if parts else None
        return decode_page(content) if isinstance(content, bytes) else None
    return decode_page(data) if name.lower().endswith((".html", ".htm", ".xhtml")) else None


class PageReader:
    """Takes the elements of a page as the parser meets them, and collects blocks."""

    def __init__(self, notes: NoteCollector) -> None:
        self._notes = notes
        self._blocks: list[Block] = []
        self._text: list[str] = []
        self._tags: list[tuple[str, bool]] = []  # open elements, and whether each hides what is in it
        self._hidden = 0
        self._tables: list[PageTable] = []
        self._lists: list[tuple[int, str]] = []  # next number and form of each open list; bullets have none
        self._prefix = ""
        self._term = ""
        self._is_term = False
        self._title = ""
        self._address = ""
        self._raised = 0
        self._pre = 0
        self._options = 0
        self._equation: Any = None
        self._depth = 0  # of elements within the equation

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Take the start of an element."""
        if self._equation is not None:
            self._depth += 1
            self._equation.start(tag if _NAME.fullmatch(tag) else "mrow", {})
            return
        hides = tag in _UNSHOWN or _is_hidden(tag, attributes)
        if tag == "title" and self._hidden and not self._title:
            self._text = []
        if hides and tag == "rt" and not self._hidden:
            self._notes.add(NoteKind.READING_AIDS)
        self._tags.append((tag, hides))
        self._hidden += hides
        if self._hidden:
            return
        if tag in _BREAKS:
            self._flush(is_term=self._is_term)
            self._is_term = tag == "dt"
        if tag in _PLACES:
            self._start_place(tag, attributes)
        else:
            self._start_inline(tag, attributes)

    def _start_place(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Begin a part of a table or list."""
        table = self._tables[-1] if self._tables else None
        match tag:
            case "table":
                is_layout = attributes.get("role") in {"presentation", "none"}
                is_ruled = attributes.get("border", "0").strip() not in {"", "0"}
                self._tables.append(PageTable(is_layout, is_ruled))
            case "thead" if table:
                table.is_in_head = True
            case "tr" if table:
                table.begin_row()
            case "td" | "th" if table:
                table.begin_cell(attributes.get("colspan"), attributes.get("rowspan"), is_header=tag == "th")
            case "ol":
                start = attributes.get("start", "1").strip()
                number = int(start) if start.isdecimal() and len(start) < 9 else 1
                self._lists.append((number, attributes.get("type", "1")))
            case "ul" | "menu" | "dir":
                self._lists.append((0, ""))
            case "li":
                number, form = self._lists[-1] if self._lists else (0, "")
                self._prefix = f"{number_text(number, form)}. " if form else "- "
                self._lists[-1:] = [(number + 1, form)] if self._lists else []
            case "dd" if self._term:
                self._prefix, self._term = f"{self._term}: ", ""

    def _start_inline(self, tag: str, attributes: Mapping[str, str]) -> None:
        match tag:
            case "br":
                self._text.append("\n")
            case "pre" | "textarea":
                self._text.append(" " if tag == "textarea" else "")
                self._pre += 1
            case "select":
                self._text.append(" ")
                self._options = 0
            case "img" | "image":
                self._picture(attributes)
            case "a":
                address = _ADDRESS.match(attributes.get("href", ""))
                self._address = unquote(address[1]).strip() if address else ""
            case "input":
                self._text.append(_input_text(attributes))
            case "option":
                self._text.append(", " if self._options else "")
                self._options += 1
            case "q":
                self._text.append("“")
            case "sup":
                self._raised += 1
            case "iframe" | "frame":
                self._notes.add(NoteKind.FRAMES)
            case "video" | "audio" | "embed":
                self._notes.add(NoteKind.MEDIA)
            case "math":
                self._start_equation()

    def _start_equation(self) -> None:
        from lxml import etree

        self._notes.add(NoteKind.EQUATIONS)
        self._depth = 1
        self._equation = etree.TreeBuilder()
        self._equation.start("math", {})

    def end(self, tag: str) -> None:
        """Take the end of an element."""
        if self._equation is not None:
            self._depth -= 1
            self._equation.end(tag if _NAME.fullmatch(tag) else "mrow")
            if not self._depth:
                self._text.append(equation_text(self._equation.close()))
                self._equation = None
                self._tags.pop()
            return
        _tag, hid = self._tags.pop()
        if tag == "title" and self._hidden and not self._title:
            self._title = " ".join("".join(self._text).split())
            self._text = []
        if self._hidden:
            self._hidden -= hid
            return
        if tag in _BREAKS:
            self._flush(int(tag[1]) if tag[0] == "h" and tag[1:].isdigit() else 0, is_term=self._is_term)
            self._is_term = False
        self._end_inline(tag)
        if tag in _PLACES:
            self._end_place(tag)

    def _end_inline(self, tag: str) -> None:
        match tag:
            case "pre" | "textarea":
                self._pre -= 1
            case "a" if self._address:
                if self._address not in "".join(self._text):
                    self._text.append(f" ({self._address})")
                self._address = ""
            case "q":
                self._text.append("”")
            case "sup":
                self._raised -= 1

    def _end_place(self, tag: str) -> None:
        table = self._tables[-1] if self._tables else None
        match tag:
            case "table" if table:
                self._tables.pop()
                for block in table.blocks():
                    self._add(block)
            case "thead" | "tbody" | "tfoot" if table:
                table.end_group()
            case "td" | "th" | "tr" if table:
                table.cell = None
            case "ol" | "ul" | "menu" | "dir":
                self._lists[-1:] = []
                self._prefix = ""
            case "li":
                self._prefix = ""
            case "dl" if self._term:
                self._add(Block(self._term))
                self._term = ""
        self._is_term = False

    def data(self, text: str) -> None:
        """Take a piece of text."""
        if self._equation is not None:
            self._equation.data(_CONTROLS.sub("", text))
        elif self._hidden:
            if self._tags and self._tags[-1][0] == "title" and not self._title:
                self._text.append(text)
            elif text.strip() and self._tags and self._tags[-1][0] not in _UNSHOWN:
                self._note_hidden()
        elif self._pre:
            self._text.append(text)
        else:
            text = _SPACE.sub(" ", text)
            self._text.append(raised(text) if self._raised else text)

    def close(self) -> None:
        """Take the end of the page."""
        while self._tags:
            self.end(self._tags[-1][0])
        self._flush()

    def blocks(self, *, titled: bool) -> list[Block]:
        """Return the page's blocks."""
        if titled and self._title and not any(block.level for block in self._blocks):
            return [Block(self._title, 1), *self._blocks]
        return self._blocks

    def _note_hidden(self) -> None:
        """Note hidden text once for each element that hides it, unless no browser ever shows such elements."""
        at = next((at for at, (_tag, hides) in enumerate(self._tags) if hides), None)
        if at is not None and self._tags[at][0] not in _UNSHOWN:
            self._notes.add(NoteKind.HIDDEN_TEXT)
            self._tags[at] = ("template", True)

    def _picture(self, attributes: Mapping[str, str]) -> None:
        tiny = any(attributes.get(side, "").strip() in {"0", "1", "2"} for side in ("width", "height"))
        described = " ".join(attributes.get("alt", "").split())
        if not tiny and attributes.get("alt") != "":
            self._notes.add(NoteKind.PICTURES)
        if described:
            self._text.append(described)

    def _flush(self, level: int = 0, *, is_term: bool = False) -> None:
        """End the paragraph."""
        text, self._text = "".join(self._text), []
        if not self._pre:
            text = re.sub(r" *\n *", "\n", re.sub(r" {2,}", " ", text.replace("\xa0", " "))).strip()
        if not text.strip():
            return
        if is_term:
            self._term = f"{self._term}, {text}" if self._term else text
            return
        if level:
            self._add(Block(text, level))
        else:
            indent = "  " * (len(self._lists) - 1)
            self._add(Block(f"{indent}{self._prefix}{text}", item=bool(self._lists)))
        self._prefix = ""

    def _add(self, block: Block) -> None:
        table = self._tables[-1] if self._tables else None
        if table is None:
            self._blocks.append(block)
        elif table.cell is not None:
            table.cell.blocks.append(block)
        else:
            table.captions.append(block)


def _is_hidden(tag: str, attributes: Mapping[str, str]) -> bool:
    """Whether an element is not shown. Scripts turn pages on that hide themselves."""
    if tag in {"html", "body"}:
        return False
    return (
        ("hidden" in attributes and "note" not in attributes.get("epub:type", ""))
        or (tag == "dialog" and "open" not in attributes)
        or ("style" in attributes and _HIDING.search(attributes["style"]) is not None)
    )


def _input_text(attributes: Mapping[str, str]) -> str:
    kind = attributes.get("type", "text").lower()
    if kind in {"checkbox", "radio"}:
        return "☒ " if "checked" in attributes else "☐ "
    return "" if kind in _NO_INPUT else f" {attributes.get('value', '')} "
