"""Text and Markdown files: sections by headings. `encodings` has what their bytes mean."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.knowledge.formats.encoding import encodings
from services.knowledge.types import Section

_ATX = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r"^ {0,3}(=+|-{2,})[ \t]*$")
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
# Longer sections are split at a blank line: pages show them whole, messages carry them whole.
MAX_SECTION_CHARACTERS = 20_000
_MAX_HEADING = 400


def decode(data: bytes) -> str:
    """Return the text of a file with Unix line ends.

    Raises:
        BadInputError: it is not text in an encoding that can be detected.
    """
    return encodings.decode(data).text


def markdown_sections(markdown: str, page: int | None = None, sheet: str = "") -> Iterator[Section]:
    """Yield one section per heading; the heading is its first line, without markup.

    Text before the first heading is a section without one. `#` inside fenced code is no heading.
    """
    path: list[tuple[int, str]] = []
    lines: list[str] = []
    fence = ""
    for line in markdown.split("\n"):
        mark = _FENCE.match(line)
        if mark:
            fence = mark[1][:3] if not fence else ("" if mark[1].startswith(fence) else fence)
        found = None if fence or mark else _heading(line, lines)
        if found is None:
            lines.append(line)
            continue
        level, title, underlined = found
        if underlined:
            lines.pop()
        yield from _section(lines, path, page, sheet)
        path = [(above, name) for above, name in path if above < level]
        if title:
            path.append((level, title))
        lines = [title]
    yield from _section(lines, path, page, sheet)


def plain_sections(text: str) -> Iterator[Section]:
    """Yield sections of a text without headings."""
    for part in split_text(text):
        yield Section(part)


def split_text(text: str, longest: int = MAX_SECTION_CHARACTERS) -> Iterator[str]:
    """Yield parts of at most `longest` characters, split at a blank line, a line end or a space where there is one."""
    start = 0
    while start < len(text):
        end = start + longest
        if end < len(text):
            for separator in ("\n\n", "\n", "。", " "):
                found = text.rfind(separator, start + longest // 2, end)
                if found > 0:
                    end = found + len(separator)
                    break
        part = text[start:end].strip("\n")
        if part.strip():
            yield part
        start = end


def _heading(line: str, before: list[str]) -> tuple[int, str, bool] | None:
    """Return level, title and whether the title is the line before; None if `line` makes no heading."""
    if len(line) > _MAX_HEADING:
        return None
    atx = _ATX.match(line)
    if atx:
        return len(atx[1]), _plain(atx[2]), False
    underline = _UNDERLINE.match(line)
    above = before[-1].strip() if before else ""
    alone = len(before) < 2 or not before[-2].strip()
    if underline and above and alone and len(above) <= 120 and not above.startswith(("|", "-", "*", ">", "#")):
        return (1 if underline[1].startswith("=") else 2), _plain(above), True
    return None


def _plain(title: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[*`]{1,3}", "", title)).strip()


def _section(lines: list[str], path: list[tuple[int, str]], page: int | None, sheet: str) -> Iterator[Section]:
    text = "\n".join(lines).strip("\n")
    if not text.strip():
        return
    heading = tuple(title for _level, title in path)
    for part in split_text(text):
        yield Section(part, page, sheet, heading)
