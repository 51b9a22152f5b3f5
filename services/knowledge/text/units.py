"""The units that chunks are packed from: headings, sentences, list items with a lead-in, table rows with a header."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from services.knowledge.text.sentences import ends_sentence, packing_units
from services.knowledge.types import Section

# The rule that a chunk shows below a table's header: shorter than the table's own, which costs tokens for each column.
SHORT_RULE = "|---|"
# No word of a language is longer; tokenizers count such runs as one unknown token.
MAX_WORD = 50
_TABLE_RULE = re.compile(r"^\|(?:\s*:?-+:?\s*\|)+\s*$")
_UNBROKEN = re.compile(r"\S{51,}")
_ITEM = re.compile(r"\s*(?:[•·▪‣*+–-]|\(?\d{1,3}[.)]|\d{1,3}、|[（(]?[a-z][.)])\s+(?=\S)")
_LEAD_END = re.compile(r"[:：][”’\"'*_)）]*\s*$")
_QUESTION_END = re.compile(r"[?？][”’\"'*_)）]*$")
_ENDED = re.compile(r"[.!?:;,…。！？：；，、｡؟।॥۔|][”’\"'»」』）》】)\]*_]*$")
_MOST_LEAD = 400
_LONGEST_TITLE = 120


class Joint(IntEnum):
    """How a unit hangs together with the next one: a chunk ends at the lowest that it can reach."""

    FREE = 0
    ITEM = 1  # a sentence within a list item
    CLAUSE = 2  # within a sentence
    KEPT = 3  # a heading, a lead-in: never the end of a chunk


@dataclass(slots=True, eq=False)
class Unit:
    """A sentence or table row with the white space that follows it; joined, units give the section's text again.

    `header` is the table's header above a row, or the lead-in of a list item: a chunk that begins with the unit
    repeats it. `is_header` marks the copy that does so. `group` counts the tokens of a lead-in with all its items.
    """

    text: str
    section: Section
    tokens: int = 0
    whole: bool = True  # False for a piece of something that was too long
    joint: Joint = Joint.FREE
    heading_only: bool = False
    header: Unit | None = None
    is_header: bool = False
    is_row: bool = False
    group: int = 0

    @property
    def is_countable(self) -> bool:
        """Whether the token count is reliable: a giant word counts as one token."""
        return len(self.text) <= MAX_WORD or len(self.text) <= 8 * self.tokens or not _UNBROKEN.search(self.text)


def split_section(section: Section) -> list[Unit]:
    """Return the units of a section."""
    text = section.text.strip()
    if not text:
        return []
    units: list[Unit] = []
    body = text
    if section.heading and text.startswith(section.heading[-1]):
        first, _newline, rest = text.partition("\n")
        if first.strip() == section.heading[-1]:
            body = rest.lstrip()
            separator = "\n\n" if rest.startswith("\n") or not body else "\n"
            units.append(Unit(first + separator, section, joint=Joint.KEPT, heading_only=not body))
    units.extend(_body(body, section))
    last = units[-1]
    last.text = last.text.rstrip() + "\n\n"
    return units


def _body(text: str, section: Section) -> Iterator[Unit]:
    if not text:
        return
    if "\n|" not in text and not text.startswith("|"):
        yield from _prose(text, section)
        return
    prose: list[str] = []
    rows: list[str] = []
    for line in text.splitlines(keepends=True):
        if line.startswith("|"):
            yield from _prose("".join(prose), section)
            prose = []
            rows.append(line)
        else:
            yield from _table(rows, section)
            rows = []
            prose.append(line)
    yield from _table(rows, section)
    yield from _prose("".join(prose), section)


def _table(rows: Sequence[str], section: Section) -> Iterator[Unit]:
    """Yield the rows of a table, each with the header above it; a header alone is a row."""
    header: Unit | None = None
    at = 0
    while at < len(rows):
        ruled = (
            at + 1 < len(rows) and _TABLE_RULE.match(rows[at + 1].strip()) and not _TABLE_RULE.match(rows[at].strip())
        )
        if ruled and header is None:
            line = rows[at].rstrip()
            header = Unit(f"{line}\n{SHORT_RULE}\n", section, joint=Joint.KEPT, is_header=True)
            at += 2
            if at == len(rows):
                yield Unit(rows[at - 2], section, is_row=True)
            continue
        yield Unit(rows[at], section, header=header, is_row=True)
        at += 1


def _prose(text: str, section: Section) -> Iterator[Unit]:
    """Yield the sentences of running text; list items know the lead-in above them."""
    parts = list(packing_units(text)) if text.strip() else []
    lead: Unit | None = None
    in_item = False
    before: Unit | None = None
    for at, part in enumerate(parts):
        following = parts[at + 1] if at + 1 < len(parts) else ""
        unit = Unit(part, section)
        item = _ITEM.match(part) is not None
        if item:
            if before is not None and lead is None and _leads(before):
                lead, before.joint = before, Joint.KEPT
            in_item = True
        elif in_item and (before is None or before.text.endswith("\n\n") or not _continues_item(part, before)):
            lead, in_item = None, False
        unit.header = lead if in_item else None
        if following and not ends_sentence(part, following):
            unit.joint = Joint.CLAUSE
        elif in_item and following and not _ITEM.match(following) and not part.endswith("\n\n"):
            unit.joint = Joint.ITEM
        elif following and not item and _opens(part, before):
            unit.joint = Joint.KEPT
        yield_before, before = before, unit
        if yield_before is not None:
            yield yield_before
    if before is not None:
        yield before


def _opens(part: str, before: Unit | None) -> bool:
    """Whether a line by itself belongs to what follows: a question, a lead-in, a title between blank lines."""
    line = part.strip()
    if not part.endswith("\n") or "\n" in line or len(line) > _LONGEST_TITLE:
        return False
    if _QUESTION_END.search(line) or _LEAD_END.search(line):
        return True
    alone = part.endswith("\n\n") and (before is None or before.text.endswith("\n\n"))
    return alone and _ENDED.search(line) is None


def _leads(unit: Unit) -> bool:
    return len(unit.text) <= _MOST_LEAD and _LEAD_END.search(unit.text) is not None


def _continues_item(part: str, before: Unit) -> bool:
    """Whether a unit that is no item belongs to the one before: on the same line, or indented below it."""
    return not before.text.endswith("\n") or part[:1].isspace()
