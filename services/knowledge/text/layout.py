"""The layout of a text as blocks: prose, questions with their answers, tables, lists, values, definitions, code.

For quoting: each block knows what its parts need to be understood (the question, the header row, the lead-in, the title
above). Works on a chunk, whatever format it was read from: layout is told from lines and punctuation alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from services.knowledge.text.sentences import sentences

_FENCE = re.compile(r"\s*(?:```|~~~)")
_ITEM = re.compile(r"\s*(?:[•·▪‣*+–-]|\(?\d{1,3}[.)]|\d{1,3}[、）]|[（(]?[a-z][.)]|[①-⑳])\s*(?=\S)")
_SPACED_ITEM = re.compile(r"\s*(?:[•·▪‣*+–-]\s|\(?\d{1,3}[.)]\s|\d{1,3}[、）]|[（(]?[a-z][)]\s|[①-⑳]\s?)")
_STEP = re.compile(r"\s*\(?\d{1,3}[.)、）]")
_ASKS = re.compile(r"\s*(?:(?:Q|Question|Frage|Pregunta|F|问题?|問題?|質問|提问)\s*\d*\s*[:：.]\s*)", re.IGNORECASE)
_ANSWERS = re.compile(r"\s*(?:(?:A|Answer|Antwort|Respuesta|答案?|回答|解答)\s*\d*\s*[:：.]\s*)", re.IGNORECASE)
_QUESTION_END = re.compile(r"[?？]\W*$")
_FIELD = re.compile(
    r"\s*(?P<key>[^\W_](?:[^:：=|?？。！.]|\.(?!\s)){0,48}?)\s*(?:[:：](?!//)|=(?!=)\s)\s*(?P<value>\S.*)"
)
_COLUMNS = re.compile(r"\S(?:\s{3,}|\t|\s\s(?=[-+$€£¥]?\d))\S")
_DEFINITION = re.compile(r":\s+(?=\S)")
_TIMESTAMP = re.compile(r"[\[(]?(?:\d{4}-\d\d-\d\d|\d\d/\w{3}/\d{4}|\w{3} [ \d]\d)[T :,]+\d\d:\d\d")
_RULE = re.compile(r"\|(?:\s*:?-+:?\s*\|)+\s*")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s+")
_EMPHASIS = re.compile(r"^(\*\*|__)(.+)\1$")
_ENDED = re.compile(r"""[.!?:;,…。！？：；，、｡؟।॥۔][”’"'»」』）》】)\]*_]*$""")
_LEADS = re.compile(r"""[:：][”’"'*_]*$""")
_SECTION = re.compile(r"\[[^\]\d][^\]]{0,60}\]")
_CLAUSE = re.compile(
    r"\s*(?:§\s*)?(?:\d{1,3}(?:\.\d{1,3})*[.)]?|[（(]?[ivxIVX]{1,4}[.)）]|第[一二三四五六七八九十百\d]+[条章节款])\s*"
)
_CODE = re.compile(
    r"""\s*(?:[})\]]+[;,]?$|[@\w][^。，]*[{;]$|(?:def|class|async|if|elif|else|for|while|with|try|except|switch|case)\b[^.]*[:{(]$
      |(?:return|import|from|const|let|var|public|private|static|function|fn|package|using|raise|throw)\b[^.:]*[\w)(;"']$
      |[\w.\[\]]+\s*(?:[-+*/|]?=)\s*\S|[\w.]+\([^)]*\)[:;]?$|\#include|[$>]\s\w|>>>\s|\"{3}|//|/\*|\*/|\#!)""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"[-+±]?[$€£¥]?\d[\d.,:/%]*[%€$£¥]?")
_MOST_FIELD = 160
_MOST_QUESTION = 200
_MOST_CLAUSE_LABEL = 48
_LONG_ITEM = 200  # longer items are paragraphs with a number
_SHORT_TITLE = 100
_MIN_DATA_LINES = 2
_CODE_SHARE = 0.6


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
        return self.kind is LayoutKind.LIST and all(_STEP.match(part) for part in self.parts)


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


def cells(row: str) -> list[str]:
    """Return the cells of a table row."""
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def plain_title(line: str) -> str:
    """Return a title without marks of Markdown."""
    line = _HEADING.sub("", line).strip()
    emphasis = _EMPHASIS.match(line)
    return (emphasis[2] if emphasis else line).strip()


def bare_item(item: str) -> str:
    """Return a list item without its bullet or number."""
    return item[match.end() :].strip() if (match := _ITEM.match(item)) else item.strip()


def value_of(line: str) -> str:
    """Return what a line says after its name: "38 kg" of "Weight: 38 kg"; all of it where it has none."""
    return match["value"] if (match := _FIELD.fullmatch(line)) else line


def bare_question(line: str) -> str:
    """Return a question without "Q:"."""
    return plain_title(_ASKS.sub("", line, count=1))


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
        if _FENCE.match(line):
            while end < len(lines) and not _FENCE.match(lines[end]):
                end += 1
            yield from _code(lines[at + 1 : end])
            at = end + 1
            continue
        if line.lstrip().startswith("|"):
            while end < len(lines) and lines[end].lstrip().startswith("|"):
                end += 1
            yield from _table([row.strip() for row in lines[at:end]])
        elif line.strip() in known or _HEADING.match(line):
            yield LayoutBlock(LayoutKind.TITLE, (line.strip(),))
        else:
            while end < len(lines) and lines[end].strip() and not _opens(lines[end], known):
                end += 1
            yield from _paragraph([one.rstrip() for one in lines[at:end]])
        at = end


def _opens(line: str, known: set[str]) -> bool:
    """Return whether a line ends the paragraph before it."""
    return bool(_FENCE.match(line) or line.lstrip().startswith("|") or _HEADING.match(line) or line.strip() in known)


def _code(lines: Sequence[str]) -> Iterator[LayoutBlock]:
    body = "\n".join(lines).strip("\n")
    if body.strip():
        yield LayoutBlock(LayoutKind.CODE, (body,))


def _table(rows: Sequence[str]) -> Iterator[LayoutBlock]:
    ruled = len(rows) > 1 and _RULE.fullmatch(rows[1]) is not None
    body = [row for row in rows if not _RULE.fullmatch(row)]
    if not body:
        return
    if len(body) == 1 and not ruled:
        yield LayoutBlock(LayoutKind.TABLE, tuple(body))
    else:
        yield LayoutBlock(LayoutKind.TABLE, tuple(body[1:]), lead=body[0])


def _paragraph(lines: list[str]) -> Iterator[LayoutBlock]:
    """Yield the blocks of lines without a blank line between them."""
    if _is_code(lines):
        yield from _code(lines)
        return
    longest = max(map(len, lines))
    at = 0
    while at < len(lines):
        end = at + 1
        line = lines[at]
        if _SPACED_ITEM.match(line):
            while end < len(lines) and not _SPACED_ITEM.match(lines[end]) and _continues(lines, end, longest):
                end += 1
            yield LayoutBlock(LayoutKind.LIST, (_joined(lines[at:end]),))
        elif _TIMESTAMP.match(line) or _is_row(line) or _DEFINITION.match(line):
            yield LayoutBlock(LayoutKind.VALUES, (line.strip(),))
        elif _SECTION.fullmatch(line.strip()):
            yield LayoutBlock(LayoutKind.TITLE, (line.strip(),))
        elif _asks(line) or _answers(line):
            while end < len(lines) and not (_asks(lines[end]) or _answers(lines[end])):
                end += 1
            yield LayoutBlock(LayoutKind.PROSE, (_joined(lines[at:end]),))
        elif _is_value(lines, at):
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
        _SPACED_ITEM.match(line)
        or _TIMESTAMP.match(line)
        or _is_row(line)
        or _DEFINITION.match(line)
        or _asks(line)
        or _answers(line)
        or _is_value(lines, at)
    )


def _asks(line: str) -> bool:
    """Return whether a line is marked as a question: "Q: ...", "问：...", "Q3. ...?"; "F12: ..." is a code."""
    mark = _ASKS.match(line)
    if mark is None:
        return False
    word = mark[0].strip(" :：.")
    return "?" in line or "？" in line or word in {"Q", "问", "問"} or (len(word) > 1 and word.isalpha())


def _answers(line: str) -> bool:
    """Return whether a line is marked as an answer: "A: ...", "答：..."."""
    mark = _ANSWERS.match(line)
    return mark is not None and not any(map(str.isdigit, mark[0]))


def _continues(lines: list[str], at: int, longest: int) -> bool:
    """Return whether a line carries on the item before it."""
    before = lines[at - 1]
    return lines[at][:1].isspace() or (len(before) > 0.7 * longest and not _ENDED.search(before))


def _is_row(line: str) -> bool:
    """Return whether a line has columns, or words and several numbers, as tables of PDFs have."""
    if _COLUMNS.search(line.strip()):
        return True
    words = line.split()
    numbers = sum(_NUMBER.fullmatch(word) is not None for word in words)
    return numbers >= _MIN_DATA_LINES and numbers * 2 >= len(words) and not _ENDED.search(line)


def _is_value(lines: list[str], at: int) -> bool:
    """Return whether a line is a name and its value: "Weight: 38 kg"."""
    line = lines[at]
    if len(line) > _MOST_FIELD or not (field := _FIELD.fullmatch(line)):
        return False
    if field["key"][-1].isdigit() and field["value"][0].isdigit():  # a time
        return False
    following = lines[at + 1] if at + 1 < len(lines) else ""
    return bool(
        not following.strip()
        or _ENDED.search(line)
        or _FIELD.fullmatch(following)
        or _SPACED_ITEM.match(following)
        or len(line) < 0.7 * max(map(len, lines))
    )


def _prose(lines: Sequence[str]) -> Iterator[LayoutBlock]:
    """Yield running text and the titles in it."""
    text = "\n".join(lines)
    if not any(character.isalnum() for character in text):
        return
    run: list[str] = []
    pieces = sentences(text)
    for number, piece in enumerate(pieces):
        title = not _ENDED.search(piece) and len(piece) <= _SHORT_TITLE and "\n" not in piece
        question = _QUESTION_END.search(piece) and _EMPHASIS.match(piece.strip())
        if (title and (number < len(pieces) - 1 or len(pieces) == 1)) or question:
            if run:
                yield LayoutBlock(LayoutKind.PROSE, tuple(run))
                run = []
            yield LayoutBlock(LayoutKind.TITLE, (piece,))
        else:
            run.append(piece)
    if run:
        yield LayoutBlock(LayoutKind.PROSE, tuple(run))


def _is_code(lines: Sequence[str]) -> bool:
    matching = sum(_CODE.match(line) is not None for line in lines)
    return len(lines) > 1 and matching >= _CODE_SHARE * len(lines) and any(c in "(){};=" for c in "".join(lines))


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
        elif block.kind is LayoutKind.VALUES and _DEFINITION.match(block.parts[0]) and held.kind in _SPOKEN:
            yield from _without_last(held)
            held = LayoutBlock(LayoutKind.VALUES, (f"{held.parts[-1]}\n{block.parts[0]}", *block.parts[1:]))
        elif block.kind is LayoutKind.CODE and held.kind is LayoutKind.PROSE and _LEADS.search(held.parts[-1]):
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
        return _LEADS.search(block.parts[0]) is not None
    return block.kind is LayoutKind.PROSE and _LEADS.search(block.parts[-1]) is not None


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
        if len(run) == 1 and len(block.parts) == 1 and not block.lead and _CLAUSE.match(run[0]) and _is_label(run[0]):
            yield LayoutBlock(LayoutKind.TITLE, (run[0],))
        elif run:
            yield replace(block, parts=tuple(run))


def _is_label(item: str) -> bool:
    return not _ENDED.search(item) and len(item) <= _SHORT_TITLE


def _is_clause(part: str, inner: Sequence[str]) -> bool:
    """Return whether an item has a label and then a sentence: "2. Rent. The monthly rent is 1,180 EUR."."""
    return _CLAUSE.match(part) is not None and len(inner) > 1 and len(inner[0]) <= _MOST_CLAUSE_LABEL


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
    if _asks(first) or (len(block.parts) == 1 and _QUESTION_END.search(first)):
        return first
    return None


def _answer(question: LayoutBlock | None, answer: list[str]) -> Iterator[LayoutBlock]:
    if question is None:
        return
    if answer:
        answer[0] = _ANSWERS.sub("", answer[0], count=1)
        yield LayoutBlock(LayoutKind.ANSWER, tuple(answer), lead=question.parts[0])
    else:
        yield question
