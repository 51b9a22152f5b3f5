"""Lists of sources that a chat model or a document writes: they are marked as such, so that none passes for Millpond's.

The real list is data beside the text: `citations` of a message, drawn, printed and exported by the shells. Text that
says "Sources" on a line of its own would look like it wherever the text alone is shown.
"""

from __future__ import annotations

import re
import unicodedata

from services.chat.citations import MARK, is_unspaced, neutralize_marks
from services.core.i18n import _

# What lists of sources are called, folded; in scripts without spaces a part of the word is enough.
_NAMES = {
    "source", "sources", "reference", "references", "citation", "citations", "cite", "cited", "bibliography",
    "quelle", "quellen", "quellenangaben", "quellenverzeichnis", "fuente", "fuentes", "referencias", "fonti", "fonte",
    "riferimenti", "références", "referências", "fontes", "källor", "bronnen", "источники", "источник", "literatur",
    "literature"
}  # fmt: skip
_BESIDE = {
    "a", "all", "and", "by", "documents", "for", "from", "further", "list", "listed", "millpond", "of",
    "reading", "s", "the", "used", "works"
}  # fmt: skip
_UNSPACED_NAMES = ("来源", "來源", "出处", "出處", "参考", "參考", "引用", "引文", "文献", "文獻", "出典", "参照")
_MOST_WORDS = 6
_MOST_UNSPACED = 12  # characters
_MOST_HEAD = 120  # characters before the colon
_MOST_HELD = 1000  # characters of a line that are held back
_TAG = re.compile(r"</?[A-Za-z][^<>]*(?:>|\Z)|</?\Z")
_COLON = re.compile(r"[:：]")
_ITEM = re.compile(r"\s*(?:[-*+•>|]|\d{1,3}[.)])\s|[\s*_>]*[\[【［]|\s*(?:https?:|www\.)", re.IGNORECASE)
_FENCE = re.compile(r"\s{0,3}(?:```|~~~)")


class SourceHeadings:
    """A filter over a stream of text: headings of lists of sources get a remark, marks in such a list parentheses.

    A line is held back as long as it may be such a heading, and whole within such a list. Code stays as it is.
    """

    def __init__(self, remark: str) -> None:
        """`remark` says in parentheses whose words they are."""
        self._remark = remark
        self._held = ""
        self._inside = False  # of a line whose beginning has been shown
        self._fenced = False
        self._listing = False

    def feed(self, text: str) -> str:
        """Add text; return what can be shown now."""
        text = self._held + text
        self._held = ""
        shown: list[str] = []
        while text:
            line, end, rest = text.partition("\n")
            if self._inside:
                shown.append(line + end)
            elif end or not self._undecided(line):
                shown.append(self._line(line) + end)
            else:
                self._held = line
                break
            self._inside = not end
            text = rest
        return "".join(shown)

    def flush(self) -> str:
        """Return the rest at the end of the stream."""
        held, self._held = self._held, ""
        return self._line(held) if held else ""

    def _undecided(self, line: str) -> bool:
        """Return whether more of a line is needed to decide what it is."""
        if len(line) > _MOST_HELD:
            return False
        start = line.lstrip()
        if not start or (len(start) < 3 and start in {"`", "``", "~", "~~"}):
            return True
        return not self._fenced and (self._listing or _may_be_heading(line))

    def _line(self, line: str) -> str:
        if _FENCE.match(line):
            self._fenced = not self._fenced
            return line
        if self._fenced:
            return line
        end = _heading_end(line)
        if end:
            self._listing = True
            return f"{line[:end]} ({self._remark}){_as_item(line[end:])}"
        if self._listing and _has_letters(line):
            self._listing = bool(_ITEM.match(line))
        return _as_item(line) if self._listing else line


def mark_headings(text: str) -> str:
    """Return text that is quoted from a document, with headings of lists of sources marked as the document's words."""
    marking = SourceHeadings(_("words of the document, not Millpond's list"))
    return marking.feed(text) + marking.flush()


def _as_item(text: str) -> str:
    """Return an item of a list with its marks in parentheses where it begins with one, as an item of ours does.

    Marks alone, or behind a statement, lead to real sources.
    """
    first = MARK.search(text)
    begins = first is not None and not _has_letters(_TAG.sub("", text[: first.start()]))
    return neutralize_marks(text) if begins and _has_letters(MARK.sub("", text)) else text


def _has_letters(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _may_be_heading(line: str) -> bool:
    """Return whether a line that is not complete may become a heading, or is one already."""
    if _heading_end(line):
        return True
    if _COLON.search(line) or len(line) > _MOST_HEAD or line.lstrip().startswith("|"):
        return False
    words, unspaced = _words(line)
    if unspaced:
        return not words and len(unspaced) <= _MOST_UNSPACED
    known = _NAMES | _BESIDE
    *whole, last = [word for word, _end in words] or [""]
    return len(words) <= _MOST_WORDS and all(word in known for word in whole) and any(w.startswith(last) for w in known)


def _heading_end(line: str) -> int:
    """Return where the words of a heading end, 0 where a line is none; what follows a colon does not count."""
    head = _COLON.split(line, maxsplit=1)[0]
    if len(head) > _MOST_HEAD or line.lstrip().startswith("|"):
        return 0
    words, unspaced = _words(head)
    if unspaced:
        named = any(name in unspaced for name in _UNSPACED_NAMES)
        return _last_letter(head) if named and not words and len(unspaced) <= _MOST_UNSPACED else 0
    names = {word for word, _end in words}
    if len(words) > _MOST_WORDS or not names & _NAMES or not names <= _NAMES | _BESIDE:
        return 0
    return words[-1][1]


def _words(text: str) -> tuple[list[tuple[str, int]], str]:
    """Return the words of a line, folded, each with its end, and the letters of scripts without spaces.

    Tags, digits, signs and invisible characters are left out.
    """
    words: list[tuple[str, int]] = []
    unspaced: list[str] = []
    open_word = False
    for at, character in enumerate(_TAG.sub(lambda tag: " " * len(tag[0]), text)):
        category = unicodedata.category(character)
        if category in {"Cf", "Mn"} and open_word:
            continue
        letters = unicodedata.normalize("NFKC", character).casefold() if category[0] == "L" else ""
        if not letters:
            open_word = False
        elif is_unspaced(letters[0]):
            unspaced.append(letters)
            open_word = False
        elif open_word:
            words[-1] = (words[-1][0] + letters, at + 1)
        else:
            words.append((letters, at + 1))
            open_word = True
    return words, "".join(unspaced)


def _last_letter(text: str) -> int:
    plain = _TAG.sub(lambda tag: " " * len(tag[0]), text)
    return max((at + 1 for at, character in enumerate(plain) if character.isalpha()), default=0)
