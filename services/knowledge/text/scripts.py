"""The scripts in which a text is written, as Unicode names them: "LATIN", "CJK", "HANGUL"."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache

from services.knowledge.text.folding import fold

_ENTRY_BYTES = 230
# Scripts that are written without blanks between words.
UNSPACED = frozenset({"CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR"})
# What a letter counts as part of a word, beside those of alphabets.
_WORDS_A_LETTER = {"CJK": 8.0, "HIRAGANA": 8.0, "KATAKANA": 8.0, "HANGUL": 4.0}
_CHINESE_LETTERS = re.compile(r"[\u4e00-\u9fff]+")
_ASCII_LETTERS = re.compile(r"[A-Za-z]+")
# Japanese is written in three scripts, one of which is that of Chinese.
_HAN = frozenset({"CJK", "HIRAGANA", "KATAKANA"})


@lru_cache(maxsize=50_000)
def script_of(letter: str) -> str:
    """Return the script of a letter, as its Unicode name begins ("LATIN", "CJK", "HANGUL"), or "" if it is none."""
    return unicodedata.name(letter, "").split(" ")[0] if letter.isalpha() else ""


def script_cache_size() -> tuple[int, int]:
    """Return how many letters' scripts are cached, and in about how many bytes."""
    letters = script_of.cache_info().currsize
    # Per entry: link, slot in the table, letter, name of the script.
    return letters, letters * _ENTRY_BYTES


def clear_script_cache() -> None:
    """Clear the cached scripts of letters."""
    script_of.cache_clear()


def script_shares(text: str) -> dict[str, float]:
    """Return the share of each script among the letters of `text`; empty if there are none."""
    counts: Counter[str] = Counter()
    for letter, count in Counter(fold(text)).items():
        if script := script_of(letter):
            counts[script] += count
    return {script: count / counts.total() for script, count in counts.most_common()}


def main_script(text: str) -> str:
    """Return the script of most words of `text`, "" if there are none: one foreign name has as many letters as a whole
    question in Chinese.
    """
    if text.isascii():  # most chunks of English libraries: every search asks for a hundred
        return "LATIN" if any(map(str.isalpha, text)) else ""
    # Letters that no others can outweigh decide without a look at each.
    chinese = sum(map(len, _CHINESE_LETTERS.findall(text)))
    if 2 * chinese > len(text):
        return "CJK"
    latin = sum(map(len, _ASCII_LETTERS.findall(text)))
    if latin > _WORDS_A_LETTER["CJK"] * (len(text) - len(text.encode("ascii", "ignore"))):
        return "LATIN"
    shares = {script: share * _WORDS_A_LETTER.get(script, 1.0) for script, share in script_shares(text).items()}
    return max(shares, key=lambda script: shares[script], default="")


def related_scripts(one: str, other: str) -> bool:
    """Whether texts in two scripts may have words in common: those of Japanese and Chinese have."""
    return one == other or {one, other} <= _HAN


def letters_of(text: str, script: str) -> str:
    """Return the folded `text` with blanks for the letters of other scripts."""
    return "".join(letter if script_of(letter) == script else " " for letter in fold(text)).strip()
