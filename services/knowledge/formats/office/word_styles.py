"""Styles and numbering of a Word document: which paragraphs are headings, and the numbers in front of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.knowledge.formats.symbols import number_text
from services.knowledge.formats.xml_names import NAMES, attribute, child, is_on, value

if TYPE_CHECKING:
    from lxml import etree  # type: ignore[import-untyped]

_HEADING = re.compile(r"(?:heading|überschrift|titre|título|标题|標題|見出し) ?(\d)", re.IGNORECASE)
_LEVELS = 9
_PLACE = re.compile(r"%(\d)")


@dataclass(slots=True)
class Style:
    """A style of paragraphs with what it says itself; the rest is its parent's."""

    identifier: str
    name: str
    parent: str
    outline: int | None
    number: str
    number_level: str


@dataclass(slots=True)
class Styles:
    """The styles of a document by their identifiers."""

    _styles: dict[str, Style] = field(default_factory=dict)
    _levels: dict[str, int] = field(default_factory=dict)
    _numbers: dict[str, tuple[str, int, str]] = field(default_factory=dict)

    def read(self, root: etree._Element | None) -> None:
        """Read the part that holds the styles."""
        for each in root if root is not None else ():
            if NAMES[each.tag] == "w:style":
                properties = child(each, "w:pPr")
                outline = value(properties, "w:outlineLvl")
                identifier = attribute(each, "styleId")
                self._styles[identifier] = Style(
                    identifier,
                    value(each, "w:name"),
                    value(each, "w:basedOn"),
                    int(outline) if outline.isdigit() else None,
                    value(properties, "w:numPr", "w:numId"),
                    value(properties, "w:numPr", "w:ilvl"),
                )

    def _chain(self, identifier: str) -> list[Style]:
        """Return a style and its parents."""
        found: list[Style] = []
        while identifier in self._styles and len(found) < 20:
            found.append(self._styles[identifier])
            identifier = found[-1].parent
        return found

    def level(self, identifier: str) -> int:
        """Return the level of a heading: 1 for a title, 2 for a heading of the first order ...; 0 for a paragraph."""
        if identifier not in self._levels:
            self._levels[identifier] = self._level(identifier)
        return self._levels[identifier]

    def _level(self, identifier: str) -> int:
        chain = self._chain(identifier) or [Style(identifier, identifier, "", None, "", "")]
        if chain[0].name.lower() == "title":
            return 1
        for style in chain:
            if style.outline is not None:
                return style.outline + 2 if style.outline < _LEVELS else 0
            named = _HEADING.fullmatch(style.name)
            if named:
                return int(named[1]) + 1
        return 0

    def is_contents(self, identifier: str) -> bool:
        """Whether paragraphs of this style are lines of a table of contents."""
        style = self._styles.get(identifier)
        return (style.name if style else identifier).lower().startswith(("toc ", "toc1", "toc2", "toc3", "table of f"))

    def numbering(self, identifier: str) -> tuple[str, int, str]:
        """Return the list and level that a style numbers its paragraphs by, and the style that says so; "" for none."""
        if identifier not in self._numbers:
            found = next((style for style in self._chain(identifier) if style.number), None)
            level = found.number_level if found else ""
            depth = int(level) if level.isdigit() else 0
            self._numbers[identifier] = (found.number, depth, found.identifier) if found else ("", 0, "")
        return self._numbers[identifier]

    def list_of_style(self, name: str) -> str:
        """Return the list of a numbering style, which definitions of lists refer to by name."""
        style = self._styles.get(name)
        return style.number if style else ""


@dataclass(slots=True)
class NumberLevel:
    """One level of a list: its first number, form ("decimal", "bullet") and pattern ("%1.%2.")."""

    start: int = 1
    form: str = "decimal"
    pattern: str = ""
    legal: bool = False
    style: str = ""


@dataclass(slots=True)
class Numbering:
    """The lists of a document with their counters; -1 has not counted yet."""

    styles: Styles
    _levels: dict[str, list[NumberLevel]] = field(default_factory=dict)
    _lists: dict[str, str] = field(default_factory=dict)
    _links: dict[str, str] = field(default_factory=dict)
    _restarts: dict[str, dict[int, int]] = field(default_factory=dict)
    _counters: dict[str, list[int]] = field(default_factory=dict)

    def read(self, root: etree._Element | None) -> None:
        """Read the part that holds the numbering."""
        for each in root if root is not None else ():
            if NAMES[each.tag] == "w:abstractNum":
                identifier = attribute(each, "abstractNumId")
                self._levels[identifier] = _number_levels(each)
                self._links[identifier] = value(each, "w:numStyleLink")
            elif NAMES[each.tag] == "w:num":
                identifier = attribute(each, "numId")
                self._lists[identifier] = value(each, "w:abstractNumId")
                self._restarts[identifier] = {
                    int(attribute(change, "ilvl", "0")): int(start)
                    for change in each
                    if NAMES[change.tag] == "w:lvlOverride" and (start := value(change, "w:startOverride")).isdigit()
                }

    def level_of_style(self, number: str, style: str, level: int) -> int:
        """Return the level of a list that is linked to a style; styles often name the list alone."""
        levels = self._levels.get(self._abstract(number), ())
        return next((at for at, each in enumerate(levels) if each.style == style), level)

    def _abstract(self, number: str) -> str:
        abstract = self._lists.get(number, "")
        link = self._links.get(abstract, "")
        return self._lists.get(self.styles.list_of_style(link), abstract) if link else abstract

    def label(self, number: str, level: int) -> str:
        """Count on and return what stands before the paragraph: "1.2", "a)", "-" for a bullet; "" for nothing."""
        abstract = self._abstract(number)
        levels = self._levels.get(abstract)
        if not levels or not 0 <= level < len(levels):
            return "-" if number not in {"", "0"} else ""
        counters = self._counters.setdefault(abstract, [-1] * len(levels))
        for at, start in self._restarts.pop(number, {}).items():
            if at < len(counters):
                counters[at:] = [-1] * (len(counters) - at)
                levels[at].start = start
        counters[level] = counters[level] + 1 if counters[level] >= 0 else levels[level].start
        counters[level + 1 :] = [-1] * (len(counters) - level - 1)
        own = levels[level]
        if own.form == "bullet":
            return "-"
        return _PLACE.sub(lambda match: _part(levels, counters, int(match[1]) - 1, legal=own.legal), own.pattern)


def _part(levels: list[NumberLevel], counters: list[int], at: int, *, legal: bool) -> str:
    if not 0 <= at < len(levels):
        return ""
    return number_text(counters[at] if counters[at] >= 0 else levels[at].start, "decimal" if legal else levels[at].form)


def _number_levels(abstract: etree._Element) -> list[NumberLevel]:
    levels: list[NumberLevel] = []
    for each in abstract:
        if NAMES[each.tag] == "w:lvl" and len(levels) < _LEVELS:
            start = value(each, "w:start")
            levels.append(
                NumberLevel(
                    int(start) if start.isdigit() else 1,
                    value(each, "w:numFmt") or "decimal",
                    value(each, "w:lvlText"),
                    is_on(each, "w:isLgl"),
                    value(each, "w:pStyle"),
                )
            )
    return levels
