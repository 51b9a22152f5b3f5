"""Citations: numbers in a streamed text, matched to the passages that the model was given."""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.chat.types import Citation, Passage
from services.chat.wording import features, sentences

_MARK = re.compile(r"[\[【［]\s*(\d{1,3}(?:\s*[,;，、；]\s*\d{1,3})*)\s*[\]】］]")
_MAYBE_MARK = re.compile(r"[\[【［][\d\s,;，、；]{0,40}\Z")
_NUMBER = re.compile(r"\d+")
QUOTE_CHARACTERS = 400


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
