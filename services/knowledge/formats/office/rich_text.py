"""RTF: text with headings, lists, tables, headers, notes and comments, in any code page.

Our own reader: of the libraries at hand none tells headers from text or keeps the cells of tables apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from services.knowledge.formats import marks
from services.knowledge.formats.blocks import Block, block_sections
from services.knowledge.formats.office.rich_text_tables import RichTable
from services.knowledge.formats.office.rich_text_words import (
    ASCII,
    ASIDE,
    BETWEEN,
    CHARACTERS,
    CHARSETS,
    DEFINITIONS,
    ENDS,
    FOOTERS,
    HEADERS,
    ITEM,
    SKIPPED,
    SYMBOL_CHARSET,
    TEXT,
    TOKEN,
    Aside,
    Group,
    code_page,
    ends_within_character,
    heading_level,
    joined,
    unicode,
)
from services.knowledge.formats.reading import Reading
from services.knowledge.formats.symbols import raised, symbol_character
from services.knowledge.notes import NoteCollector, NoteKind
from services.knowledge.types import Section


def read_rtf(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of a document."""
    reader = RichTextReader(reading.notes)
    reader.read(stream.read())
    yield from block_sections(reader.blocks())


@dataclass(slots=True)
class RichTextReader:
    """Reads tokens one by one."""

    notes: NoteCollector
    _group: Group = field(default_factory=Group)
    _groups: list[Group] = field(default_factory=list)
    _fonts: dict[int, tuple[str, int]] = field(default_factory=dict)
    _levels: dict[int, int] = field(default_factory=dict)
    _page: str = "cp1252"
    _bytes: bytearray = field(default_factory=bytearray)
    _skip: int = 0
    _asides: list[Aside] = field(default_factory=list)
    _parts: list[str] = field(default_factory=list)
    _blocks: list[Block] = field(default_factory=list)
    _after: list[Block] = field(default_factory=list)
    _headers: list[str] = field(default_factory=list)
    _footers: list[str] = field(default_factory=list)
    _table: RichTable = field(default_factory=RichTable)
    _style: int = 0
    _level: int = 0
    _depth: int = 0
    _open_cell: int = 0
    _is_in_table: bool = False
    _is_item: bool = False
    _definition: str = ""
    _number: int = 0
    _instruction: str = ""
    _author: str = ""
    _footnotes: int = 0

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of the document."""
        yield from marks.header(self._headers)
        yield from self._blocks
        yield from marks.footer(self._footers)

    def read(self, data: bytes) -> None:
        """Read a whole file."""
        at = 0
        while (token := TOKEN.match(data, at)) is not None:
            at = token.end()
            word, number, code, sign, brace, text = token.groups()
            if word:
                if word == b"bin":
                    at += max(0, int(number or 0))
                else:
                    self._word(word.decode(), int(number) if number else None)
            elif code:
                self._byte(int(code, 16))
            elif text:
                self._plain(text)
                if text[-1] > ASCII and ends_within_character(text, self._encoding()):
                    self._bytes += data[at : at + 1]  # the second byte may look like a brace
                    at += 1
            elif sign:
                self._sign(sign)
            elif brace == b"{":
                self._flush()
                self._groups.append(self._group)
                self._group = replace(self._group, opens_aside=False)
            elif brace:
                self._end_group()
                if not self._groups:
                    break
        self._flush()
        self._end_paragraph()
        self._end_table()

    def _byte(self, code: int) -> None:
        if self._skip:
            self._skip -= 1
        else:
            self._bytes.append(code)

    def _plain(self, text: bytes) -> None:
        if self._skip:
            skipped = min(self._skip, len(text))
            self._skip -= skipped
            text = text[skipped:]
        self._bytes += text

    def _sign(self, sign: bytes) -> None:
        self._skip = 0
        match sign:
            case b"\\" | b"{" | b"}":
                self._bytes += sign
            case b"~":
                self._flush()
                self._write("\xa0")
            case b"_":
                self._flush()
                self._write("-")
            case b"*":
                self._flush()
                self._group.kind = "*"
            case b"\n" | b"\r":
                self._word("par", None)
            case b"\t":
                self._word("tab", None)

    def _encoding(self) -> str:
        _name, charset = self._fonts.get(self._group.font, ("", 0))
        return CHARSETS.get(charset, self._page)

    def _flush(self) -> None:
        """Decode the bytes that were read in a row: characters may have two of them."""
        if not self._bytes:
            return
        data, self._bytes = bytes(self._bytes), bytearray()
        name, charset = self._fonts.get(self._group.font, ("", 0))
        if charset == SYMBOL_CHARSET and not self._group.kind.endswith("tbl"):
            text = "".join(symbol_character(name, code) or "\ufffd" for code in data)
            if "\ufffd" in text:
                self.notes.add(NoteKind.UNKNOWN_SYMBOLS, text.count("\ufffd"))
        else:
            text = data.decode(self._encoding(), errors="replace")
        self._write(text)

    def _write(self, text: str) -> None:
        """Put text where the present group's text goes."""
        group = self._group
        match group.kind:
            case "fonttbl" | "stylesheet":
                self._definition += text
                if ";" in text:
                    self._define(group.kind)
            case "fldinst":
                self._instruction += text
            case "atnauthor":
                self._author += text
            case _ if group.is_skipped or group.kind == "*":
                return
            case _ if group.is_hidden or group.is_deleted:
                if text.strip():
                    self.notes.add(NoteKind.DELETED_TEXT if group.is_deleted else NoteKind.HIDDEN_TEXT)
            case "fldrslt" if self._asides and self._instruction.split()[:1] in (["PAGE"], ["NUMPAGES"]):
                self._target().append(marks.PAGE_NUMBER)
            case _:
                self._target().append(raised(text) if group.is_raised else text)

    def _target(self) -> list[str]:
        return self._asides[-1].parts if self._asides else self._parts

    def _define(self, kind: str) -> None:
        """Take the name of a font or style, which ends its definition."""
        name, self._definition = self._definition.strip(" ;"), ""
        if kind == "fonttbl":
            charset = self._fonts.get(self._group.font, ("", 0))[1]
            self._fonts[self._group.font] = (name, charset)
        else:
            level = heading_level(name)
            if level:
                self._levels[self._number] = level

    def _word(self, word: str, number: int | None) -> None:
        if word == "u" and number is not None:
            self._flush()
            self._write(unicode(number, self._fonts.get(self._group.font, ("", 0))))
            self._skip = self._group.fallback
            return
        self._skip = 0
        self._flush()
        group = self._group
        if word in CHARACTERS:
            self._write(CHARACTERS[word])
        elif word in ENDS:
            if not group.is_skipped:
                self._end_paragraph()
        elif word in DEFINITIONS:
            if not self._asides and not group.is_skipped:
                self._table.define(word, number or 0)
        elif word in {"cell", "row", "nestcell", "nestrow"}:
            self._end_cell(word)
        elif word in ASIDE or word in TEXT or word in SKIPPED or group.kind == "*":
            self._destination(word)
        else:
            self._property(word, number)

    def _destination(self, word: str) -> None:
        """Begin a group whose text is not the text around it."""
        group = self._group
        if not group.is_skipped and (word == "shppict" or (word == "pict" and group.kind != "shppict")):
            self.notes.add(NoteKind.PICTURES)
        if word == "moMath":
            self.notes.add(NoteKind.EQUATIONS)
        if word in {"listtext", "pntext"}:
            self._is_item = True
        is_shown = word in ASIDE or word in TEXT
        if word in {"fldinst", "atnauthor"}:
            group.kind = word
            self._instruction = "" if word == "fldinst" else self._instruction
            self._author = "" if word == "atnauthor" else self._author
            return
        was_skipped = group.is_skipped
        group.kind = word if is_shown else ""
        group.is_skipped = not is_shown or (was_skipped and word not in {"ud", "shptxt", "dptxbxtext"})
        if word in ASIDE and not group.is_skipped:
            if word == "footnote":
                self._footnotes += 1
                self._target().append(marks.footnote_mark(self._footnotes))
            self._asides.append(Aside(word))
            group.opens_aside = True
            group.is_raised = False

    def _property(self, word: str, number: int | None) -> None:  # noqa: PLR0912 - one case for each property
        group = self._group
        is_on = number != 0
        match word:
            case "fonttbl" | "stylesheet":
                group.kind, self._definition = word, ""
            case "f" | "deff" if number is not None:
                group.font = number
            case "fcharset" | "cpg" if group.kind == "fonttbl":
                name, charset = self._fonts.get(group.font, ("", 0))
                self._fonts[group.font] = (name, number or 0) if word == "fcharset" else (name, charset)
            case "ansicpg":
                self._page = code_page(number or 1252)
            case "mac" | "pc" | "pca":
                self._page = {"mac": "mac_roman", "pc": "cp437", "pca": "cp850"}[word]
            case "uc":
                group.fallback = max(0, min(number if number is not None else 1, 16))
            case "v":
                group.is_hidden = is_on
            case "deleted":
                group.is_deleted = is_on
            case "super":
                group.is_raised = is_on
            case "nosupersub" | "sub":
                group.is_raised = False
            case "plain":
                group.is_hidden = group.is_raised = group.is_deleted = False
            case "object" if not group.is_skipped:
                self.notes.add(NoteKind.EMBEDDED_FILES)
            case "upr":
                group.is_skipped = True
            case "s" if number is not None and group.kind == "stylesheet":
                self._number = number
            case "outlinelevel" if number is not None and group.kind == "stylesheet" and number < 9:
                self._levels.setdefault(self._number, number + 2)
            case "chpgn" if self._asides:
                self._target().append(marks.PAGE_NUMBER)
            case _ if not self._asides and group.kind not in {"listtext", "pntext", "stylesheet"}:
                self._paragraph_property(word, number)

    def _paragraph_property(self, word: str, number: int | None) -> None:
        """Take a property of the present paragraph of the main text."""
        match word:
            case "pard":
                if self._is_in_table:
                    self._open_cell = len(self._parts)
                self._is_in_table, self._level, self._style, self._depth = False, 0, 0, 0
            case "intbl":
                self._is_in_table = True
            case "ilvl":
                self._depth = max(0, min(number or 0, 8))
            case "s" if number is not None:
                self._style = number
            case "outlinelevel" if number is not None and number < 9:
                self._level = number + 2

    def _end_group(self) -> None:
        self._flush()
        self._skip = 0
        ended = self._group
        self._group = self._groups.pop() if self._groups else Group()
        if ended.kind == "fldrslt" and self._group.kind != "fldrslt":
            self._add_address()
        if ended.opens_aside:
            self._end_aside(self._asides.pop())

    def _add_address(self) -> None:
        """Add a mail address or telephone number that a link leads to."""
        address = re.search(r'HYPERLINK\s+"(?:mailto:|tel:)([^"?]+)', self._instruction)
        target = self._target()
        if address and address[1] not in "".join(target):
            target.append(f" ({address[1]})")
        self._instruction = ""

    def _end_aside(self, aside: Aside) -> None:
        aside.lines.append(joined(aside.parts))
        lines = [line for line in aside.lines if line.strip()]
        text = "\n".join(lines)
        if aside.kind in HEADERS:
            self._headers += lines
        elif aside.kind in FOOTERS:
            self._footers += lines
        elif aside.kind == "footnote":
            self._after.append(marks.footnote(self._footnotes, text))
        elif aside.kind == "annotation" and text:
            self.notes.add(NoteKind.COMMENTS)
            self._after.append(marks.comment(self._author, text))
        else:
            self._after += [Block(line) for line in lines]

    def _end_paragraph(self) -> None:
        if self._group.kind in {"stylesheet", "fonttbl"}:
            return
        if self._asides:
            aside = self._asides[-1]
            aside.lines.append(joined(aside.parts))
            aside.parts.clear()
            return
        if self._is_in_table:
            self._parts.append("\n")
            return
        if self._table.row.texts:  # a row that nobody ended
            cell, self._parts = self._parts[: self._open_cell], self._parts[self._open_cell :]
            while cell and cell[-1] in BETWEEN:
                cell.pop()
            self._table.row.texts.append(joined(cell))
            self._table.end_row()
        self._end_table()
        text, is_item = joined(self._parts), self._is_item
        self._parts.clear()
        self._is_item = False
        level = self._level or self._levels.get(self._style, 0)
        if text:
            mark = ITEM.match(text) if is_item or text[:9].find("\t") > 0 else None
            if mark:
                label = "-" if len(mark[1]) == 1 and (not mark[1].isalnum() or mark[1] == "o") else mark[1]
                text = f"{label} {text[mark.end() :]}".strip()
            is_item = mark is not None and not level
            self._blocks.append(Block("  " * self._depth + text if is_item else text, level, item=is_item))
        self._blocks += self._after
        self._after = []

    def _end_cell(self, word: str) -> None:
        if self._asides:
            self._asides[-1].parts.append(" " if word.endswith("cell") else "\n")
        elif word == "cell":
            if self._parts and self._parts[-1] in BETWEEN:
                self._parts.pop()
            self._table.row.texts.append(joined(self._parts))
            self._parts.clear()
            self._is_item = False
        elif word == "row":
            self._table.end_row()
        else:
            if word == "nestrow" and self._parts and self._parts[-1] in BETWEEN:
                self._parts.pop()
            self._parts.append(", " if word == "nestcell" else "; ")

    def _end_table(self) -> None:
        if self._table.rows:
            self._blocks += self._table.blocks()
            self._table = RichTable(row=self._table.row)
            self._blocks += self._after
            self._after = []
