"""What drawings of Office documents say: charts, diagrams (SmartArt), and the text of shapes and their tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from services.knowledge.formats.blocks import Block, TableGrid
from services.knowledge.formats.equations import equation_text
from services.knowledge.formats.open_package import Package
from services.knowledge.formats.symbols import raised
from services.knowledge.formats.xml_names import NAMES, attribute, child
from services.knowledge.notes import NoteCollector, NoteKind

if TYPE_CHECKING:
    from lxml import etree  # type: ignore[import-untyped]

_MOST_POINTS = 5000
# What programs add to descriptions that they made up.
_MADE_UP = ("description automatically generated", "generated with")


def chart_blocks(root: etree._Element | None) -> Iterator[Block]:
    """Yield a chart's titles, and its values as a table by category."""
    if root is None:
        return
    titles = [text for each in root.iter() if NAMES[each.tag] in {"c:title", "cx:title"} if (text := all_text(each))]
    yield from (Block(title) for title in dict.fromkeys(titles))
    series = [each for each in root.iter() if NAMES[each.tag] == "c:ser"]
    columns: list[tuple[str, dict[int, str]]] = []
    categories: dict[int, str] = {}
    for each in series:
        categories = categories or _points(child(each, "c:cat")) or _points(child(each, "c:xVal"))
        name = " ".join(_points(child(each, "c:tx")).values()) or all_text(child(each, "c:tx"))
        columns.append((name, _points(child(each, "c:val")) or _points(child(each, "c:yVal"))))
    grid = TableGrid()
    if any(name for name, _values in columns):
        grid.add_row([("", 1, 1), *((name, 1, 1) for name, _values in columns)], header=True)
    for at in sorted({at for _name, values in columns for at in values} | set(categories)):
        grid.add_row([(categories.get(at, ""), 1, 1), *((values.get(at, ""), 1, 1) for _name, values in columns)])
    yield from grid.blocks()


def _points(element: etree._Element | None) -> dict[int, str]:
    """Return the stored values of a series or of its categories by their place."""
    found: dict[int, str] = {}
    for point in element.iter() if element is not None else ():
        if NAMES[point.tag] == "c:pt" and len(found) < _MOST_POINTS:
            number = attribute(point, "idx")
            text = " ".join(part.text or "" for part in point if NAMES[part.tag] == "c:v")
            # Categories of several levels share a place.
            at = int(number) if number.isdigit() else len(found)
            found[at] = f"{text} {found[at]}" if at in found else text
    return found


def diagram_blocks(root: etree._Element | None) -> Iterator[Block]:
    """Yield the texts of a diagram's data."""
    for each in root.iter() if root is not None else ():
        if NAMES[each.tag] == "dgm:t" and (text := "\n".join(paragraphs(each)).strip()):
            yield from (Block(f"- {line}", item=True) for line in text.splitlines() if line.strip())


def graphic_blocks(data: etree._Element, package: Package, part: str, notes: NoteCollector) -> Iterator[Block]:
    """Yield the text of a chart or diagram that `part` shows; what is neither is noted."""
    relations = package.relations(part)
    for each in data.iter():
        name = NAMES[each.tag]
        if name not in {"c:chart", "cx:chart", "dgm:relIds"}:
            continue
        identifier = attribute(each, "dm") if name == "dgm:relIds" else attribute(each, "id")
        relation = relations.get(identifier)
        root = package.root(relation.target) if relation is not None else None
        found = list(diagram_blocks(root) if name == "dgm:relIds" else chart_blocks(root))
        if not found:
            notes.add(NoteKind.PICTURES)
        yield from found


def paragraphs(element: etree._Element, notes: NoteCollector | None = None) -> Iterator[str]:
    """Yield the paragraphs of a text body of DrawingML."""
    for each in element:
        if NAMES[each.tag] == "a:p":
            text = "".join(_runs(each, notes)).strip()
            if text:
                yield text


def _runs(paragraph: etree._Element, notes: NoteCollector | None) -> Iterator[str]:
    for each in paragraph.iter():
        name = NAMES[each.tag]
        if name == "a:t":
            if not _within(each, "mc:Fallback"):
                properties = child(each.getparent(), "a:rPr")
                is_raised = properties is not None and attribute(properties, "baseline", "0")[0] in "123456789"
                yield raised(each.text or "") if is_raised else each.text or ""
        elif name == "a:br":
            yield "\n"
        elif name == "m:oMath":
            if notes is not None:
                notes.add(NoteKind.EQUATIONS)
            yield equation_text(each)


def _within(element: etree._Element, name: str) -> bool:
    return any(NAMES[above.tag] == name for above in element.iterancestors())


def drawn_table(table: etree._Element, notes: NoteCollector) -> Iterator[Block]:
    """Yield a table of DrawingML."""
    grid = TableGrid()
    first = child(table, "a:tblPr")
    has_header = first is not None and attribute(first, "firstRow") in {"1", "true"}
    for row in table:
        if NAMES[row.tag] == "a:tr":
            cells = [each for each in row if NAMES[each.tag] == "a:tc"]
            grid.add_row(
                (
                    (_cell_text(cell, notes), _count(cell, "gridSpan"), _count(cell, "rowSpan"))
                    for cell in cells
                    if not _is_covered(cell)
                ),
                header=has_header and not grid.rows,
            )
    yield from grid.blocks()


def _is_covered(cell: etree._Element) -> bool:
    return attribute(cell, "hMerge") in {"1", "true"} or attribute(cell, "vMerge") in {"1", "true"}


def _count(cell: etree._Element, name: str) -> int:
    text = attribute(cell, name)
    return int(text) if text.isdigit() else 1


def _cell_text(cell: etree._Element, notes: NoteCollector) -> str:
    body = child(cell, "a:txBody")
    return "\n".join(paragraphs(body, notes)) if body is not None else ""


def all_text(element: etree._Element | None) -> str:
    """Return all text within an element of a drawing as one line."""
    if element is None:
        return ""
    return " ".join("".join(each.text or "" for each in element.iter() if NAMES[each.tag] in {"a:t", "c:v"}).split())


def description(element: etree._Element) -> str:
    """Return what a picture's author wrote about it (`descr`, else `title`), not what a program made up."""
    text = " ".join((attribute(element, "descr") or attribute(element, "alt") or attribute(element, "title")).split())
    return "" if any(mark in text.lower() for mark in _MADE_UP) else text
