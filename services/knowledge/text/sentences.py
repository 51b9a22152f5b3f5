"""Sentence boundaries by punctuation and layout: for quoting, for packing chunks, for highlighting."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Quotes and brackets that close after a full stop belong to its sentence.
_CLOSING = r"""[”’"'»)\]]*+"""
_CLOSING_UNSPACED = r"""[”’"'」』）》】)\]]*+"""
# Sentence ends for quoting. The Latin full stop needs white space behind it, so that decimals, versions and addresses
# stay whole.
_STOP = re.compile(
    rf"""(?P<unspaced>[。！？｡؟।॥۔]+{_CLOSING_UNSPACED})
      | (?P<latin>[.!?]+{_CLOSING})(?=\s|$)
      | (?P<line>\s*\n\s*)
    """,
    re.VERBOSE,
)
# Ends of the units that chunks are packed from, with the white space that follows.
_UNIT_END = re.compile(
    rf"""\n[^\S\n]*\n\s*                           # blank line
      | [。！？；…]+{_CLOSING_UNSPACED}\s*         # full stop of a script written without spaces
      | (?<![.!?;])[.!?;]++{_CLOSING}\s+           # full stop of a script written with spaces
      | \n\s*+(?=[|•·▪‣*+-]\s|\d{{1,3}}[.)、]\s)   # before a list item or a table row
    """,
    re.VERBOSE,
)
# Ends of clauses, for highlighting.
_CLAUSE_END = re.compile(r"[。！？；\n]+|[.!?;]+\s")
# "1." before an item or a clause ends no sentence.
_ORDINAL = re.compile(r"\s*[(§]?\s*(?:\d{1,3}(?:\.\d{1,3})*|[ivxIVX]{1,5}|[a-z])")
_LAST_WORD = re.compile(r"[^\W_][\w.]*$")
_ITEM = re.compile(r"\s*(?:[|•·▪‣*+-]\s|#{1,6}\s|\d{1,3}[.)、]\s|$)")
# A full stop after these does not end a sentence.
_ABBREVIATIONS = re.compile(
    r"""adm|al|approx|apr|art|aug|ave|bros|ca|capt|cf|ch|co|col|corp|dec|dept|dr|eds?|eg|eq|est|etc|feb|figs?|ft|gen
    |gov|hon|ie|inc|jan|jr|jul|jun|lt|ltd|mar|mrs?|ms|mt|nos?|nov|oct|op|pp|pres|prof|rep|rev|sec|sen|sept?|sgt|sr|st
    |univ|viz|vols?|vs""",
    re.VERBOSE | re.IGNORECASE,
)
# A line that is so much shorter than the longest one was not broken by the margin.
_SHORT_LINE = 0.6


def sentences(text: str) -> list[str]:
    """Return the sentences of `text` in order, with line breaks inside them as they are.

    Blank lines, list items, table rows and short lines end a sentence, too.
    """
    return [piece for piece in _split(text) if _has_words(piece)]


def packing_units(text: str) -> Iterator[str]:
    """Yield the sentences of running text with the white space that follows; joined they give the text again."""
    short = max(map(len, text.split("\n"))) * _SHORT_LINE if text else 0
    start = 0
    for match in _UNIT_END.finditer(text):
        yield from _split_short_lines(text[start : match.end()], short)
        start = match.end()
    if start < len(text):
        yield from _split_short_lines(text[start:], short)


def ends_sentence(unit: str, following: str) -> bool:
    """Return whether a unit of `packing_units` ends a sentence, given what follows: not after a clause or "Dr."."""
    ended = unit.rstrip()
    after = following.lstrip()
    if not ended or not after or "\n" in unit[len(ended) :].replace("\n", "", 1) or _ITEM.match(after):
        return True
    if ended[-1] in ";；":
        return False
    if after.lstrip("\"'“‘«([")[:1].islower():
        return False
    word = _LAST_WORD.search(ended, max(len(ended) - 31, 0), len(ended) - 1) if ended[-1] == "." else None
    return word is None or not _abbreviated(word[0])


def clauses(text: str) -> list[str]:
    """Return the parts of `text` between line ends and the full stops and semicolons of any script."""
    return _CLAUSE_END.split(text)


def _split_short_lines(sentence: str, short: float) -> Iterator[str]:
    """Split a sentence after lines that no margin broke: headings, table cells and addresses as PDFs have them."""
    start = line = 0
    last = len(sentence.rstrip())
    while 0 < (end := sentence.find("\n", line) + 1) < last:
        if end - line < short:
            yield sentence[start:end]
            start = end
        line = end
    yield sentence[start:]


def _split(text: str) -> list[str]:
    longest = max(map(len, text.splitlines()), default=0)
    found: list[str] = []
    start = 0
    for stop in _STOP.finditer(text):
        end = stop.end()
        if end <= start or not _is_end(text, start, stop, longest):
            continue
        found.append(text[start:end].strip())
        start = end
    found.append(text[start:].strip())
    return [piece for piece in found if piece]


def _has_words(piece: str) -> bool:
    return any(character.isalnum() for character in piece)


def _is_end(text: str, start: int, stop: re.Match[str], longest: int) -> bool:
    after = text[stop.end() : stop.end() + 80]
    if stop.lastgroup == "line":
        line = text[text.rfind("\n", 0, stop.start()) + 1 : stop.start()]
        return (
            stop[0].count("\n") > 1
            or _ITEM.match(after) is not None
            or line.lstrip().startswith(("|", "#"))
            or len(line) < _SHORT_LINE * longest
        )
    if stop.lastgroup == "unspaced":
        return True
    if after.lstrip().lstrip("\"'“‘«([")[:1].islower():
        return False
    if _ORDINAL.fullmatch(text, start, stop.start()):
        return False
    word = _LAST_WORD.search(text, max(start, stop.start() - 30), stop.start()) if stop[0][0] == "." else None
    return word is None or not _abbreviated(word[0])


def _abbreviated(word: str) -> bool:
    """Whether a word is abbreviated: "J. Smith", "U.S. Army", "Dr. Gray". A sentence that ends so runs on."""
    initial = len(word) == 1 and word.isupper()
    return initial or ("." in word and not word[-1].isdigit()) or _ABBREVIATIONS.fullmatch(word) is not None
