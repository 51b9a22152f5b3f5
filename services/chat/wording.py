"""Small operations on text that is not ours: questions, passages, what a model wrote."""

from __future__ import annotations

import re
import unicodedata

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+|(?<=[。！？；])[”’」』）]*|\n+")
_WORD = re.compile(r"\w+")


def storable(text: str) -> str:
    """Return `text` without what no database takes: NUL and lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def is_blank(text: str) -> bool:
    """Return whether a person would see nothing: only white space, control and format characters."""
    return all(c.isspace() or unicodedata.category(c) in {"Cc", "Cf", "Cs", "Cn"} for c in text)


def sentences(text: str) -> list[str]:
    """Split `text` after sentence ends and line ends; every piece is a substring of it."""
    pieces: list[str] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        pieces.append(text[start : match.end()].strip())
        start = match.end()
    pieces.append(text[start:].strip())
    return [piece for piece in pieces if piece]


def features(text: str) -> set[str]:
    """Return the words of `text` in lower case; of scripts written without spaces, the pairs of characters."""
    found: set[str] = set()
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        if any(is_unspaced(c) for c in word):
            found.update(word[i : i + 2] for i in range(max(1, len(word) - 1)))
        else:
            found.add(word)
    return found


def is_unspaced(character: str) -> bool:
    """Return whether `character` belongs to a script that puts no spaces between words."""
    name = unicodedata.name(character, "") if character > "\u0e00" else ""
    return name.startswith(("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR"))
