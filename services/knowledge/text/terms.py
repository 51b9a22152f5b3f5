"""Segmentation of text into the terms of lexical search.

One rule for all languages. Text is folded (compatibility forms, case, accents) and cut into runs of letters, digits and
marks. A run in a script that is written without spaces becomes overlapping pairs of characters; anything else is a
word. Nothing here depends on a language, apart from the plural endings of words in Latin letters, see `_stem`.

Pure Python with few imports: the parser's child process uses it, too.
"""

from __future__ import annotations

import re
import unicodedata

# Scripts whose words are not set apart by spaces: those of line breaking classes ID, CJ and SA
# (https://www.unicode.org/reports/tr14/), and Hangul, whose particles are glued to the word before them.
_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u1950-\u19df\u1a20-\u1aaf\uaa80-\uaadf"  # Tai Le, New Tai Lue, Tai Tham, Tai Viet
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # kana and iteration marks
    "\u3100-\u312f\u31a0-\u31bf"  # Bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\ua000-\ua48f"  # Yi
    "\uac00-\ud7a3"  # Hangul
)
# A run of one kind, or words and numbers joined by one of the characters that may stand inside them.
_RUN = re.compile(
    rf"(?P<unspaced>[{_UNSPACED}]+)"
    rf"|(?P<joined>[^\s{_UNSPACED}'.,\-]+(?:['.,\-][^\s{_UNSPACED}'.,\-]+)+)"
    rf"|(?P<word>[^\s{_UNSPACED}'.,\-]+)"
)
_INNER = re.compile(r"['.,\-]")
_DIGIT = re.compile(r"\d")
_JOINERS = {
    "'": "'",
    "\u2019": "'",
    "\u02bc": "'",
    ".": ".",
    ",": ",",
    "-": "-",
    "\u2010": "-",
    "\u2011": "-",
    "\u2013": "-",
}
_SIBILANT_PLURALS = ("ches", "shes", "sses", "xes", "zes")
# Longer "words" are encoded data; a prefix is enough to find them.
_MAX_WORD = 64


class _Folding(dict[int, str | None]):
    """Translation table for folding, by Unicode properties; filled as characters are seen."""

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        folded: str | None = " "
        if character in _JOINERS:
            folded = _JOINERS[character]
        elif (kind := unicodedata.category(character)) in {"Mn", "Me"} and _is_accent(character):
            folded = None
        elif kind[0] in "LMN":
            folded = character
        elif kind == "Cf":
            folded = None  # soft hyphens, joiners, marks of direction
        self[code] = folded
        return folded


def _is_accent(mark: str) -> bool:
    """Return whether a mark is optional (accents, Hebrew points, Arabic vowels), not part of the letter.

    By canonical combining class (https://www.unicode.org/reports/tr44/#Canonical_Combining_Class_Values): 1 to 9 are
    nuktas, voicing marks and viramas, 84 to 132 dependent vowels and tones, 0 spells vowels of Indic scripts.
    """
    order = unicodedata.combining(mark)
    return 10 <= order <= 36 or order >= 200


_FOLDING = _Folding()


def fold(text: str) -> str:
    """Return `text` with width, case and accents folded, and blanks for everything that is not part of a term."""
    if text.isascii():
        return text.lower().translate(_FOLDING)
    bare = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold()).translate(_FOLDING)
    return unicodedata.normalize("NFC", bare)


def terms(text: str) -> list[str]:
    """Return the terms of a text to index, in order, with repetitions.

    Each consists of letters, digits and marks. A run of an unspaced script gives each character together with the
    next one and the last one by itself, so that every character begins a term: a search for one character is a search
    for a prefix. "3.5" and "A-12" give their parts and the whole in one piece.
    """
    found: list[str] = []
    for match in _RUN.finditer(fold(text)):
        run = match[0]
        if match.lastgroup == "word":
            found.append(_stem(run))
        elif match.lastgroup == "unspaced":
            found.extend(run[at : at + 2] for at in range(len(run)))
        else:
            parts, whole = _joined(run)
            found.extend(parts)
            if whole:
                found.append(whole)
    return found


def query_terms(text: str) -> list[str]:
    """Return the distinct terms to search for, in order: as `terms`, but a character only where it stands alone."""
    return list(dict.fromkeys(term for term, _place in located_terms(text)))


def located_terms(text: str) -> list[tuple[str, range]]:
    """Return a query's terms in order, each with the places that it covers.

    A place is a word or, in a script without spaces, a character; neighbouring pairs of characters share one.
    """
    located: list[tuple[str, range]] = []
    place = 0
    for match in _RUN.finditer(fold(text)):
        run = match[0]
        if match.lastgroup == "word":
            found = [(_stem(run), range(place, place + 1))]
        elif match.lastgroup == "unspaced":
            pairs = range(len(run) - 1)
            found = [(run[at : at + 2], range(place + at, place + at + 2)) for at in pairs] or [
                (run, range(place, place + 1))
            ]
        else:
            parts, whole = _joined(run)
            found = [(part, range(place + at, place + at + 1)) for at, part in enumerate(parts)]
            if whole:
                found.append((whole, range(place, place + len(parts))))
        located.extend(found)
        place = located[-1][1].stop
    return located


def is_unspaced(term: str) -> bool:
    """Return whether a term is written in a script without spaces."""
    return _RUN_OF_UNSPACED.match(term) is not None


_RUN_OF_UNSPACED = re.compile(f"[{_UNSPACED}]")


def _joined(run: str) -> tuple[list[str], str]:
    """Return the parts of "A-12", and the whole "a12" if it may be written like that."""
    parts = _INNER.split(run)
    if parts[-1] == "s" and run[-2] == "'":
        parts.pop()  # the English genitive
    # "A-12" is also written A12, "1,200" also 1200, "U.S." also US.
    in_one = len(parts) > 1 and (_DIGIT.search(run) is not None or all(len(part) == 1 for part in parts))
    return [_stem(part) for part in parts], "".join(parts)[:_MAX_WORD] if in_one else ""


def _stem(word: str) -> str:
    """Return `word` without a plural ending, cut to the longest length.

    Plurals are all that is stripped: more (-ed, -ing) found fewer right paragraphs of XQuAD, not more.
    """
    if 3 < len(word) <= _MAX_WORD and word[-1] == "s" and word.isascii():
        if word.endswith("ies"):
            return f"{word[:-3]}y"
        if word.endswith(_SIBILANT_PLURALS):
            return word[:-2]
        if not word.endswith(("ss", "us", "is")):
            return word[:-1]
    return word[:_MAX_WORD]
