"""Source code and configuration files: a section for each class, function, table or the like, the text as it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from services.knowledge.formats.plain.code_languages import Language, language_of
from services.knowledge.formats.reading import Reading, text_of
from services.knowledge.formats.text import plain_sections, split_text
from services.knowledge.types import Section

# Longer lines are data or were made by a program; no unit begins on one.
_LONGEST_LINE = 250
_LONGEST_NAME = 100
_DEEPEST = 6
# What belongs to the unit below it: comments, decorators, attributes.
_ABOVE = re.compile(
    r"\s*(?:#(?!\s*(?:include|define|if|endif|else|pragma)\b)|//|/\*|\*|@|--|;|'|\[\w|<!--|\"\"\"|%%?|rem\b)",
    re.IGNORECASE,
)
# What goes on with a unit although it stands at the left: brackets, labels, directives, continued statements.
_GOES_ON = re.compile(
    r"[\s})\]{(#,|&.+]|(?:end|else|elif|elsif|except|finally|catch|rescue|ensure|where|then|fi|done|esac)\b|\w+:\s*$"
)


@dataclass(slots=True)
class _Units:
    """The section that is collected, and the units that contain it: how far right each begins, and its name."""

    lines: list[str] = field(default_factory=list)
    path: list[tuple[int, str]] = field(default_factory=list)
    own: int = 0  # lines up to and with the one on which the unit begins

    def close(self, *, above: bool = False) -> Iterator[Section]:
        """Yield the section so far; with `above` without the comments and decorators at its end."""
        at = len(self.lines)
        while above and at > self.own and _ABOVE.match(self.lines[at - 1]):
            at -= 1
        body, self.lines, self.own = self.lines[:at], self.lines[at:], 0
        heading = tuple(name for _indent, name in self.path[:_DEEPEST])
        for part in split_text("\n".join(body)):
            yield Section(part, heading=heading)

    def leave(self, indent: int) -> None:
        """Leave the units that begin at `indent` or further right."""
        self.path = [(at, name) for at, name in self.path if at < indent]


def read_code(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of a file in a programming language."""
    text = text_of(stream, reading)
    language = language_of(reading.name, text[:200].partition("\n")[0])
    return plain_sections(text) if language is None else code_sections(text, language)


def code_sections(text: str, language: Language) -> Iterator[Section]:
    """Yield a section per unit; joined, they are the text."""
    units = _Units()
    for line in text.split("\n"):
        name = language.begins_unit(line)[:_LONGEST_NAME] if len(line) <= _LONGEST_LINE else ""
        indent = _indent(line)
        if name:
            yield from units.close(above=True)
            units.leave(indent)
            units.path.append((indent, name))
            units.own = len(units.lines) + 1
        elif language.nested and units.path and indent <= units.path[-1][0] and _ends_unit(line.strip()):
            yield from units.close(above=True)
            units.leave(indent)
        units.lines.append(line)
    yield from units.close()


def _ends_unit(line: str) -> bool:
    """Whether a line that stands as far left as a unit's first one is no part of it."""
    return bool(line) and not _GOES_ON.match(line) and not line.endswith(("\\", ","))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip()) + 3 * line[: len(line) - len(line.lstrip())].count("\t")
