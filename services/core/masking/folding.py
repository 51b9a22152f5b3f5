"""Full-width and Arabic digits, letters and signs as ASCII, character by character: places stay the same."""

from __future__ import annotations

import re

_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_DIGITS = {start + digit: ord("0") + digit for start in (0x660, 0x6F0) for digit in range(10)}
_TABLE = _WIDE | _DIGITS | {0x3000: ord(" ")}
_SIGNS = (("（", "("), ("）", ")"), ("＋", "+"), ("－", "-"))  # around numbers of ordinary digits, too
# Punctuation alone (，：) is in every Chinese text and needs no folding.
_NEEDED = re.compile("[０-９Ａ-Ｚａ-ｚ＠٠-٩۰-۹]")
_RUNS = re.compile("[！-～٠-٩۰-۹　]+")


def folded(text: str) -> str:
    """Return `text` with digits, letters and signs of other widths as ASCII, of the same length."""
    if text.isascii():
        return text
    for wide, narrow in _SIGNS:
        text = text.replace(wide, narrow)
    if not _NEEDED.search(text):
        return text
    return _RUNS.sub(lambda found: found[0].translate(_TABLE), text)


def lowered(text: str) -> str:
    """Return `text` in lower case, of the same length."""
    lower = text.lower()
    if len(lower) != len(text):  # some capitals become two characters
        lower = "".join(character.lower() if character.isascii() else character for character in text)
    return lower
