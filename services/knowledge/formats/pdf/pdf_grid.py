"""The lines and filled boxes on a PDF page, as the edges of table cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.knowledge.formats.pdf.pdf_page import Box

# Rules of a page that are looked at.
_MAX_EDGES = 4_000
_THICKEST = 3.0  # points; thicker ones are boxes
_SHORTEST = 4.0
# Edges closer than this are one.
_SAME = 2.5


@dataclass(frozen=True, slots=True)
class Edge:
    """A straight edge: where it lies across its direction, and from where to where it goes."""

    at: float
    start: float
    end: float


@dataclass(slots=True)
class Grid:
    """Horizontal and vertical edges."""

    across: list[Edge] = field(default_factory=list)
    down: list[Edge] = field(default_factory=list)

    def within(self, box: Box, margin: float) -> Grid:
        """Return the edges that touch a box with a margin around it."""
        low, high = box.bottom - margin, box.top + margin
        left, right = box.left - margin, box.right + margin
        return Grid(
            [edge for edge in self.across if low <= edge.at <= high and edge.end > left and edge.start < right],
            [edge for edge in self.down if left <= edge.at <= right and edge.end > low and edge.start < high],
        )

    def down_at(self, y: float) -> list[float]:
        """Return where vertical edges cross a height, from left to right."""
        return distinct(edge.at for edge in self.down if edge.start - 1 <= y <= edge.end + 1)

    def crossing(self, left: float, right: float, share: float) -> list[float]:
        """Return the heights at which horizontal edges cover at least `share` of a width, from top to bottom."""
        heights: list[float] = []
        for at in reversed(distinct(edge.at for edge in self.across)):
            near = [edge for edge in self.across if abs(edge.at - at) <= _SAME]
            if covered(near, left, right) >= share * (right - left):
                heights.append(at)
        return heights


def grid_of(boxes: Iterable[Box]) -> Grid:
    """Return the edges of lines and boxes."""
    grid = Grid()
    for box in boxes:
        if len(grid.across) + len(grid.down) > _MAX_EDGES:
            break
        if box.height < _THICKEST:
            if box.width >= _SHORTEST:
                grid.across.append(Edge((box.bottom + box.top) / 2, box.left, box.right))
        elif box.width < _THICKEST:
            if box.height >= _SHORTEST:
                grid.down.append(Edge((box.left + box.right) / 2, box.bottom, box.top))
        else:
            grid.across += [Edge(box.bottom, box.left, box.right), Edge(box.top, box.left, box.right)]
            grid.down += [Edge(box.left, box.bottom, box.top), Edge(box.right, box.bottom, box.top)]
    return grid


def distinct(places: Iterable[float]) -> list[float]:
    """Return places in order, one for those that lie together."""
    found: list[float] = []
    for place in sorted(places):
        if not found or place - found[-1] > _SAME:
            found.append(place)
    return found


def covered(edges: Sequence[Edge], left: float, right: float) -> float:
    """Return how much of the width from `left` to `right` edges cover together."""
    covered = 0.0
    at = left
    for edge in sorted(edges, key=lambda one: one.start):
        start, end = max(edge.start, at), min(edge.end, right)
        if end > start:
            covered += end - start
            at = end
    return covered
