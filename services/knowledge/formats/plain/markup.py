"""Markup other than Markdown: reStructuredText, AsciiDoc, Org, LaTeX: text as it stands, headings as path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import BinaryIO

from services.knowledge.formats.reading import Reading, text_of
from services.knowledge.formats.text import split_text
from services.knowledge.types import Section

_LONGEST_TITLE = 200
_RULE = re.compile(r"([=\-`:.'\"~^_*+#<>])\1{2,}\s*$")
_ASCIIDOC = re.compile(r"(={1,6}|#{1,6})\s+(\S.*)")
_ASCIIDOC_BLOCK = re.compile(r"(-{4,}|\.{4,}|`{3}|/{4,}|={4,}|\+{4,})\s*$")
_ORG = re.compile(r"(\*+)\s+(\S.*)")
_LATEX = re.compile(
    r"\\(part|chapter|section|subsection|subsubsection|paragraph|subparagraph|frametitle)\*?\s*(?:\[[^\]]*\])?\{(.*)"
)
_LATEX_LEVELS = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph", "subparagraph")
_TEXTILE = re.compile(r"h([1-6])\.\s+(\S.*)")
_WIKI = re.compile(r"(={1,6})\s*(\S.*?)\s*\1\s*$")


@dataclass(slots=True)
class _Outline:
    """The section that is collected, and the headings above it."""

    lines: list[str] = field(default_factory=list)
    path: list[tuple[int, str]] = field(default_factory=list)

    def close(self) -> Iterator[Section]:
        lines, self.lines = self.lines, []
        heading = tuple(title for _level, title in self.path)
        for part in split_text("\n".join(lines)):
            yield Section(part, heading=heading)

    def enter(self, level: int, title: str) -> None:
        title = " ".join(title.split())[:_LONGEST_TITLE]
        self.path = [(above, name) for above, name in self.path if above < level]
        self.path.append((level, title))


def read_markup(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield one section per heading."""
    text = text_of(stream, reading)
    suffix = PurePath(reading.name.lower()).suffix
    if suffix in {".rst", ".rest"}:
        return _underlined(text)
    return _marked(text, suffix)


def _marked(text: str, suffix: str) -> Iterator[Section]:
    """Yield sections of a text whose headings are marked on their own line."""
    outline = _Outline()
    fence = ""
    for line in text.split("\n"):
        if suffix in {".adoc", ".asciidoc", ".asc"} and (block := _ASCIIDOC_BLOCK.match(line)):
            fence = "" if fence == block[1] else fence or block[1]
        found = None if fence or len(line) > 2 * _LONGEST_TITLE else _heading(line, suffix)
        if found:
            yield from outline.close()
            outline.enter(*found)
        outline.lines.append(line)
    yield from outline.close()


def _heading(line: str, suffix: str) -> tuple[int, str] | None:
    if suffix in {".tex", ".ltx", ".sty"}:
        latex = _LATEX.match(line.strip())
        if latex is None:
            return None
        level = _LATEX_LEVELS.index(latex[1]) if latex[1] in _LATEX_LEVELS else 2
        return level, _braced(latex[2])
    pattern = {".org": _ORG, ".textile": _TEXTILE, ".wiki": _WIKI, ".mediawiki": _WIKI}.get(suffix, _ASCIIDOC)
    match = pattern.match(line)
    if match is None:
        return None
    return int(match[1]) if match[1].isdigit() else len(match[1]), match[2]


def _braced(text: str) -> str:
    """Return the text up to the brace that closes an argument."""
    depth = 1
    for at, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[:at]
    return text


def _underlined(text: str) -> Iterator[Section]:
    """Yield sections of reStructuredText: titles are underlined, levels count in the order of their marks."""
    outline = _Outline()
    levels: list[tuple[str, bool]] = []
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        above = _RULE.match(lines[at]) if at + 2 < len(lines) else None
        over = above is not None and lines[at + 1].strip() != "" and lines[at + 2].strip() == lines[at].strip()
        title = lines[at + 1] if over else lines[at]
        below = at + 2 if over else at + 1
        rule = _RULE.match(lines[below]) if below < len(lines) else None
        is_title = (
            rule is not None
            and 0 < len(title.strip()) <= _LONGEST_TITLE
            and len(lines[below].rstrip()) >= min(len(title.strip()), 4)
            and not _RULE.match(title)
            and (over or not title.startswith((" ", "\t")))
            and (over or at == 0 or not lines[at - 1].strip())
        )
        if is_title and rule is not None:
            mark = (rule[1], over)
            if mark not in levels:
                levels.append(mark)
            yield from outline.close()
            outline.enter(levels.index(mark), title)
            outline.lines += [title.strip()]
            at = below + 1
        else:
            outline.lines.append(lines[at])
            at += 1
    yield from outline.close()
