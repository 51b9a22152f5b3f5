"""Text of documents as Markdown: tables, code and formulas are shown as such, everything else as it is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from console.ui.shared.formatting import escape, escape_block
from console.ui.shared.maths import Formulas

MARK, END_MARK = "\ue000", "\ue001"  # around what is highlighted
_FENCE = re.compile(r"\s*(?:```|~~~)")
_RULE = re.compile(r"\|(?:\s*:?-+:?\s*\|)+")


def document_markdown(text: str) -> str:
    """Return the text of a document for Markdown; `MARK` and `END_MARK` in it become a highlight."""
    formulas = Formulas()
    shown = "\n".join(_blocks(text.replace("\r\n", "\n").split("\n"), formulas))
    return formulas.put_back(shown).replace(MARK, ":orange-background[").replace(END_MARK, "]")


def _blocks(lines: Sequence[str], formulas: Formulas) -> Iterator[str]:
    at = 0
    while at < len(lines):
        end = at + 1
        if _FENCE.match(lines[at]):
            while end < len(lines) and not _FENCE.match(lines[end]):
                end += 1
            yield from ("", "````text", *(_plain(line) for line in lines[at + 1 : end]), "````", "")
            at = end + 1
            continue
        if _is_row(lines[at]):
            while end < len(lines) and _is_row(lines[end]):
                end += 1
        if end - at > 1:
            yield from ("", *_table(lines[at:end]), "")
        else:
            while end < len(lines) and not (_FENCE.match(lines[end]) or _is_row(lines[end])):
                end += 1
            yield escape_block(formulas.take_out("\n".join(lines[at:end])))
        at = end


def _is_row(line: str) -> bool:
    bare = _plain(line).strip()
    return bare.startswith("|") and bare.endswith("|") and len(bare) > 2


def _plain(line: str) -> str:
    """Return a line without highlights; code shows none, and a fence in it must not end it."""
    return line.replace(MARK, "").replace(END_MARK, "").replace("````", "```\u2060`")


def _table(rows: Sequence[str]) -> Iterator[str]:
    """Yield rows as a table of Markdown, the first one as its header."""
    found = [[cell.strip() for cell in _plain(row).strip()[1:-1].split("|")] for row in rows]
    marked = [MARK in row for row in rows]
    width = max(map(len, found))
    for number, (row, highlighted) in enumerate(zip(found, marked, strict=True)):
        if number and _RULE.fullmatch(_plain(rows[number]).strip()):
            continue
        cells = [escape(cell) for cell in row] + [""] * (width - len(row))
        if highlighted:
            cells = [f"{MARK}{cell}{END_MARK}" if cell else "" for cell in cells]
        yield "| " + " | ".join(cells) + " |"
        if not number:
            yield "|" + " --- |" * width
