"""Which writing system a text is in, by the Unicode names of its letters."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache

from services.knowledge.text.segmentation import fold

_ENTRY_BYTES = 230


@lru_cache(maxsize=50_000)
def script_of(letter: str) -> str:
    """Return the script of a letter, as its Unicode name begins ("LATIN", "CJK", "HANGUL"), or "" if it is none."""
    return unicodedata.name(letter, "").split(" ")[0] if letter.isalpha() else ""


def cached_letters() -> tuple[int, int]:
    """Return how many letters' scripts are remembered, and in about how many bytes."""
    letters = script_of.cache_info().currsize
    # Link, place in the table, letter, name of the script.
    return letters, letters * _ENTRY_BYTES


def forget_letters() -> None:
    """Forget the letters' scripts; they are found again one by one."""
    script_of.cache_clear()


def script_shares(text: str) -> dict[str, float]:
    """Return the share of each script among the letters of `text`; empty if there are none."""
    counts: Counter[str] = Counter()
    for letter, count in Counter(fold(text)).items():
        if script := script_of(letter):
            counts[script] += count
    return {script: count / counts.total() for script, count in counts.most_common()}


def letters_of(text: str, script: str) -> str:
    """Return the words of `text` as far as they are written in `script`, with blanks for the rest."""
    return "".join(letter if script_of(letter) == script else " " for letter in fold(text)).strip()
