"""The parts of a number format code, as ECMA-376 part 1, 18.8.31 has them."""

from __future__ import annotations

import re
from typing import NamedTuple

ELAPSED = "elapsed"
AM_PM = "noon"
TOKEN = re.compile(
    r"""(?P<literal>"[^"]*"?|\\.|!.)
      | (?P<skip>_.|\*.)
      | (?P<elapsed>\[(?:h+|m+|s+)\])
      | \[\$(?P<currency>[^\]-]*)(?:-(?P<locale>[0-9A-Fa-f]+))?[^\]]*\]
      | \[(?P<condition>[<>=]+)\s*(?P<operand>[-+]?[\d.]+(?:[Ee][-+]?\d+)?)\]
      | (?P<bracket>\[[^\]]*\])
      | (?P<general>General|Standard|G/通用格式|标准)
      | (?P<noon>AM/PM|A/P|上午/下午)
      | (?P<exponent>[Ee][+-])
      | (?P<digit>[0#?])
      | (?P<date>y+|m+|d+|h+|s+|a{3,4}|e+|g+|b+)
      | (?P<mark>[.,%/@])
      | (?P<other>.)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


class Token(NamedTuple):
    """A part of a format code: its kind (a group of `TOKEN`) and its text."""

    kind: str
    text: str

    def is_mark(self, mark: str) -> bool:
        """Whether it is this mark of the format, not the same character in quotes."""
        return self.kind == "mark" and self.text == mark


def token_of(kind: str, text: str) -> Token:
    """Return the part of a format for a match of `TOKEN`: what is in quotes without them."""
    match kind:
        case "literal":
            return Token(kind, text.strip('"') if text[0] == '"' else text[1:])
        case "other":
            return Token("literal", text)
        case "skip":
            return Token("literal", " ")
        case "elapsed":
            return Token(ELAPSED, text[1:-1].lower())
        case "date":
            return Token(kind, text.lower())
        case _:
            return Token(kind, text)
