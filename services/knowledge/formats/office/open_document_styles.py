"""Styles of an OpenDocument file: which paragraphs are titles, what is raised or hidden, and how lists count."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.knowledge.formats.symbols import number_text
from services.knowledge.formats.xml_names import NAMES, attribute

if TYPE_CHECKING:
    from lxml import etree  # type: ignore[import-untyped]

_MOST_LEVELS = 10


@dataclass(slots=True)
class ListLevel:
    """A level of a list: its form ("1", "a", "" for a bullet), what stands around, how many levels it shows."""

    form: str
    prefix: str
    suffix: str
    shown: int
    start: int

    @property
    def is_bullet(self) -> bool:
        """Whether a mark stands before the items, not a number."""
        return not self.form


@dataclass(slots=True)
class OpenDocumentStyles:
    """What is needed of the styles, by their names."""

    parents: dict[str, str] = field(default_factory=dict)
    raised: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    lists: dict[str, dict[int, ListLevel]] = field(default_factory=dict)
    outline: dict[int, ListLevel] = field(default_factory=dict)
    _hidden_pages: set[str] = field(default_factory=set)

    def read(self, root: etree._Element) -> None:
        """Read the styles of a part."""
        for group in root:
            if NAMES[group.tag] in {"office:styles", "office:automatic-styles"}:
                for each in group:
                    self._read_style(each, NAMES[each.tag], attribute(each, "name"))

    def _read_style(self, style: etree._Element, kind: str, name: str) -> None:
        if kind == "text:list-style":
            self.lists[name] = _levels(style)
        elif kind == "text:outline-style":
            self.outline = {at: level for at, level in _levels(style).items() if level.form}
        elif kind == "style:style":
            self.parents[name] = attribute(style, "display-name") or attribute(style, "parent-style-name")
            for properties in style:
                position = attribute(properties, "text-position")
                if position.startswith("super") or position[:1] in set("123456789"):
                    self.raised.add(name)
                if attribute(properties, "display") == "none":
                    self.hidden.add(name)
                if attribute(properties, "visibility") == "hidden":
                    self._hidden_pages.add(name)

    def is_title(self, name: str) -> bool:
        """Whether paragraphs of this style are the document's title."""
        for _step in range(_MOST_LEVELS):
            if name == "Title":
                return True
            name = self.parents.get(name, "")
        return False

    def hides_page(self, name: str) -> bool:
        """Whether slides of this style are left out of a show."""
        return name in self._hidden_pages


def _levels(style: etree._Element) -> dict[int, ListLevel]:
    found: dict[int, ListLevel] = {}
    for each in style:
        level = attribute(each, "level")
        if level.isdigit() and int(level) <= _MOST_LEVELS:
            is_number = NAMES[each.tag] in {"text:list-level-style-number", "text:outline-level-style"}
            shown, start = attribute(each, "display-levels", "1"), attribute(each, "start-value", "1")
            found[int(level)] = ListLevel(
                attribute(each, "num-format") if is_number else "",
                attribute(each, "num-prefix"),
                attribute(each, "num-suffix"),
                int(shown) if shown.isdigit() else 1,
                int(start) if start.isdigit() else 1,
            )
    return found


@dataclass(slots=True)
class ListCounter:
    """Counts the items of a list, level by level."""

    levels: dict[int, ListLevel]
    counts: dict[int, int] = field(default_factory=dict)

    def label(self, level: int, start: str = "") -> str:
        """Count on and return what stands before an item."""
        own = self.levels.get(level)
        if own is None or own.is_bullet:
            return "-" if own is not None or not self.levels else ""
        self.counts[level] = int(start) if start.isdigit() else self.counts.get(level, own.start - 1) + 1
        for deeper in [at for at in self.counts if at > level]:
            del self.counts[deeper]
        parts = []
        for at in range(max(1, level - own.shown + 1), level + 1):
            above = self.levels.get(at)
            if above is not None and above.form:
                parts.append(number_text(self.counts.get(at, above.start), above.form))
        return f"{own.prefix}{'.'.join(parts)}{own.suffix}".strip()
