"""Text into sentences, for quoting: by punctuation and layout, without a language model."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Where a sentence may end: a full stop with the quotes and brackets that close after it. The Latin one needs white
# space behind it, so that decimals, versions and addresses stay whole.
_STOP = re.compile(
    r"""(?P<wide>[。！？｡؟।॥۔]+[”’"'」』）》】)\]]*)
      | (?P<latin>[.!?]+[”’"'»)\]]*)(?=\s|$)
      | (?P<line>\s*\n\s*)
    """,
    re.VERBOSE,
)
_LAST_WORD = re.compile(r"[^\W_][\w.]*$")
_ITEM = re.compile(r"\s*(?:[|•·▪‣*+-]\s|#{1,6}\s|\d{1,3}[.)、]\s|$)")
_LIST_ITEM = re.compile(r"(?:[•·▪‣*+-]|\d{1,3}[.)、])\s")
_RULE = re.compile(r"\|(?:\s*:?-+:?\s*\|)+")
_ENDED = re.compile(r"""[.!?:;…。！？：；｡؟।॥۔][”’"'»」』）》】)\]]*$""")
# Their full stop ends no sentence.
_ABBREVIATIONS = re.compile(
    r"""adm|al|approx|apr|art|aug|ave|bros|ca|capt|cf|ch|co|col|corp|dec|dept|dr|eds?|eg|eq|est|etc|feb|figs?|ft|gen
    |gov|hon|ie|inc|jan|jr|jul|jun|lt|ltd|mar|mrs?|ms|mt|nos?|nov|oct|op|pp|pres|prof|rep|rev|sec|sen|sept?|sgt|sr|st
    |univ|viz|vols?|vs""",
    re.VERBOSE | re.IGNORECASE,
)
# A line that is so much shorter than the longest one was not broken by the margin.
_SHORT_LINE = 0.6


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and what the layout tells about it.

    `title`: it has no full stop and is neither a list item nor in a table; `labels`: it is the first row of a table;
    `header`: the labels of the table that it is a row of, "" outside tables.
    """

    text: str
    title: bool = False
    labels: bool = False
    header: str = ""


def marked_sentences(text: str) -> list[Sentence]:
    """Return the sentences of `text` in order, with what the layout tells about each."""
    found: list[Sentence] = []
    header = ""
    for piece in _pieces(text):
        row = piece.startswith("|")
        if row and _RULE.fullmatch(piece):
            if found and found[-1].text.startswith("|"):
                header = found[-1].text
                found[-1] = Sentence(header, labels=True)
        elif row:
            found.append(Sentence(piece, header=header))
        else:
            header = ""
            title = _ENDED.search(piece) is None and _LIST_ITEM.match(piece) is None
            found.append(Sentence(piece, title=title))
    return [sentence for sentence in found if _says_something(sentence.text)]


def sentences(text: str) -> list[str]:
    """Return the sentences of `text` in order, with line breaks inside them as they are.

    Blank lines, list items, table rows and short lines end a sentence, too.
    """
    return [piece for piece in _pieces(text) if _says_something(piece)]


def _pieces(text: str) -> list[str]:
    longest = max(map(len, text.splitlines()), default=0)
    found: list[str] = []
    start = 0
    for stop in _STOP.finditer(text):
        end = stop.end()
        if end <= start or not _ends(text, start, stop, longest):
            continue
        found.append(text[start:end].strip())
        start = end
    found.append(text[start:].strip())
    return [piece for piece in found if piece]


def _says_something(piece: str) -> bool:
    return any(character.isalnum() for character in piece)


def _ends(text: str, start: int, stop: re.Match[str], longest: int) -> bool:
    after = text[stop.end() : stop.end() + 80]
    if stop.lastgroup == "line":
        line = text[text.rfind("\n", 0, stop.start()) + 1 : stop.start()]
        return (
            stop[0].count("\n") > 1
            or _ITEM.match(after) is not None
            or line.lstrip().startswith(("|", "#"))
            or len(line) < _SHORT_LINE * longest
        )
    if stop.lastgroup == "wide":
        return True
    if after.lstrip().lstrip("\"'“‘«([")[:1].islower():
        return False
    word = _LAST_WORD.search(text, max(start, stop.start() - 30), stop.start()) if stop[0][0] == "." else None
    return word is None or not _abbreviated(word[0])


def _abbreviated(word: str) -> bool:
    """Recognise "J. Smith", "U.S. Army", "Dr. Gray"; a sentence that does end like this goes on to the next stop."""
    initial = len(word) == 1 and word.isupper()
    return initial or ("." in word and not word[-1].isdigit()) or _ABBREVIATIONS.fullmatch(word) is not None
