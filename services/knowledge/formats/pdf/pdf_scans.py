"""Pages that are pictures: drawn for text recognition, and the text of what that finds, tables as rows of cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.knowledge.formats.pdf.pdf_grid import Grid, grid_of
from services.knowledge.formats.pdf.pdf_layout import OpenTable, PageText, laid_out
from services.knowledge.formats.pdf.pdf_page import Box, Fonts, Word
from services.knowledge.recognition.reading_order import TextBlock, ordered
from services.knowledge.recognition.recognized import RecognizedLine, RecognizedPicture

if TYPE_CHECKING:
    from PIL import Image

# Pages are drawn for text recognition at 200 dpi; small ones larger, as receipts and cards are printed small, and large
# ones within what is looked at.
_SCAN_SCALE = 200 / 72
_MOST_SCALE = 400 / 72
_LEAST_SIDE = 1_600
_MOST_SIDE = 4_000
_HYPHEN = re.compile(r"(?<=[a-z])-\n(?=[a-z])")
# Points of a page's height: what the search for tables measures in.
_PAGE_HEIGHT = 842.0


def scan(page: Any) -> Image.Image:
    """Return a page as a picture for text recognition."""
    width, height = page.get_size()
    longest = max(width, height, 1.0)
    scale = min(max(_SCAN_SCALE, _LEAST_SIDE / longest), _MOST_SCALE, _MOST_SIDE / longest)
    picture: Image.Image = page.render(scale=scale, may_draw_forms=False).to_pil().convert("RGB")
    return picture


def lines_in_order(picture: RecognizedPicture) -> list[RecognizedLine]:
    """Return the lines of a picture in reading order."""
    return [line for block in ordered(picture.lines) for row in block.rows for line in row]


def page_text(picture: RecognizedPicture) -> str:
    """Return the text of a picture; paragraphs are parted by an empty line."""
    height = max((line.straight.bottom for line in picture.lines), default=0.0)
    scale = _PAGE_HEIGHT / max(height, picture.height, 1)
    return "\n\n".join(text for block in ordered(picture.lines) if (text := _block_text(block, scale)))


def _block_text(block: TextBlock, scale: float) -> str:
    """Return the text of a block, as a table where cells stand below each other."""
    if any(len(row) > 1 for row in block.rows):
        return _placed(block.rows, scale)
    return clean("\n".join(row[0].text for row in block.rows))


def _placed(rows: Sequence[Sequence[RecognizedLine]], scale: float) -> str:
    """Return rows of which some have several lines, laid out as the text of a PDF page is."""
    words: list[Word] = []
    text = ""
    for row in rows:
        for line in row:
            text += " " if text and not text.endswith("\n") else ""
            box = line.straight
            # Text recognition draws its boxes around the ink with some air; a cell is one word: its blanks are its own.
            place = Box(box.left * scale, -box.bottom * scale, box.right * scale, -box.top * scale)
            words.append(Word(place, len(text), len(text) + len(line.text)))
            text += line.text
        text += "\n"
    page = PageText(text, words, True, _no_lines, _NO_FONTS)
    return laid_out(page, OpenTable(), clean)


def _no_lines() -> Grid:
    return grid_of(())


@dataclass(frozen=True, slots=True)
class _NoFonts(Fonts):
    """What a picture says about the fonts of its words: nothing."""

    def is_bold(self, word: Word) -> bool:  # noqa: ARG002
        return False

    def is_typewriter(self, word: Word) -> bool:  # noqa: ARG002
        return False

    def together(self, one: Word, other: Word) -> bool:  # noqa: ARG002
        return False

    def split(self, word: Word) -> list[Word]:
        return [word]


_NO_FONTS = _NoFonts(None)


def clean(text: str) -> str:
    """Return text with the words joined that a hyphen parts at the end of a line."""
    return "\n".join(line.rstrip() for line in _HYPHEN.sub("", text).split("\n")).strip()
