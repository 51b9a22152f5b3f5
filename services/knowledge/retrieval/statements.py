"""What can be quoted from a passage: sentences, rows, items, values, answers and code, with what each needs to be
understood.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from services.knowledge.text.layout import LayoutBlock, LayoutKind, blocks
from services.knowledge.text.lines import bare_item, bare_question, cells

# A sentence that begins so says little without the one before it.
_REFERS_BACK = re.compile(
    r"(?:it|its|they|their|them|this|these|those|he|she|his|her|both|such|otherwise|then|there|after that|before that"
    r"|in that case|in this case)\b"
    r"|[它他她其该此]|这|那(?!么)|上述|否则|然后|之后",
    re.IGNORECASE,
)
_QUESTION_END = re.compile(r"[?？][”’\"'»」』）》】)\]]*$")
_MOST_SHOWN = 1200  # characters of one quote
_MOST_ROWS = 12  # of a table that is quoted whole
_MOST_ITEMS = 24
_MOST_CELL = 300


@dataclass(frozen=True, slots=True)
class Statement:
    """Something that can be quoted.

    `text` are its own words, verbatim; `context` are further words that it is about: question, header row, lead-in,
    the sentence that it refers to. `title` is the nearest title above. `whole` means all parts of its block.
    """

    block: LayoutBlock
    first: int
    last: int
    text: str
    context: str = ""
    whole: bool = False

    @property
    def kind(self) -> LayoutKind:
        return self.block.kind

    @property
    def title(self) -> str:
        return self.block.title


def statements(text: str, headings: Sequence[str] = ()) -> Iterator[Statement]:
    """Yield everything in `text` that can be quoted, in order; blocks that can be quoted whole after their parts."""
    for block in blocks(text, headings):
        if block.kind is LayoutKind.PROSE:
            yield from _sentences(block)
        elif block.kind in {LayoutKind.ANSWER, LayoutKind.CODE}:
            context = bare_question(block.lead) if block.kind is LayoutKind.ANSWER else block.lead
            yield Statement(block, 0, len(block.parts) - 1, "\n".join(block.parts), context, whole=True)
        else:
            for number, part in enumerate(block.parts):
                yield Statement(block, number, number, part, block.lead)
            if _may_be_whole(block):
                yield Statement(block, 0, len(block.parts) - 1, "\n".join(block.parts), block.lead, whole=True)


def _may_be_whole(block: LayoutBlock) -> bool:
    if sum(map(len, block.parts)) > _MOST_SHOWN or len(block.parts) < 2:
        return False
    if block.kind is LayoutKind.TABLE:
        return len(block.parts) <= _MOST_ROWS
    return block.kind is LayoutKind.LIST and len(block.parts) <= _MOST_ITEMS and bool(block.lead or block.title)


def _sentences(block: LayoutBlock) -> Iterator[Statement]:
    """Yield sentences, each with the one before it that it refers to; a question with what follows it."""
    parts = block.parts
    number = 0
    while number < len(parts):
        last = number
        if _QUESTION_END.search(parts[number]) and number + 1 < len(parts):
            last = number + 1
            yield Statement(block, number, last, parts[last], _context(block.lead, parts[number]))
        elif number and _REFERS_BACK.match(parts[number]):
            first = number - 1
            yield Statement(block, first, number, parts[number], _context(block.lead, parts[first]))
        else:
            yield Statement(block, number, number, parts[number], block.lead)
        number = last + 1


def _context(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def shown(block: LayoutBlock, places: Sequence[int]) -> str:
    """Return parts of a block as they are quoted; rows and items in lines of their own where there are several."""
    return _SHOWN.get(block.kind, _running)(block, places)


def _answer(block: LayoutBlock, places: Sequence[int]) -> str:
    question = _line(bare_question(block.lead))
    parts = [block.parts[place] for place in places]
    if any(_is_item(part) for part in parts):
        return "\n".join([question, "", *map(_line, parts)])
    return " ".join([question, *map(_line, parts)])


def _code(block: LayoutBlock, places: Sequence[int]) -> str:
    parts = [block.parts[place] for place in places]
    fence = "````" if any("```" in part for part in parts) else "```"
    return "\n".join([*([_line(block.lead), ""] if block.lead else []), fence, *parts, fence])


def _items(block: LayoutBlock, places: Sequence[int]) -> str:
    lead = _line(block.lead)
    parts = [block.parts[place] for place in places]
    if len(parts) == 1:
        return " ".join((lead, _line(bare_item(parts[0])))) if lead else _line(parts[0])
    items = [_line(part) if block.ordered else f"- {_line(bare_item(part))}" for part in parts]
    return "\n".join([*([lead, ""] if lead else []), *items])


def _values(block: LayoutBlock, places: Sequence[int]) -> str:
    lines = [
        ": ".join(_line(line).removeprefix(":").strip() for line in block.parts[place].split("\n")) for place in places
    ]
    return lines[0] if len(lines) == 1 else "\n".join(f"- {line}" for line in lines)


def _running(block: LayoutBlock, places: Sequence[int]) -> str:
    """Return sentences as running text, "…" where some between them are left out."""
    pieces = [_line(block.lead)] if block.lead else []
    for number, place in enumerate(places):
        if number and place != places[number - 1] + 1:
            pieces.append("…")
        pieces.append(_line(block.parts[place]))
    text = pieces[0]
    for piece in pieces[1:]:
        text += piece if _unspaced(text[-1]) and _unspaced(piece[0]) else f" {piece}"
    return text


def _unspaced(character: str) -> bool:
    return character > "\u2e7f"


def _rows(block: LayoutBlock, places: Sequence[int]) -> str:
    """Return a row as "Header: cell · Header: cell", several ones as a table of Markdown."""
    header, rows = block.lead, [block.parts[place] for place in places]
    names = cells(header) if header else []
    if len(rows) == 1:
        found = cells(rows[0])
        if len(names) != len(found):
            names = names + [""] * len(found) if len(names) < len(found) else names
        pairs = [
            f"{_line(name)}: {_line(cell)}" if name and name != cell else _line(cell)
            for name, cell in zip(names, found, strict=False)
            if cell
        ]
        return " · ".join(pair[:_MOST_CELL] for pair in pairs)
    width = max(len(cells(row)) for row in (*rows, *([header] if header else [])))
    lines = [_table_line(names, width), "|" + " --- |" * width]
    return "\n".join([*lines, *(_table_line(cells(row), width) for row in rows)])


def _table_line(values: Sequence[str], width: int) -> str:
    padded = [*values, *[""] * (width - len(values))]
    return "| " + " | ".join(_line(value)[:_MOST_CELL] for value in padded) + " |"


def _is_item(part: str) -> bool:
    return bare_item(part) != part.strip()


def _line(text: str) -> str:
    return " ".join(text.split())


_SHOWN: dict[LayoutKind, Callable[[LayoutBlock, Sequence[int]], str]] = {
    LayoutKind.ANSWER: _answer,
    LayoutKind.CODE: _code,
    LayoutKind.LIST: _items,
    LayoutKind.TABLE: _rows,
    LayoutKind.VALUES: _values,
}
