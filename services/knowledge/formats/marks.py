"""How text is marked that stands beside the main text: headers, footers, footnotes, comments, notes of speakers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from services.core.i18n import _
from services.knowledge.formats.blocks import Block

# Stands for a page number while a header is read.
PAGE_NUMBER = "\x00"
_SEGMENTS = re.compile(r"[\t\n|·•]+|\s[-–—/]\s")
_MOST_LETTERS = 14


def comment(author: str, text: str) -> Block:
    """Return a comment with its author."""
    text = " ".join(text.split())
    author = " ".join(author.split())
    return Block(_("Comment by {author}: {text}").format(author=author, text=text) if author else _comment(text))


def _comment(text: str) -> str:
    return _("Comment: {text}").format(text=text)


def footnote_mark(number: int) -> str:
    """Return what stands in the text where a footnote belongs."""
    return " " + _("(footnote {number})").format(number=number)


def footnote(number: int, text: str) -> Block:
    """Return a footnote or endnote."""
    return Block(_("Footnote {number}: {text}").format(number=number, text=text.strip()))


def speaker_notes(text: str) -> Block:
    """Return the notes of a speaker."""
    return Block(_("Speaker notes: {text}").format(text=text.strip()))


def on_every_slide(lines: Iterable[str]) -> list[Block]:
    """Return what a presentation shows on all of its slides, each line once."""
    text = "\n".join(_without_page_numbers(lines))
    return [Block(_("On every slide: {text}").format(text=text))] if text else []


def header(lines: Iterable[str]) -> list[Block]:
    """Return the page headers as one block, each line once and without page numbers."""
    text = "\n".join(_without_page_numbers(lines))
    return [Block(_("Header: {text}").format(text=text))] if text else []


def footer(lines: Iterable[str]) -> list[Block]:
    """Return the page footers as one block, each line once and without page numbers."""
    text = "\n".join(_without_page_numbers(lines))
    return [Block(_("Footer: {text}").format(text=text))] if text else []


def _without_page_numbers(lines: Iterable[str]) -> list[str]:
    found: dict[str, None] = {}
    for line in lines:
        if line.startswith("| --- "):
            continue
        text = line.removeprefix("| ").removesuffix(" |") if line.startswith("| ") else line
        if PAGE_NUMBER in text:
            # "Page 3 of 10" says nothing; a customer number beside it does.
            text = "  ".join(part for part in _SEGMENTS.split(text) if not _is_page_number(part))
        text = " ".join(text.replace(PAGE_NUMBER, "").replace("\t", " ").split())
        if text:
            found[text] = None
    return list(found)


def _is_page_number(part: str) -> bool:
    letters = sum(character.isalpha() for character in part)
    return PAGE_NUMBER in part and letters <= _MOST_LETTERS and not any(character.isdigit() for character in part)
