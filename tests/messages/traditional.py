"""From simplified to traditional Chinese as it is written in Taiwan: OpenCC, then our own words (`taiwan.txt`)."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import opencc

_OWN = Path(__file__).with_name("taiwan.txt")
_PLACEHOLDER = re.compile(r"(\{[^{}]*\}|`[^`]*`)")


@cache
def _converter() -> opencc.OpenCC:
    return opencc.OpenCC("s2twp")


@cache
def own_words() -> tuple[tuple[str, str], ...]:
    """Return what OpenCC writes and what is written instead, longest first."""
    lines = (line.split("#")[0].split() for line in _OWN.read_text(encoding="utf-8").splitlines())
    return tuple(sorted(((line[0], line[1]) for line in lines if line), key=lambda pair: -len(pair[0])))


def in_traditional(text: str) -> str:
    """Return a text in traditional characters and with the words of Taiwan; what is put in and code stay."""
    pieces = _PLACEHOLDER.split(text)
    converted = "".join(piece if index % 2 else _converted(piece) for index, piece in enumerate(pieces))
    whole = dict(own_words()).get(f"={converted.replace(' ', '')}")
    return converted if whole is None else whole.replace("_", " ")


def _converted(text: str) -> str:
    text = _converter().convert(text)
    for written, instead in own_words():
        text = text.replace(written, instead)
    return text.replace("“", "「").replace("”", "」")
