"""Codes, versions, numbers and names of programs: each as one term that stands for the whole, beside its parts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.knowledge.text.folding import SEPARATOR

# Set between the letters and the number of "ISO 9001", which are one code, and within "parseHttpHeader".
SPACED, CAMEL = "\ue000", "\ue001"
INNER = re.compile(r"['.,\-/:_~]")
_SPACED_CODE = re.compile(r"\b([A-Z]{1,6})[ \u00a0](?=\d)")
_SPACED_QUESTION = re.compile(r"\b([^\W\d_]{1,6})[ \u00a0](?=\d)")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")
_PIECES = re.compile(r"\d+|[^\d'.,\-/:_~]+")
_THOUSANDS = re.compile(r"(\d{1,3})(?:([.,'])(\d{3})(?:\2(\d{3}))*)(?:(?!\2)[.,](\d+))?\Z")
_DECIMAL = re.compile(r"(\d+),(\d+)\Z")
# Longer "words" are encoded data; a prefix is enough to find them.
MAX_TERM = 64


def mark(text: str, *, question: bool = False) -> str:
    """Return `text` with marks where two words, or parts of one, are also one; a question may be typed in any case."""
    text = _CAMEL.sub(CAMEL, text)
    return (_SPACED_QUESTION if question else _SPACED_CODE).sub(rf"\1{SPACED}", text)


@dataclass(frozen=True, slots=True)
class Wholes:
    """The terms that stand for all parts of a run.

    `written` is the run as it stands, which a question must be answered by; `equal` are other ways to write the same;
    `within` are codes within the code, for indexing only.
    """

    written: str = ""
    equal: tuple[str, ...] = ()
    within: tuple[str, ...] = ()


def wholes(run: str, parts: Sequence[str]) -> Wholes:
    """Return the terms of a folded run of several parts."""
    if not any(character.isdigit() for character in run):
        return _of_letters(run, parts)
    if found := _THOUSANDS.match(run):
        decimals = found[5]
        whole = "".join(re.findall(r"\d+", run[: found.start(5) - 1] if decimals else run))
        if not decimals:
            return Wholes(whole, (_joined(run),))
        return Wholes(f"{whole}{SEPARATOR}{decimals}", _without_zeros(whole, decimals))
    if found := _DECIMAL.match(run):
        return Wholes(f"{found[1]}{SEPARATOR}{found[2]}", _without_zeros(found[1], found[2]))
    pieces = _PIECES.findall(run)
    numbers = [piece for piece in pieces if piece[0].isdigit()]
    within = []
    if len(numbers) < len(pieces):
        if len(numbers) > 1:
            within.append(SEPARATOR.join(numbers))
        head = run.partition(":")[0]
        if head != run and any(map(str.isdigit, head)):
            within.append(_joined(head))  # "ISO 9001" within "ISO 9001:2015"
    whole = _joined(run)
    # Two words that may be one code are not asked for as one.
    return Wholes("", (whole,), tuple(within)) if "~" in run else Wholes(whole, (), tuple(within))


def _of_letters(run: str, parts: Sequence[str]) -> Wholes:
    if len(parts) < 2 or "" in parts:
        return Wholes()
    whole = "".join(parts)[:MAX_TERM]
    if all(len(part) == 1 for part in parts):
        return Wholes(whole)  # "U.S." is also written US
    if "_" in run or ("-" in run and len(parts) == 2 and len(parts[0]) <= 2):
        return Wholes("", (whole,))  # names of programs; "e-mail" is also written email
    return Wholes()


def _joined(run: str) -> str:
    """Return the pieces of a run in one: those of digits are kept apart, as 5.4.5 is not 545."""
    whole = ""
    for piece in _PIECES.findall(run):
        whole += SEPARATOR + piece if whole and whole[-1].isdigit() and piece[0].isdigit() else piece
    return whole[:MAX_TERM]


def _without_zeros(whole: str, decimals: str) -> tuple[str, ...]:
    """Return what an amount is written as without the zeros at its end."""
    if not decimals.endswith("0"):
        return ()
    short = decimals.rstrip("0")
    return (f"{whole}{SEPARATOR}{short}" if short else whole,)
