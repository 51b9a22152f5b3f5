"""The kind of a chunk's text: prose, table, code, log, or unreadable (hex, base64, ciphers, noise of text recognition).

An embedding model learnt from prose. What its cosines say about the others is measured for each kind by itself
(`services.knowledge.retrieval.language_trust`). Told by the look of lines and words alone, in about 0.1 ms.
"""

from __future__ import annotations

import re
from enum import StrEnum

from services.knowledge.text.folding import embedding_text

# Characters of a chunk that are looked at.
_SAMPLE = 2000
_LINES = 20
# Longer lines are prose, whatever commas and brackets are in them.
_LONG_LINE = 240
# Fewer characters for each token of an embedder mean that it spells the text out: hex has 1.6, a cipher 2, English 5,
# the languages that MiniLM knows least but can read 2.5.
_LEAST_CHARACTERS = 2.2
_LEAST_TOKENS = 12
_USUAL_CHARACTERS, _MOST_CHARACTERS = 3.2, 8
# At least this share of the lines, or of the letters and digits, makes the kind.
_SHARE = 0.5
_CODE_SHARE = 0.35
_UNREADABLE_SHARE = 0.3
# Words that are set apart by blanks.
_WORD = re.compile(r"[^\s\u1000-\u109f\u0e00-\u0eff\u1780-\u17ff\u2e80-\ud7ff\uf900-\ufaff\uff00-\uffef]+")
_CELLS = re.compile(
    r"^\||\t|(?:\.{4,}|\S {3,}).*\d|;\S|\|\s|^[^,\n]*(?:,[^\s,][^,\n]*){3,}$|^(?:[^,\n]*,\s?){5,}[^,\n]*$"
)
_CODE = re.compile(
    r"[{};]\s*$|^\s*(?:def|class|import|from|return|if|for|while|else|elif|try|except|public|private|static|function"
    r"|const|let|var|int|void|func|fn|package|#include|using|namespace|struct|SELECT|INSERT|CREATE)\b.*[\w)\]:;{(\"']\s*$"
    r"|\w\(.*\)|^\s*(?://|#!|/\*|\*|@\w)|[=!<>]=|->|=>|::|\w\[\w*\]|^\s+\w[\w.]*\s*=\s*\S|</?\w+[^>]*>"
)
_CODE_SIGNS = re.compile(r"[{};=()<>\[\]]")
_LOG = re.compile(
    r"^\s*\W?(?:\d{4}-\d\d-\d\d|\d\d[/.]\w{2,3}[/.]\d{2,4}|[A-Z][a-z]{2} +\d{1,2}) ?T?[ :]?\d\d:\d\d"
    r"|^\s*\[?\d\d:\d\d:\d\d|\b(?:INFO|WARN|WARNING|ERROR|DEBUG|TRACE|FATAL)\b|(?:\w+=\S+\s+){2}"
)
_VOWELS = re.compile(r"[aeiouyà-æè-ïò-öù-ý]", re.IGNORECASE)
_LATIN = re.compile(r"[A-Za-zÀ-ɏ]+")
_DIGIT_INSIDE = re.compile(r"[^\W\d_]\d[^\W\d_]|\d[^\W\d_]+\d")
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{5}", re.IGNORECASE)
_CASE_INSIDE = re.compile(r"[a-z][A-Z]+[a-z]")


class TextKind(StrEnum):
    """What a text looks like."""

    PROSE = "prose"
    TABLE = "table"
    CODE = "code"
    LOG = "log"
    UNREADABLE = "unreadable"


def kind_of(text: str, tokens: int = 0) -> TextKind:
    """Return the kind that most of a text looks like; `tokens` is its length in the embedder's, if that is known."""
    doubtful = not tokens or not _USUAL_CHARACTERS * tokens <= len(text) <= _MOST_CHARACTERS * tokens
    text = embedding_text(text[:_SAMPLE])
    latin = sum(map(str.isascii, text)) > 0.9 * len(text)
    spelled = latin and tokens >= _LEAST_TOKENS and len(text) < _LEAST_CHARACTERS * tokens
    lines = [line for line in text.splitlines() if line and not line.isspace()]
    if not lines:
        return TextKind.PROSE
    if max(map(len, lines)) > _LONG_LINE or len(lines) == 1:
        # A long line is a paragraph, or a word that has no end.
        if lines[0].startswith("|"):
            return TextKind.TABLE
        return _readable(text, spelled, doubtful)
    counts = {TextKind.TABLE: 0, TextKind.LOG: 0, TextKind.CODE: 0}
    for line in lines[:_LINES]:
        if _LOG.search(line):
            counts[TextKind.LOG] += 1
        elif _CELLS.search(line):
            counts[TextKind.TABLE] += 1
        elif _CODE.search(line) and len(_CODE_SIGNS.findall(line)) * 25 >= len(line.strip()):
            counts[TextKind.CODE] += 1
    kind = max(counts, key=lambda one: counts[one])
    share = _CODE_SHARE if kind is TextKind.CODE else _SHARE
    return kind if counts[kind] >= share * min(len(lines), _LINES) else _readable(text, spelled, doubtful)


def _readable(text: str, spelled: bool, doubtful: bool) -> TextKind:
    unreadable = spelled or (doubtful and unreadable_share(text) >= _UNREADABLE_SHARE)
    return TextKind.UNREADABLE if unreadable else TextKind.PROSE


def unreadable_share(text: str) -> float:
    """Return the share, 0 to 1, of the characters that are in words which no language has."""
    words = _WORD.findall(text)
    total = sum(not character.isspace() for character in text)
    return sum(len(word) for word in words if _is_unreadable(word)) / total if total else 0.0


def _is_unreadable(word: str) -> bool:
    """Whether a word is hex, base64, a cipher or misread; names of programs and codes are none."""
    letters = "".join(_LATIN.findall(word))
    if len(word) < 4 or not letters:
        return False
    inside = _DIGIT_INSIDE.findall(word)
    if inside and (word[0].islower() or len(inside) > 1 or (len(word) > 15 and "/" not in word)):
        return True
    if len(letters) > 30 and 10 * len(letters) > 9 * len(word) and len(_CASE_INSIDE.findall(word)) > 3:
        return True
    vowels = len(_VOWELS.findall(letters))
    spoken = vowels * 8 >= len(letters) and _CONSONANTS.search(letters) is None
    return not spoken and len(letters) >= max(5, len(word) / 2)
