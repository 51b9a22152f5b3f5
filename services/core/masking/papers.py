"""Passports and IBANs: numbers that begin with letters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.core.masking.kinds import PersonalFinding, PersonalKind
from services.core.masking.labels import Label, has_unit, label_before

# Chinese passports: ordinary (E, EA..., G), diplomatic, official, public affairs, Hong Kong and Macao.
_CHINESE = re.compile(r"[EG][0-9]{8}|E[A-HJ-NP-Z][0-9]{7}|[DSP]E[0-9]{7}|KJ[0-9]{7}|M[AB][0-9]{7}")
_SHAPE = re.compile(r"[A-Z](?<![A-Za-z0-9_\-/.#].)[A-Z]?[ ]?[0-9]{6,9}[A-Z]?(?![A-Za-z0-9_\-]|\.[0-9])")
# Others mix letters and digits, as the German ones do.
_LABELLED = re.compile(
    r"(?<![A-Za-z0-9])(?:[A-Za-z]{1,3} ?[0-9]{5,9}[A-Za-z]?"
    r"|[A-Za-z](?=[A-Za-z]{0,3}[0-9])[A-Za-z0-9]{6,9})(?![A-Za-z0-9])"
)
_NEAR = 60
_WORDS = ("passport", "护照", "護照", "通行证", "通行證", "台胞证", "回乡证")
_IBAN = re.compile(
    r"[A-Z](?<![A-Za-z0-9].)[A-Z][0-9]{2}(?:[ \-]?[A-Z0-9]{4}){2,7}(?:[ \-]?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"
)
_IBAN_ANY_CASE = re.compile(_IBAN.pattern, re.IGNORECASE)
_PLAIN = str.maketrans("", "", " -")


# What both have, without the conditions that make their search slow.
_LETTERS_AND_DIGITS = re.compile(r"[A-Z](?<![A-Za-z0-9][A-Z])[A-Z]?(?: ?[0-9]{6}|[0-9]{2}[ \-]?[A-Z0-9]{4})")


def find_papers(text: str, lower: str) -> Iterator[PersonalFinding]:
    """Yield passports and IBANs in folded text; `lower` is the same in lower case."""
    named = any(word in lower for word in _WORDS)
    if named or "iban" in lower or _LETTERS_AND_DIGITS.search(text):
        yield from find_ibans(text, lower)
        yield from find_passports(text, lower)


def find_passports(text: str, lower: str) -> Iterator[PersonalFinding]:
    """Yield passports: Chinese ones by their shape, others where a word for passport stands before them."""
    named = any(word in lower for word in _WORDS)
    for found in _SHAPE.finditer(text):
        near = named and _is_near(lower, found.start())
        label = label_before(lower, found.start())
        if label in {Label.REFERENCE, Label.NEAR} and not near:
            continue
        if label is Label.PASSPORT or near or (_CHINESE.fullmatch(found[0]) and not has_unit(lower, found.end())):
            yield PersonalFinding(PersonalKind.PASSPORT, *found.span())
    for word in _WORDS if named else ():
        yield from _behind(text, lower, word)


def _behind(text: str, lower: str, word: str) -> Iterator[PersonalFinding]:
    """Yield what a word for passport says is one, whatever its shape."""
    at = lower.find(word)
    while at >= 0:
        behind = at + len(word)
        for found in _LABELLED.finditer(text, behind, behind + _NEAR):
            whole = found.end() < behind + _NEAR or found.end() == len(text)
            if whole and label_before(lower, found.start()) is Label.PASSPORT:
                yield PersonalFinding(PersonalKind.PASSPORT, *found.span())
        at = lower.find(word, behind)


def _is_near(lower: str, start: int) -> bool:
    before = lower[max(0, start - _NEAR) : start]
    line = before[before.rfind("\n") + 1 :]
    return any(word in line for word in _WORDS)


def find_ibans(text: str, lower: str) -> Iterator[PersonalFinding]:
    """Yield IBANs, checked by country, length and check digits."""
    shape = _IBAN_ANY_CASE if "iban" in lower else _IBAN
    for found in shape.finditer(text):
        if text[found.start()].islower() and "iban" not in lower[max(0, found.start() - _NEAR) : found.start()]:
            continue
        end = _valid_end(text, *found.span())
        if end:
            number = text[found.start() : end].translate(_PLAIN)
            yield PersonalFinding(PersonalKind.IBAN, found.start(), end, number[-4:].upper())


def _valid_end(text: str, start: int, end: int) -> int:
    """Return where a valid IBAN from `start` ends, at `end` or at a space before it, else 0."""
    while end - start >= 15:
        number = text[start:end].translate(_PLAIN).upper()
        if 15 <= len(number) <= 34 and _is_iban(number):
            return end
        end = max(text.rfind(" ", start, end), text.rfind("-", start, end))
    return 0


def _is_iban(number: str) -> bool:
    if int("".join(str(int(character, 36)) for character in number[4:] + number[:4])) % 97 != 1:
        return False
    from stdnum import iban  # loads its table of countries

    return bool(iban.is_valid(number, check_country=False))
