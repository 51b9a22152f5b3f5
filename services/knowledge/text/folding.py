"""Folding of texts for search: what differs only in width, case, accents or style of script becomes the same.

Two foldings: `fold` for lexical terms, and `embedding_text` for what the embedder reads, which keeps case, accents and
style, because a model knows them, and undoes only what it may not know. What people see is never folded.

Pure Python with few imports: the parser's child process uses it, too.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path

# Joins the parts of a code within a term ("5.4.5", "ISO 9001:2015"); a letter, so that it is no border of terms.
SEPARATOR = "\u02d0"
# What may stand inside a word, a number or a code, by what it is folded to.
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
    "/": "/",
    ":": ":",
    "_": "_",
    SEPARATOR: " ",
    # Marks set by `services.knowledge.text.codes`.
    "\ue000": "~",
    "\ue001": "_",
}
# Letters that Unicode does not take apart, by what is typed in their place; Arabic letters typed either way.
_LETTERS = {
    "\u0131": "i",  # Turkish i without a dot
    "ł": "l",
    "ø": "o",
    "đ": "d",
    "ð": "d",
    "ħ": "h",
    "ŧ": "t",
    "æ": "ae",
    "œ": "oe",
    "þ": "th",
    "\u0640": None,  # Arabic tatweel
    "\u0649": "\u064a",  # alef maqsura
    "\u0629": "\u0647",  # teh marbuta
    "\u06a9": "\u0643",  # Persian kaf
    "\u06cc": "\u064a",  # Persian yeh
    "\u0671": "\u0627",  # alef wasla
    "\u06c1": "\u0647",  # Urdu heh
    "\u06d5": "\u0647",  # what heh with hamza is taken apart to
    "\u0901": "\u0902",  # candrabindu, for which anusvara is often written
    "\u093c": None,  # nukta, which Hindi often leaves out
}
# Letters of their own, though Unicode takes them apart into one and a mark: and й is no accented и. Their bare forms
# are other letters, which nobody writes for them.
_WHOLE_LETTERS = frozenset("йўїѓќ")
# Marks of these names are accents, points and stress; in other scripts marks of the same classes are vowels and tones.
_ACCENTS = ("COMBINING", "ARABIC", "HEBREW", "SYRIAC", "SAMARITAN", "CYRILLIC", "DEVANAGARI", "VEDIC", "ETHIOPIC")
# What chooses a shape or fills a place, and is no part of a word.
_IGNORED = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
_HAN_VARIANTS = Path(__file__).with_name("han_variants.txt")
# Letters and digits in a form of another width or shape; not punctuation, whose width belongs to Chinese text.
_FORMS = re.compile(
    "[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a"  # full-width
    "\uff66-\uffdc"  # half-width kana and Hangul
    "\ufb00-\ufb4f\ufb50-\ufdfb\ufe70-\ufefc"  # ligatures, presentation forms
    "\U0001d400-\U0001d7ff"  # mathematical alphabets
    "\u2460-\u249b\u24b6-\u24e9"  # enclosed
    "\uf900-\ufaff\u2f00-\u2fdf]+"  # compatibility ideographs, radicals
)


class _Folding(dict[int, str | None]):
    """Translation table for folding composed characters, by Unicode properties; filled as characters are seen."""

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        if character in _WHOLE_LETTERS:
            folded: str | None = character
        else:
            parts = [_folded(part) for part in unicodedata.normalize("NFKD", character)]
            folded = "".join(part for part in parts if part is not None)
            if not folded and None in parts:
                folded = None
        self[code] = folded
        return folded


class _Spelling(dict[int, str | None]):
    """Translation table that keeps letters with their marks, and blanks out the rest; filled as characters are seen.

    A digit becomes 0 and a full stop stays, so that codes and names of programs can be told from words.
    """

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        kept: str | None = " "
        kind = unicodedata.category(character)
        if kind[0] == "N" or character == "_":
            kept = "0"
        elif character == ".":
            kept = "."
        elif kind == "Cf" or character == "\u0640" or _IGNORED.match(character):
            kept = None
        elif kind[0] in "LM":
            kept = character
        self[code] = kept
        return kept


def _folded(character: str) -> str | None:
    """Return what a character that cannot be taken apart becomes; None: it is left out."""
    if character in _JOINERS:
        return _JOINERS[character]
    if character in _LETTERS:
        return _LETTERS[character]
    kind = unicodedata.category(character)
    if kind == "Cf" or _IGNORED.match(character) or (kind in {"Mn", "Me"} and _is_accent(character)):
        return None  # soft hyphens, joiners, marks of direction; accents
    if kind == "Nd":
        return str(unicodedata.decimal(character))  # the digits of Arabic, Devanagari and others
    if kind[0] in "LMN":
        return _simplified(character) if character >= "\u3400" else character
    return " "


def _is_accent(mark: str) -> bool:
    """Return whether a mark is optional (accents, Hebrew points, Arabic vowels), not part of the letter.

    By canonical combining class (https://www.unicode.org/reports/tr44/#Canonical_Combining_Class_Values): 1 to 9 are
    nuktas, voicing marks and viramas, 84 to 132 dependent vowels and tones, 0 spells vowels of Indic scripts. Classes
    from 200 on only say where a mark stands: in Tai Viet it is a vowel.
    """
    order = unicodedata.combining(mark)
    return 10 <= order <= 36 or (order >= 200 and unicodedata.name(mark, "").startswith(_ACCENTS))


@cache
def _variants() -> tuple[str, str]:
    """Return the characters of other styles, and at the same places the simplified ones: about 26 KB."""
    lines = _HAN_VARIANTS.read_text(encoding="utf-8").splitlines()
    pairs = "".join(line for line in lines if not line.startswith("#"))
    return pairs[::2], pairs[1::2]


def _simplified(character: str) -> str:
    """Return the simplified Chinese form of a character."""
    others, simplified = _variants()
    at = others.find(character)
    return character if at < 0 else simplified[at]


_FOLDING = _Folding()
_SPELLING = _Spelling()


def fold(text: str) -> str:
    """Return `text` with width, case, accents and style folded, and blanks for what is not part of a term."""
    if text.isascii():
        return text.lower().translate(_FOLDING)
    bare = unicodedata.normalize("NFKC", text).casefold().translate(_FOLDING)
    return unicodedata.normalize("NFC", bare)


def spelled_words(text: str) -> list[str]:
    """Return the words of a text as they are written, with case and accents, in one width.

    Left out is what has digits, underscores or a full stop within: codes, versions, names of programs.
    """
    spelled = (text if text.isascii() else unicodedata.normalize("NFKC", text)).translate(_SPELLING)
    words = (word.strip(".") for word in spelled.split())
    return [word for word in words if word and "0" not in word and "." not in word]


def embedding_text(text: str) -> str:
    """Return `text` with letters and digits in the form that an embedder was trained on: "ＢＯＩＬＥＲ" as "BOILER"."""
    if text.isascii() or _FORMS.search(text) is None:
        return text
    return _FORMS.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
