"""The layout of a text as blocks: prose, questions with their answers, tables, lists, values, definitions, code.

For quoting: each block knows what its parts need to be understood (the question, the header row, the lead-in, the title
above). Works on a chunk, whatever format it was read from: layout is told from lines and punctuation alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from services.knowledge.text.lines import (
    ANSWERS,
    CLAUSE,
    DEFINITION,
    EMPHASIS,
    ENDED,
    FENCE,
    HEADING,
    LEADS,
    QUESTION_END,
    RULE,
    SECTION,
    SPACED_ITEM,
    STEP,
    TIMESTAMP,
    answers,
    asks,
    is_code,
    is_row,
    is_value,
    plain_title,
)
from services.knowledge.text.sentences import sentences

_MOST_QUESTION = 200
_MOST_CLAUSE_LABEL = 48
_LONG_ITEM = 200  # longer items are paragraphs with a number
_SHORT_TITLE = 100


class LayoutKind(StrEnum):
    """The kinds of blocks."""

    PROSE = "prose"
    TITLE = "title"
    ANSWER = "answer"
    TABLE = "table"
    LIST = "list"
    VALUES = "values"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class LayoutBlock:
    """A block: `parts` are its sentences, rows, items or lines, verbatim; `lead` is what they need to be understood.

    The lead is the question of an answer, the header row of a table, the lead-in of a list, the label of a clause;
    `title` is the nearest title above.
    """

    kind: LayoutKind
    parts: tuple[str, ...]
    lead: str = ""
    title: str = ""

    @property
    def ordered(self) -> bool:
        """Whether it is a list of numbered steps."""
        return self.kind is LayoutKind.LIST and all(STEP.match(part) for part in self.parts)


def blocks(text: str, headings: Sequence[str] = ()) -> list[LayoutBlock]:
    """Return the blocks of `text` in order; lines that are among `headings` are titles."""
    known = {heading.strip() for heading in headings if heading.strip()}
    title = headings[-1].strip() if headings else ""
    found: list[LayoutBlock] = []
    for block in _answered(_clauses(_merged(_raw(text, known)))):
        if block.kind is LayoutKind.TITLE:
            title = plain_title(block.parts[0])
            found.append(block)
        else:
            found.append(replace(block, title=title))
    return found


def _raw(text: str, known: set[str]) -> Iterator[LayoutBlock]:
    """Yield blocks by the kind of their lines, before neighbours are joined."""
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        end = at + 1
        if not line.strip():
            at = end
            continue
        if FENCE.match(line):
            while end < len(lines) and not FENCE.match(lines[end]):
                end += 1
            yield from _code(lines[at + 1 : end])
            at = end + 1
            continue
        if line.lstrip().startswith("|"):
            while end < len(lines) and lines[end].lstrip().startswith("|"):
                end += 1
            yield from _table([row.strip() for row in lines[at:end]])
        elif line.strip() in known or HEADING.match(line):
            yield LayoutBlock(LayoutKind.TITLE, (line.strip(),))
        else:
            while end < len(lines) and lines[end].strip() and not _opens(lines[end], known):
                end += 1
            yield from _paragraph([one.rstrip() for one in lines[at:end]])
        at = end


def _opens(line: str, known: set[str]) -> bool:
    """Return whether a line ends the paragraph before it."""
    return bool(FENCE.match(line) or line.lstrip().startswith("|") or HEADING.match(line) or line.strip() in known)


def _code(lines: Sequence[str]) -> Iterator[LayoutBlock]:
    body = "\n".join(lines).strip("\n")
    if body.strip():
        yield LayoutBlock(LayoutKind.CODE, (body,))


def _table(rows: Sequence[str]) -> Iterator[LayoutBlock]:
    ruled = len(rows) > 1 and RULE.fullmatch(rows[1]) is not None
    body = [row for row in rows if not RULE.fullmatch(row)]
    if not body:
        return
    if len(body) == 1 and not ruled:
        yield LayoutBlock(LayoutKind.TABLE, tuple(body))
    else:
        yield LayoutBlock(LayoutKind.TABLE, tuple(body[1:]), lead=body[0])


def _paragraph(lines: list[str]) -> Iterator[LayoutBlock]:
    """Yield the blocks of lines without a blank line between them."""
    if is_code(lines):
        yield from _code(lines)
        return
    longest = max(map(len, lines))
    at = 0
    while at < len(lines):
        end = at + 1
        line = lines[at]
        if SPACED_ITEM.match(line):
            while end < len(lines) and not SPACED_ITEM.match(lines[end]) and _continues(lines, end, longest):
                end += 1
            yield LayoutBlock(LayoutKind.LIST, (_joined(lines[at:end]),))
        elif TIMESTAMP.match(line) or is_row(line) or DEFINITION.match(line):
            yield LayoutBlock(LayoutKind.VALUES, (line.strip(),))
        elif SECTION.fullmatch(line.strip()):
            yield LayoutBlock(LayoutKind.TITLE, (line.strip(),))
        elif asks(line) or answers(line):
            while end < len(lines) and not (asks(lines[end]) or answers(lines[end])):
                end += 1
            yield LayoutBlock(LayoutKind.PROSE, (_joined(lines[at:end]),))
        elif is_value(lines, at):
            yield LayoutBlock(LayoutKind.VALUES, (line.strip(),))
        else:
            while end < len(lines) and not _stops(lines, end):
                end += 1
            yield from _prose(lines[at:end])
        at = end


def _stops(lines: list[str], at: int) -> bool:
    """Return whether running text ends before the line `at`."""
    line = lines[at]
    return bool(
        SPACED_ITEM.match(line)
        or TIMESTAMP.match(line)
        or is_row(line)
        or DEFINITION.match(line)
        or asks(line)
        or answers(line)
        or is_value(lines, at)
    )


def _continues(lines: list[str], at: int, longest: int) -> bool:
    """Return whether a line carries on the item before it."""
    before = lines[at - 1]
    return lines[at][:1].isspace() or (len(before) > 0.7 * longest and not ENDED.search(before))


def _prose(lines: Sequence[str]) -> Iterator[LayoutBlock]:
    """Yield running text and the titles in it."""
    text = "\n".join(lines)
    if not any(character.isalnum() for character in text):
        return
    run: list[str] = []
    pieces = sentences(text)
    for number, piece in enumerate(pieces):
        title = not ENDED.search(piece) and len(piece) <= _SHORT_TITLE and "\n" not in piece
        question = QUESTION_END.search(piece) and EMPHASIS.match(piece.strip())
        if (title and (number < len(pieces) - 1 or len(pieces) == 1)) or question:
            if run:
                yield LayoutBlock(LayoutKind.PROSE, tuple(run))
                run = []
            yield LayoutBlock(LayoutKind.TITLE, (piece,))
        else:
            run.append(piece)
    if run:
        yield LayoutBlock(LayoutKind.PROSE, tuple(run))


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(lines).strip()


def _merged(found: Iterator[LayoutBlock]) -> Iterator[LayoutBlock]:
    """Join neighbouring items, values and lines, and give them the lead-in before them."""
    held: LayoutBlock | None = None
    for block in found:
        if held is None:
            held = block
        elif block.kind is held.kind and block.kind in {LayoutKind.LIST, LayoutKind.VALUES}:
            held = replace(held, parts=held.parts + block.parts)
        elif block.kind is LayoutKind.LIST and _leads(held):
            yield from _without_last(held)
            held = replace(block, lead=held.parts[-1])
        elif block.kind is LayoutKind.VALUES and DEFINITION.match(block.parts[0]) and held.kind in _SPOKEN:
            yield from _without_last(held)
            held = LayoutBlock(LayoutKind.VALUES, (f"{held.parts[-1]}\n{block.parts[0]}", *block.parts[1:]))
        elif block.kind is LayoutKind.CODE and held.kind is LayoutKind.PROSE and LEADS.search(held.parts[-1]):
            yield from _without_last(held)
            held = replace(block, lead=held.parts[-1])
        else:
            yield held
            held = block
    if held is not None:
        yield held


_SPOKEN = frozenset({LayoutKind.PROSE, LayoutKind.TITLE})


def _leads(block: LayoutBlock) -> bool:
    """Return whether a block ends with the lead-in of what follows."""
    if block.kind is LayoutKind.TITLE:
        return LEADS.search(block.parts[0]) is not None
    return block.kind is LayoutKind.PROSE and LEADS.search(block.parts[-1]) is not None


def _without_last(block: LayoutBlock) -> Iterator[LayoutBlock]:
    if len(block.parts) > 1:
        yield replace(block, parts=block.parts[:-1])


def _clauses(found: Iterator[LayoutBlock]) -> Iterator[LayoutBlock]:
    """Turn long items into paragraphs, and single short ones without a neighbour into titles."""
    for block in found:
        if block.kind is not LayoutKind.LIST:
            yield block
            continue
        run: list[str] = []
        for part in block.parts:
            inner = sentences(part)
            if len(part) <= _LONG_ITEM and len(inner) < 3 and not _is_clause(part, inner):
                run.append(part)
                continue
            if run:
                yield replace(block, parts=tuple(run))
                run = []
            yield from _clause(inner)
        if len(run) == 1 and len(block.parts) == 1 and not block.lead and CLAUSE.match(run[0]) and _is_label(run[0]):
            yield LayoutBlock(LayoutKind.TITLE, (run[0],))
        elif run:
            yield replace(block, parts=tuple(run))


def _is_label(item: str) -> bool:
    return not ENDED.search(item) and len(item) <= _SHORT_TITLE


def _is_clause(part: str, inner: Sequence[str]) -> bool:
    """Return whether an item has a label and then a sentence: "2. Rent. The monthly rent is 1,180 EUR."."""
    return CLAUSE.match(part) is not None and len(inner) > 1 and len(inner[0]) <= _MOST_CLAUSE_LABEL


def _clause(inner: Sequence[str]) -> Iterator[LayoutBlock]:
    label = inner[0]
    short = len(inner) > 1 and len(label) <= _MOST_CLAUSE_LABEL and len(label.split()) <= 6
    if short:
        yield LayoutBlock(LayoutKind.PROSE, tuple(inner[1:]), lead=label)
    else:
        yield LayoutBlock(LayoutKind.PROSE, tuple(inner))


def _answered(found: Iterator[LayoutBlock]) -> Iterator[LayoutBlock]:
    """Join questions with the text that answers them."""
    question: LayoutBlock | None = None
    answer: list[str] = []
    for block in found:
        asked = _question_of(block)
        if asked is not None:
            yield from _answer(question, answer)
            question, answer = LayoutBlock(LayoutKind.TITLE, (asked,)), list(block.parts[1:])
        elif (
            question is not None
            and block.kind in {LayoutKind.PROSE, LayoutKind.LIST, LayoutKind.VALUES}
            and (not answer or block.kind is LayoutKind.LIST)
        ):
            lead = [block.lead] if block.lead else []
            answer += lead + list(block.parts)
        else:
            yield from _answer(question, answer)
            question, answer = None, []
            yield block
    yield from _answer(question, answer)


def _question_of(block: LayoutBlock) -> str | None:
    """Return the question that a block is or begins with, None where it asks nothing."""
    if block.kind not in {LayoutKind.PROSE, LayoutKind.TITLE} or len(block.parts[0]) > _MOST_QUESTION:
        return None
    first = block.parts[0]
    if asks(first) or (len(block.parts) == 1 and QUESTION_END.search(first)):
        return first
    return None


def _answer(question: LayoutBlock | None, answer: list[str]) -> Iterator[LayoutBlock]:
    if question is None:
        return
    if answer:
        answer[0] = ANSWERS.sub("", answer[0], count=1)
        yield LayoutBlock(LayoutKind.ANSWER, tuple(answer), lead=question.parts[0])
    else:
        yield question
