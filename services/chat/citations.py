"""Citations: numbers in a streamed text, matched to the passages that the model was given.

What reasoning models write before their answer is not part of it.

Small operations on text that is not ours: questions, passages, what a model wrote.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from services.chat.types import Citation, Passage

_MARK = re.compile(r"[\[【［]\s*(\d{1,3}(?:\s*[,;，、；]\s*\d{1,3})*)\s*[\]】］]")
_MAYBE_MARK = re.compile(r"[\[【［][\d\s,;，、；]{0,40}\Z")
_NUMBER = re.compile(r"\d+")
QUOTE_CHARACTERS = 400
OPENING = "<think>"
CLOSING = "</think>"
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+|(?<=[。！？；])[”’」』）]*|\n+")
_WORD = re.compile(r"\w+")


def citation_of(number: int, passage: Passage, quote: str = "", *, cited: bool = True) -> Citation:
    """Return the citation with `number` of a passage."""
    return Citation(
        number=number,
        chunk_id=passage.chunk_id,
        document_id=passage.document_id,
        document=passage.document,
        page=passage.page,
        sheet=passage.sheet,
        heading=passage.heading,
        quote=quote,
        score=passage.score,
        cited=cited,
    )


def unmarked(text: str) -> str:
    """Return a passage's text with its own bracketed numbers in round brackets: they cite something else."""
    return _MARK.sub(r"(\1)", text)


def strip_marks(text: str) -> str:
    """Return `text` without citation marks: those of an earlier answer mean other passages."""
    return re.sub(r"\s*" + _MARK.pattern, "", text)


class CitationFilter:
    """Rewrites citation marks in a stream: `[1, 3]` becomes `[1][3]`, numbers that no passage has are dropped.

    A mark may be cut anywhere by the stream: what could still become one is held back, at most 41 characters.
    """

    def __init__(self, passages: int) -> None:
        self._passages = passages
        self._held = ""

    def feed(self, text: str) -> str:
        """Return what can be shown now."""
        text = self._held + text
        unfinished = _MAYBE_MARK.search(text)
        cut = unfinished.start() if unfinished else len(text)
        # The space before a mark is held too: it goes with a mark that is dropped.
        while unfinished and cut > 0 and text[cut - 1] == " ":
            cut -= 1
        if not unfinished:
            cut = len(text.rstrip(" "))
        self._held = text[cut:]
        return self._rewrite(text[:cut])

    def flush(self) -> str:
        """Return what was held back; nothing comes after it."""
        rest, self._held = self._held, ""
        return self._rewrite(rest)

    def _rewrite(self, text: str) -> str:
        return re.sub(r"( *)" + _MARK.pattern, self._valid, text)

    def _valid(self, match: re.Match[str]) -> str:
        numbers = dict.fromkeys(int(n) for n in _NUMBER.findall(match[2]))
        marks = "".join(f"[{n}]" for n in numbers if 1 <= n <= self._passages)
        return match[1] + marks if marks else ""


def cited(answer: str, passages: Sequence[Passage]) -> tuple[Citation, ...]:
    """Return the citations of a finished answer, by number, each with the words of its passage that fit best.

    Where the answer cites nothing, all passages are returned with `cited` false: they are what it was written from.
    """
    claims: dict[int, list[str]] = {}
    for claim, numbers in _claims(answer):
        for number in numbers:
            if 1 <= number <= len(passages):
                claims.setdefault(number, []).append(claim)
    if not claims:
        return tuple(
            citation_of(i, passage, best_sentence(passage.text, answer), cited=False)
            for i, passage in enumerate(passages, start=1)
        )
    return tuple(
        citation_of(number, passages[number - 1], best_sentence(passages[number - 1].text, " ".join(claims[number])))
        for number in sorted(claims)
    )


def best_sentence(passage: str, claim: str) -> str:
    """Return the sentence of `passage` that shares most with `claim`, relative to its length; "" if none does."""
    wanted = features(claim)
    best, best_score = "", 0.0
    for sentence in sentences(passage):
        have = features(sentence)
        shared = len(wanted & have)
        score = shared / (len(have) + 8) if have else 0.0  # the constant keeps two-word sentences from winning
        if score > best_score:
            best, best_score = sentence, score
    return best[:QUOTE_CHARACTERS]


def _claims(answer: str) -> list[tuple[str, list[int]]]:
    """Return the text before each group of marks, back to the mark or sentence before it, with its numbers."""
    claims: list[tuple[str, list[int]]] = []
    start = 0
    for match in _MARK.finditer(answer):
        before = sentences(answer[start : match.start()])
        claim = before[-1] if before else (claims[-1][0] if claims else "")
        claims.append((claim, [int(n) for n in _NUMBER.findall(match[1])]))
        start = match.end()
    return claims


class ReasoningFilter:
    """Drops one `<think>...</think>` at the beginning of a stream, however the stream cuts it."""

    def __init__(self) -> None:
        self._held = ""
        self._thinking = False
        self._answering = False

    def feed(self, text: str) -> str:
        """Return what belongs to the answer."""
        if self._answering:
            return text
        self._held += text
        if not self._thinking:
            begin = self._held.lstrip()
            if len(begin) < len(OPENING) and OPENING.startswith(begin):
                return ""
            if not begin.startswith(OPENING):
                return self._answer(self._held)
            self._thinking = True
        end = self._held.find(CLOSING)
        if end < 0:
            self._held = self._held[-len(CLOSING) :]  # what could be the beginning of the end
            return ""
        return self._answer(self._held[end + len(CLOSING) :])

    def flush(self) -> str:
        """Return what was held back because it looked like the beginning of a thought; nothing comes after it."""
        return "" if self._answering or self._thinking else self._answer(self._held)

    def _answer(self, text: str) -> str:
        self._answering = True
        self._held = ""
        return text


def storable(text: str) -> str:
    """Return `text` without what no database takes: NUL and lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def is_blank(text: str) -> bool:
    """Return whether a person would see nothing: only white space, control and format characters."""
    return all(c.isspace() or unicodedata.category(c) in {"Cc", "Cf", "Cs", "Cn"} for c in text)


def sentences(text: str) -> list[str]:
    """Split `text` after sentence ends and line ends; every piece is a substring of it."""
    pieces: list[str] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        pieces.append(text[start : match.end()].strip())
        start = match.end()
    pieces.append(text[start:].strip())
    return [piece for piece in pieces if piece]


def features(text: str) -> set[str]:
    """Return the words of `text` in lower case; of scripts written without spaces, the pairs of characters."""
    found: set[str] = set()
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        if any(is_unspaced(c) for c in word):
            found.update(word[i : i + 2] for i in range(max(1, len(word) - 1)))
        else:
            found.add(word)
    return found


def is_unspaced(character: str) -> bool:
    """Return whether `character` belongs to a script that puts no spaces between words."""
    name = unicodedata.name(character, "") if character > "\u0e00" else ""
    return name.startswith(("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR"))
