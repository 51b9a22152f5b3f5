"""Segmentation of text into the terms of lexical search.

One rule for all languages. Text is folded (compatibility forms, case, accents, Chinese style) and cut into runs of
letters, digits and marks. A run in a script that is written without spaces becomes overlapping pairs of its units,
characters or syllables (`unspaced`); anything else is a word. Nothing here depends on a language, apart from the plural
endings of words in Latin letters, see `term_of`; stems are made by `stems`. Codes, names of programs and dates also
become one term that stands for the whole.

Pure Python with few imports: the parser's child process uses it, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from services.knowledge.text import codes
from services.knowledge.text.dates import find_dates
from services.knowledge.text.folding import fold
from services.knowledge.text.unspaced import SCRIPTS, units

# Of what `terms` returns: stored terms of another version are made anew (`services.knowledge.store.term_version`).
TERMS_VERSION = 3
_JOINERS = r"'.,\-/:_~"
# A run of one kind, or words and numbers joined by one of the characters that may stand inside them.
_RUN = re.compile(
    rf"(?P<unspaced>[{SCRIPTS}]+)"
    rf"|(?P<joined>[^\s{SCRIPTS}{_JOINERS}]+(?:[{_JOINERS}][^\s{SCRIPTS}{_JOINERS}]+)+)"
    rf"|(?P<word>[^\s{SCRIPTS}{_JOINERS}]+)"
)
_LETTERS = re.compile(r"[^\W\d_]+")
_DIGITS = re.compile(r"[\d./-]+\Z")
_SIBILANT_PLURALS = ("ches", "shes", "sses", "xes", "zes")
# Fewest and most digits of a telephone number (https://www.itu.int/rec/T-REC-E.164).
_PHONE_DIGITS = range(7, 16)


@dataclass(frozen=True, slots=True)
class Whole:
    """A term that stands for several words of a question; `exact` if it is a code or a date, which must not differ."""

    term: str
    places: range
    exact: bool


def terms(text: str) -> list[str]:
    """Return the terms of a text to index, in order, with repetitions.

    Each consists of letters, digits and marks. A run of an unspaced script gives each unit together with the next one
    and the last one by itself, so that every unit begins a term: a search for one is a search for a prefix. "5.4.5",
    "A-12" and "parseHeader" give their parts and the whole in one piece, dates one more term (`find_dates`).
    """
    found: list[str] = []
    runs: list[str] = []
    has_digits = False
    for kind, run in _runs(codes.mark(text)):
        if kind is _Kind.SPACED:
            wholes = _wholes(run)
            found.extend((*wholes.equal, *wholes.within))
            continue
        runs.append(run)
        has_digits = has_digits or kind is _Kind.JOINED or run[0].isdigit()
        if kind is _Kind.WORD:
            found.append(term_of(run))
        elif kind is _Kind.UNSPACED:
            signs = units(run)
            found.extend(map("".join, zip(signs, [*signs[1:], ""], strict=True)))
        else:
            wholes = _wholes(run)
            found.extend(_parts(run))
            found.extend(term for term in (wholes.written, *wholes.equal, *wholes.within) if term)
    if has_digits:
        found.extend(term for _first, _after, names in find_dates(runs) for term in names)
        found.extend(number for _first, _after, number in _phones(runs))
    return found


def query_terms(text: str) -> list[str]:
    """Return the distinct terms to search for, in order: as `terms`, but a unit only where it stands alone."""
    return list(dict.fromkeys(term for term, _place in located_terms(text)))


def located_terms(text: str) -> list[tuple[str, range]]:
    """Return a query's terms in order, each with the places that it covers.

    A place is a word or, in a script without spaces, a unit; neighbouring pairs of units share one.
    """
    return read_question(text)[0]


def read_question(text: str) -> tuple[list[tuple[str, range]], list[Whole]]:
    """Return a query's terms as `located_terms`, and the terms that stand for several of its words in one."""
    located: list[tuple[str, range]] = []
    found_wholes: list[Whole] = []
    runs: list[str] = []
    starts: list[int] = []
    place = 0
    for kind, run in _runs(codes.mark(text, question=True)):
        if kind is _Kind.SPACED:
            covered = range(place - sum(len(_parts(piece)) for piece in run.split("~")), place)
            found_wholes += [Whole(term, covered, exact=False) for term in _wholes(run).equal]
            continue
        runs.append(run)
        starts.append(place)
        if kind is _Kind.WORD:
            term = term_of(run)
            located.append((term, range(place, place + 1)))
            if _is_code(run):
                found_wholes.append(Whole(term, range(place, place + 1), exact=True))
            place += 1
        elif kind is _Kind.UNSPACED:
            signs = units(run)
            located += [
                (signs[at] + signs[at + 1], range(place + at, place + at + 2)) for at in range(len(signs) - 1)
            ] or [(run, range(place, place + 1))]
            place += len(signs)
        else:
            parts, wholes = _parts(run), _wholes(run)
            located += [(part, range(place + at, place + at + 1)) for at, part in enumerate(parts)]
            covered = range(place, place + len(parts))
            if wholes.written:
                located.append((wholes.written, covered))
            exact = _is_code(run)
            found_wholes += [Whole(term, covered, exact) for term in (wholes.written, *wholes.equal) if term]
            place += len(parts)
    starts.append(place)
    for first, after, names in find_dates(runs):
        days = [name for name in names if name[0] == "d"] or names[:1]
        found_wholes += [Whole(term, range(starts[first], starts[after]), exact=True) for term in days]
    found_wholes += [
        Whole(number, range(starts[first], starts[after]), exact=True) for first, after, number in _phones(runs)
    ]
    return located, found_wholes


class _Kind(Enum):
    UNSPACED = "unspaced"
    JOINED = "joined"
    WORD = "word"
    # Two words that may be one code; they come by themselves before it.
    SPACED = "spaced"


def _runs(text: str) -> Iterator[tuple[_Kind, str]]:
    """Yield the folded runs of a marked text."""
    for match in _RUN.finditer(fold(text)):
        run, kind = match[0], _Kind(match.lastgroup)
        if "~" not in run:
            yield kind, run
            continue
        for piece in run.split("~"):
            yield _Kind.JOINED if codes.INNER.search(piece) else _Kind.WORD, piece
        yield _Kind.SPACED, run


def _parts(run: str) -> list[str]:
    """Return the parts of "A-12"."""
    parts = codes.INNER.split(run)
    if len(parts) > 1 and parts[-1] == "s" and run[-2] == "'":
        parts.pop()  # the English genitive
    return [term_of(part) for part in parts]


def _wholes(run: str) -> codes.Wholes:
    """Return the terms for all of "A-12"."""
    parts = codes.INNER.split(run)
    if parts[-1] == "s" and run[-2] == "'":
        parts.pop()
        run = run[:-2]
    if len(parts) < 2:
        return codes.Wholes()
    wholes = codes.wholes(run, parts)
    if any(map(str.isdigit, run)):
        return wholes
    return replace(wholes, equal=tuple(map(term_of, wholes.equal)))


def _is_code(run: str) -> bool:
    """Whether a run is a code, a version or a number of several parts; "19th" and "20-year" are words."""
    if run.isdecimal() or not any(map(str.isdigit, run)):
        return False
    return not run[0].isdigit() or max(map(len, _LETTERS.findall(run)), default=0) < 2


def _phones(runs: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Yield (first run, run after the last, digits) of each row of numbers that may be a telephone number."""
    first = 0
    while first < len(runs):
        if not _DIGITS.match(runs[first]):
            first += 1
            continue
        after = first + 1
        while after < len(runs) and runs[after][0] != "0" and _DIGITS.match(runs[after]):
            after += 1
        groups = [group for run in runs[first:after] for group in codes.INNER.split(run)]
        digits = "".join(groups)
        if len(digits) in _PHONE_DIGITS and (digits[0] == "0" or (after > first + 1 and len(groups) > 2)):
            yield first, after, digits.lstrip("0")
        first = after


def term_of(word: str) -> str:
    """Return `word` without a plural ending, cut to the longest length.

    Plurals are all that is stripped: more (-ed, -ing) found fewer right paragraphs of XQuAD, not more.
    """
    if 3 < len(word) <= codes.MAX_TERM and word[-1] == "s" and word.isascii():
        if word.endswith("ies"):
            return f"{word[:-3]}y"
        if word.endswith(_SIBILANT_PLURALS):
            return word[:-2]
        if not word.endswith(("ss", "us", "is")):
            return word[:-1]
    return word[: codes.MAX_TERM]
