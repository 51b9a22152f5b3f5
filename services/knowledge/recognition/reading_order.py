"""In which order the lines of a picture are read: columns one after another, rows from left to right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from services.knowledge.recognition.recognized import RecognizedLine, WordBox

# Lines that share so much of the height of the lower one stand beside each other.
_SAME_ROW = 0.5
# A gutter between columns is at least so wide, in heights of a line, and each of the columns has so many lines.
_LEAST_GUTTER = 0.6
_LEAST_LINES = 3
# At most this share of the lines runs over a gutter: headings, pictures' captions.
_MOST_ACROSS = 0.34
# Columns are running text: of a table's cells most are shorter than this share of their column, or are not many lines
# at their own heights.
_LEAST_FILLED = 0.6
# A gap of so many usual steps from line to line ends a paragraph.
_PARAGRAPH_GAP = 1.5


@dataclass(slots=True)
class TextBlock:
    """Lines that belong together, row by row; a row has several where they stand beside each other."""

    rows: list[list[RecognizedLine]] = field(default_factory=list)


def ordered(lines: Sequence[RecognizedLine]) -> list[TextBlock]:
    """Return lines in reading order, as blocks from column to column."""
    return list(_blocks(list(lines)))


def _blocks(lines: list[RecognizedLine]) -> Iterable[TextBlock]:
    gutter = _gutter(lines)
    if gutter is None:
        yield from _paragraphs(rows_of(lines))
        return
    left, right = gutter
    # What runs over the gutter parts the page: above it are columns, and below.
    across = sorted((line for line in lines if _runs_over(line, left, right)), key=lambda line: line.straight.top)
    rest = [line for line in lines if not _runs_over(line, left, right)]
    for each in [*across, None]:
        above = [line for line in rest if each is None or _middle(line.straight) < _middle(each.straight)]
        rest = [line for line in rest if line not in above]
        yield from _blocks([line for line in above if line.straight.right <= right])
        yield from _blocks([line for line in above if line.straight.right > right])
        if each is not None:
            yield TextBlock([[each]])


def _middle(box: WordBox) -> float:
    return (box.top + box.bottom) / 2


def _runs_over(line: RecognizedLine, left: float, right: float) -> bool:
    return line.straight.left < left and line.straight.right > right


def _gutter(lines: Sequence[RecognizedLine]) -> tuple[float, float] | None:
    """Return the (left, right) of the space between two columns, None where there is none."""
    if len(lines) < 2 * _LEAST_LINES:
        return None
    height = median(line.straight.height for line in lines)
    best: tuple[float, float] | None = None
    fewest = _MOST_ACROSS * len(lines)
    # A gutter begins where lines end: of all such places the one that the fewest lines run over, then the widest.
    for left in sorted({line.straight.right for line in lines}):
        beyond = [line.straight.left for line in lines if line.straight.left >= left]
        if len(beyond) < _LEAST_LINES:
            break
        right = min(beyond)
        if right - left < _LEAST_GUTTER * height:
            continue
        across = sum(line.straight.left < left and line.straight.right > left for line in lines)
        wider = best is None or right - left > best[1] - best[0]
        if (across < fewest or (across == fewest and wider)) and _are_columns(lines, left, right):
            best, fewest = (left, right), across
    return best


def _are_columns(lines: Sequence[RecognizedLine], left: float, right: float) -> bool:
    """Whether what stands left and right of a gap are columns of running text, and no cells of a table."""
    for column in (
        [line.straight for line in lines if line.straight.right <= left],
        [line.straight for line in lines if line.straight.left >= right],
    ):
        if len(column) < _LEAST_LINES:
            return False
        width = max(box.right for box in column) - min(box.left for box in column)
        if sum(box.width >= _LEAST_FILLED * width for box in column) < _LEAST_FILLED * len(column):
            return False
        # Words of one width below each other fill their column, too; running text is longer.
        if width < 6 * median(box.height for box in column):
            return False
    return True


def rows_of(lines: Iterable[RecognizedLine]) -> list[list[RecognizedLine]]:
    """Return lines row by row from the top, those that stand beside each other from left to right."""
    rows: list[list[RecognizedLine]] = []
    for line in sorted(lines, key=lambda line: _middle(line.straight)):
        if rows and _beside(rows[-1][-1].straight, line.straight):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line.straight.left) for row in rows]


def _beside(one: WordBox, other: WordBox) -> bool:
    shared = min(one.bottom, other.bottom) - max(one.top, other.top)
    return shared > _SAME_ROW * min(one.height, other.height)


def _paragraphs(rows: Sequence[list[RecognizedLine]]) -> Iterable[TextBlock]:
    """Yield rows as blocks, parted where the space between them is wide."""
    if not rows:
        return
    tops = [min(line.straight.top for line in row) for row in rows]
    steps = [after - before for before, after in pairwise(tops)]
    usual = median(steps) if steps else 0.0
    block = TextBlock([rows[0]])
    for row, step in zip(rows[1:], steps, strict=True):
        if step > _PARAGRAPH_GAP * usual:
            yield block
            block = TextBlock()
        block.rows.append(row)
    yield block
