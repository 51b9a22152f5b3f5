"""Numbers of people in text: telephone, identity, bank card, passport without letters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.core.masking.cards import is_card
from services.core.masking.id_numbers import is_id_number, is_old_id_number
from services.core.masking.kinds import PersonalFinding, PersonalKind
from services.core.masking.labels import Label, has_unit, label_before
from services.core.masking.phones import (
    GAP,
    INVISIBLE,
    chinese_phone,
    international_phone,
    labelled_phone,
    zeros_phone,
)

# At least seven digits with at most two signs between: everything else is skipped at the speed of the search.
# Dates are skipped, too. The first digit stands before the conditions: so the search leaps to it.
_RUN = re.compile(
    r"[0-9](?<![0-9]{2})(?!(?:(?<=1)9|(?<=2)0)[0-9]{2}-[01][0-9]-[0-3][0-9](?![0-9]))"
    rf"(?:(?:[\-. \u00a0\u2009\u202f\u2010-\u2015\u2212_()]|{INVISIBLE}){{0,2}}[0-9]){{6,}}"
)
_GROUP = re.compile(r"[0-9]+")
_ONE = rf"(?:{GAP}|{INVISIBLE})?"
_ID = re.compile(
    rf"[1-9][0-9]{{2}}{_ONE}[0-9]{{3}}{_ONE}(?:18|19|20)[0-9]{{2}}{_ONE}[01][0-9]{_ONE}[0-3][0-9]{_ONE}[0-9]{{3}}{_ONE}[0-9Xx×](?![0-9A-Za-z])"
)
_OLD_ID = re.compile(rf"[1-9][0-9]{{5}}{_ONE}[0-9]{{2}}[01][0-9][0-3][0-9]{_ONE}[0-9]{{3}}(?![0-9A-Za-z])")
_CARD = re.compile(
    rf"(?:[0-9]{{13,19}}|[0-9]{{4}}(?:{_ONE}[0-9]{{4}}){{3}}(?:{_ONE}[0-9]{{1,4}})?|[0-9]{{4}}{_ONE}[0-9]{{6}}{_ONE}[0-9]{{4,5}}"
    rf"|[0-9]{{6}}{_ONE}[0-9]{{6,13}}|[0-9]{{8}}{_ONE}[0-9]{{8}}|[0-9]{{5}}{_ONE}[0-9]{{5}}{_ONE}[0-9]{{6,9}})(?![0-9A-Za-z])"
)
# Where in a run something may begin: long groups, and the first groups of numbers that are written in groups.
_START = re.compile(
    rf"(?<![0-9])(?=[0-9])(?:[0-9]{{10,21}}(?![0-9])"
    rf"|1[3-9][0-9]{{1,2}}{_ONE}[0-9]{{3,5}}{_ONE}[0-9]{{3,5}}(?![0-9])|1[3-9][0-9]{_ONE}[0-9]{{8}}(?![0-9])"
    rf"|1[3-9][0-9]{{5}}{_ONE}[0-9]{{4}}(?![0-9])|(?:00)?86\)?{GAP}|0[0-9]{{2,3}}\)?{GAP}?[1-9]"
    rf"|00[1-9]|[48]00[\- ]?[0-9]"
    rf"|[1-9][0-9]{{5}}{_ONE}[0-9]{{2,4}}|[1-9][0-9]{{2}}{_ONE}[0-9]{{3}}{_ONE}[12][0-9]{{3}}"
    rf"|[2-9][0-9]{{3}}{_ONE}[0-9]{{4}}{_ONE}[0-9]{{4}}|3[0-9]{{3}}{_ONE}[0-9]{{6}}|[0-9]{{6}}{_ONE}[0-9]{{6}}"
    rf"|[0-9]{{8}}{_ONE}[0-9]{{8}}|[0-9]{{5}}{_ONE}[0-9]{{5}}{_ONE}|(?<=\+)[1-9]|(?<=\+[( ])[1-9]|(?<=%2[Bb])[1-9])"
)
_ESCAPE = re.compile(r"(?:%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\[nrtbfv])\Z")
_IN_ESCAPE = re.compile(r"%[0-9A-Fa-f]?\Z|\\u[0-9A-Fa-f]{0,3}\Z|\\x[0-9A-Fa-f]?\Z")
_UUID = re.compile(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}")
_SIGNS = re.compile(r"[^0-9A-Za-z×]")
_ROW_SIGNS = " \u00a0-_."
_MOST_DIGITS = 21  # in one group: longer ones are no number of a person
_PASSPORT = re.compile(r"[0-9]{7,9}(?![0-9A-Za-z])")
_LETTERS_BEFORE = re.compile(r"[A-Za-z]+\Z")


def find_numbers(text: str, lower: str) -> Iterator[PersonalFinding]:
    """Yield the numbers of people in folded text; `lower` is the same in lower case."""
    for run in _RUN.finditer(text):
        yield from _in_run(text, lower, *run.span())


def _in_run(text: str, lower: str, start: int, end: int) -> list[PersonalFinding]:
    found: list[PersonalFinding] = []
    first = _behind_escape(text, start)
    named = label_before(lower, first) in {Label.PHONE, Label.PASSPORT}  # then its shape does not matter
    begins = named or first > start or _START.match(text, first, end) is not None
    finding = _at(text, lower, first) if begins else None
    done = start + 1
    while True:
        if finding is not None:
            found.append(finding)
            done = finding.end
        begin = _START.search(text, done, end)
        if begin is None:
            break
        at = begin.start()
        done = at + 1
        finding = None if _is_within_row(text, at, found) else _at(text, lower, at)
    starts, ends = {each.start for each in found}, {each.end for each in found}
    return [each for each in found if _stands_alone(text, each, starts, ends)]


def _is_within_row(text: str, at: int, found: list[PersonalFinding]) -> bool:
    """Return whether a group is one of a row of numbers with the same sign between, and long enough to be nothing else.

    Nothing that begins there would stand alone; see `_stands_alone`. It saves the time for tables of numbers.
    """
    sign = text[at - 1]
    if not text[at - 2 : at - 1].isdigit() or sign not in _ROW_SIGNS or (found and found[-1].end == at - 1):
        return False
    group = _GROUP.match(text, at)
    if group is None or group.end() - at >= 10 or text[group.end() : group.end() + 1] != sign:
        return False
    return _ID.match(text, at) is None


def _behind_escape(text: str, at: int) -> int:
    """Return where the digits begin when the first of them belong to an escape: %20138..., \\u5f20138..."""
    cut = _IN_ESCAPE.search(text, max(0, at - 5), at)
    if cut is None:
        return at
    whole = {"%": 3, "u": 6, "x": 4}["%" if cut[0][0] == "%" else cut[0][1]]
    return cut.start() + whole


def _at(text: str, lower: str, at: int) -> PersonalFinding | None:
    """Return what begins at the group of digits at `at`."""
    group = _GROUP.match(text, at)
    if group is None or group.end() - at > _MOST_DIGITS:
        return None
    plus = _plus_before(text, at)
    start = at if plus is None else plus
    if not _begins(text, lower, start):
        return None
    found = _with_plus(text, start, at) if plus is not None else None
    found = found or _id_number(text, at)
    if found is not None or not _ends(text, group.end()) or _is_decimal(text, at, group.end()):
        return found
    label = label_before(lower, start)
    if label is Label.REFERENCE:
        return None
    found = _phone(text, lower, at, label)
    return _other(text, lower, at, label) if found is None and label is not Label.NEAR else found


def _with_plus(text: str, start: int, at: int) -> PersonalFinding | None:
    end = international_phone(text, at)
    if not end or not _ends(text, end):
        return None
    return _finding(text, PersonalKind.PHONE, _opening(text, start, end), end)


def _id_number(text: str, at: int) -> PersonalFinding | None:
    found = _ID.match(text, at)
    if found is None or not is_id_number(_plain(found[0]).replace("×", "X").upper()):
        return None
    return PersonalFinding(PersonalKind.ID_NUMBER, at, found.end())


def _phone(text: str, lower: str, at: int, label: Label) -> PersonalFinding | None:
    end = _phone_end(text, at, label)
    if not end or not _ends(text, end) or not _is_phone(lower, at, end, label):
        return None
    return _finding(text, PersonalKind.PHONE, _opening(text, at, end), end)


def _other(text: str, lower: str, at: int, label: Label) -> PersonalFinding | None:
    """Return an old identity number, a card, or a passport without letters."""
    if label is Label.CARD and (card := _card(text, lower, at)) is not None:
        return card
    found = _OLD_ID.match(text, at)
    if found is not None and is_old_id_number(_plain(found[0])):
        return PersonalFinding(PersonalKind.ID_NUMBER, at, found.end())
    if label is Label.PASSPORT and (passport := _PASSPORT.match(text, at)) is not None:
        return PersonalFinding(PersonalKind.PASSPORT, at, passport.end())
    return _card(text, lower, at) if label is not Label.AMOUNT else None


def _card(text: str, lower: str, at: int) -> PersonalFinding | None:
    for end in _card_ends(text, at):
        if is_card(_plain(text[at:end])) and not has_unit(lower, end):
            return _finding(text, PersonalKind.CARD, at, end)
    return None


def _plain(number: str) -> str:
    return _SIGNS.sub("", number)


def _opening(text: str, start: int, end: int) -> int:
    """Return where the bracket stands that a number from `start` to `end` closes, else `start`."""
    opened = start > 0 and text[start - 1] == "(" and text.count(")", start, end) > text.count("(", start, end)
    return start - 1 if opened else start


def _phone_end(text: str, at: int, label: Label) -> int:
    before = at - 1 if text[at - 1 : at] == "(" and at else at
    end = chinese_phone(text, at) or (chinese_phone(text, before) if before < at else 0)
    if not end and label is Label.PHONE:
        end = labelled_phone(text, at)
    if not end and text.startswith("00", at):
        end = zeros_phone(text, at)
    return end


def _is_phone(lower: str, at: int, end: int, label: Label) -> bool:
    """Return whether digits of the shape of a telephone number are one, by what stands around them."""
    if label is Label.PHONE:
        return True
    if label is Label.AMOUNT or has_unit(lower, end):
        return False
    return not _in_uuid(lower, at, end)


def _card_ends(text: str, at: int) -> Iterator[int]:
    """Yield where a card's number that begins at `at` may end, the farthest first."""
    found = _CARD.match(text, at)
    if found is None:
        return
    yield found.end()
    for group in reversed(list(_GROUP.finditer(text, at, found.end()))[:-1]):
        if group.end() - at >= 13:
            yield group.end()


def _plus_before(text: str, at: int) -> int | None:
    """Return where the + before digits stands, also as %2B and before a bracket or a space; None without one."""
    before = at
    while before > at - 3 and text[before - 1 : before] in {"(", " "} and before:
        before -= 1
    if text[before - 1 : before] == "+" and before:
        return before - 1
    if text[max(0, before - 3) : before].lower() == "%2b":
        return before - 3
    return None


def _begins(text: str, lower: str, at: int) -> bool:
    """Return whether a number may begin here: not within a word, a hash, a decimal or a UUID."""
    before = text[at - 1 : at] if at else ""
    if not (before.isascii() and before.isalnum()):
        return True
    if _ESCAPE.search(text, max(0, at - 6), at):
        return True
    letters = _LETTERS_BEFORE.search(lower, max(0, at - 12), at)
    return letters is not None and label_before(lower, at) is Label.PHONE


def _ends(text: str, at: int) -> bool:
    """Return whether a number may end here."""
    after = text[at : at + 1]
    if not (after.isascii() and after.isalpha()):
        return True
    return after in "xX" and text[at + 1 : at + 2].isdigit()


def _is_decimal(text: str, start: int, end: int) -> bool:
    """Return whether digits are a part of a decimal number: a dot and digits on one side, and no dots within."""
    dotted_after = text[end : end + 1] == "." and text[end + 1 : end + 2].isdigit()
    dotted_before = text[start - 1 : start] == "." and start > 1 and text[start - 2 : start - 1].isdigit()
    return (dotted_after or dotted_before) and end - start >= 10


def _in_uuid(lower: str, start: int, end: int) -> bool:
    if "-" not in lower[max(0, start - 1) : end + 1]:
        return False
    return any(
        found.start() < end and found.end() > start for found in _UUID.finditer(lower, max(0, start - 36), end + 36)
    )


def _stands_alone(text: str, finding: PersonalFinding, starts: set[int], ends: set[int]) -> bool:
    """Return whether a number of several groups is no stretch of a longer row of numbers.

    `starts` and `ends` are those of all findings of the row.
    """
    if finding.kind is PersonalKind.ID_NUMBER or text[finding.start] in "+%":
        return True
    inner = text[finding.start : finding.end]
    sign = next((sign for sign in _ROW_SIGNS if sign in inner), "")
    if not sign:
        return True
    start, end = finding.start, finding.end
    row_before = text[start - 1 : start] == sign and text[start - 2 : start - 1].isdigit() and start > 1
    row_after = text[end : end + 1] == sign and text[end + 1 : end + 2].isdigit()
    return not ((row_before and start - 1 not in ends) or (row_after and end + 1 not in starts))


def _finding(text: str, kind: PersonalKind, start: int, end: int) -> PersonalFinding:
    digits = [character for character in text[start:end] if character.isdigit()]
    return PersonalFinding(kind, start, end, "".join(digits[-4:]))
