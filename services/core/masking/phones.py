"""Telephone numbers: mobile and fixed of China by their shapes, others by + and a country code."""

from __future__ import annotations

import re

from services.core.masking.dial_codes import is_international

# Between the groups of one number: one sign, or a bracket with one.
GAP = r"(?:[\-. \u00a0\u2009\u202f\u2010-\u2015\u2212_]|\)[\- ]?|[\- ]?\()"
# Marks without width, as address books put them around and into numbers.
INVISIBLE = r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
_PREFIX = rf"(?:(?:00)?86\)?{GAP}?(?:\(?0\)?{GAP}?)?)?"
_MOBILE = re.compile(
    rf"{_PREFIX}1[3-9][0-9](?:{GAP}[0-9]{{4}}{GAP}?[0-9]{{4}}|{GAP}?[0-9]{{8}}|[0-9]{{4}}{GAP}[0-9]{{4}}"
    rf"|[0-9]{GAP}[0-9]{{3}}{GAP}[0-9]{{4}}|{GAP}[0-9]{{3}}{GAP}[0-9]{{5}}|[0-9]{GAP}[0-9]{{4}}{GAP}[0-9]{{3}}"
    rf"|{GAP}[0-9]{{5}}{GAP}[0-9]{{3}})(?![0-9])"
)
_LANDLINE = re.compile(
    rf"{_PREFIX}(?:\(?0?(?:10|2[0-57-9])\)?{GAP}[1-9][0-9]{{3}}{GAP}?[0-9]{{4}}"
    rf"|\(?0?[3-9][0-9]{{2}}\)?{GAP}[1-9][0-9]{{2,3}}{GAP}?[0-9]{{4}})(?![0-9])"
)
_SERVICE = re.compile(
    r"[48]00(?:[\- ][0-9]{3}[\- ][0-9]{4}|[\- ][0-9]{4}[\- ][0-9]{3}|[\- ][0-9]{7}"
    r"|[0-9][\- ]?[0-9]{3}[\- ][0-9]{3})(?![0-9])"
)
_LOCAL = re.compile(rf"\(?[0-9](?:{GAP}?[0-9]){{6,14}}(?![0-9])")
_PLUS = re.compile(rf"\(?[1-9](?:(?:{GAP}|{INVISIBLE}){{0,2}}[0-9]){{6,17}}(?![0-9])")
_ZEROS = re.compile(rf"00[1-9](?:{GAP}?[0-9]){{6,14}}(?![0-9])")
_DATE = re.compile(r"(?:19|20)[0-9]{2}[\-./_ ]?(?:0?[1-9]|1[0-2])[\-./_ ]?(?:0?[1-9]|[12][0-9]|3[01])(?![0-9])")
_EXTENSION = re.compile(r"(?:\s?(?:转|轉|分机|分機|ext\.?|x)\s?[:：]?|-)[0-9]{1,6}(?![0-9])", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]+")


def chinese_phone(text: str, start: int) -> int:
    """Return the end of a Chinese number that begins at `start` and shows by its shape that it is one, else 0."""
    found = _MOBILE.match(text, start)
    if found is not None:
        return found.end()
    if text[start] in "0(8":
        found = _LANDLINE.match(text, start)
        if found is not None and _is_landline(found[0]):
            extension = _EXTENSION.match(text, found.end())
            return extension.end() if extension else found.end()
    found = _SERVICE.match(text, start)
    return found.end() if found is not None else 0


def _is_landline(number: str) -> bool:
    digits = "".join(_DIGITS.findall(number))
    if digits.startswith("0086"):
        digits = digits[4:]
    elif digits.startswith("86"):
        digits = digits[2:]
    elif not digits.startswith("0"):
        return False  # an area code is told by its zero
    digits = digits.removeprefix("0")
    return len(digits) == 10 if digits[0] in "12" else len(digits) in {10, 11}


def labelled_phone(text: str, start: int) -> int:
    """Return the end of a number of 7 to 15 digits at `start`, which a word has called a telephone number, else 0."""
    found = _LOCAL.match(text, start)
    if found is None or _DATE.match(text, start):
        return 0
    extension = _EXTENSION.match(text, found.end())
    return extension.end() if extension else found.end()


def international_phone(text: str, start: int) -> int:
    """Return the end of a number whose country code begins at `start`, behind a +, else 0."""
    found = _PLUS.match(text, start)
    if found is None:
        return _shorter(text, start)
    return _trimmed(text, start, found.end())


def zeros_phone(text: str, start: int) -> int:
    """Return the end of a number that begins at `start` with 00 and a country code, else 0."""
    found = _ZEROS.match(text, start)
    if found is None or not re.search(GAP, found[0]):  # 14 digits alone may be anything
        return 0
    return _trimmed(text, start + 2, found.end())


def _shorter(text: str, start: int) -> int:
    """Return the end of a number behind a + that more digits follow."""
    groups = re.compile(rf"\(?[1-9](?:(?:{GAP}|{INVISIBLE}){{0,2}}[0-9]){{6,17}}").match(text, start)
    return _trimmed(text, start, groups.end()) if groups else 0


def _trimmed(text: str, start: int, end: int) -> int:
    """Return the end of the longest number from `start` whose groups end at `end` or before, else 0."""
    ends = [found.end() for found in _DIGITS.finditer(text, start, end)]
    if end < len(text) and text[end].isascii() and text[end].isdigit():
        ends.pop()  # the last group is cut
    for last in reversed(ends):
        if is_international("".join(_DIGITS.findall(text, start, last))):
            return last
    return 0
