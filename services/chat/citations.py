"""Citations: filters over the text that a model streams, and the match of its citation marks to the passages.

Passages, questions and model output are untrusted text: `sanitize` and `neutralize_marks` make them safe to use.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from services.chat.types import Citation, Passage
from services.core.i18n import _

MARK = re.compile(r"[\[【［]\s*(\d{1,3}(?:\s*[,;，、；]\s*\d{1,3})*)\s*[\]】］]")
_MAYBE_MARK = re.compile(r"[\[【［][\d\s,;，、；]{0,40}\Z")
_NUMBER = re.compile(r"\d+")
QUOTE_CHARACTERS = 400
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+|(?<=[。！？；])[”’」』）]*|\n+")
_WORD = re.compile(r"\w+")


def make_citation(number: int, passage: Passage, quote: str = "", *, cited: bool = True) -> Citation:
    """Return a citation of `passage` with a number."""
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


def neutralize_marks(text: str) -> str:
    """Return a passage's text with its own bracketed numbers in parentheses: they cite something else."""
    return MARK.sub(r"(\1)", text)


def strip_marks(text: str) -> str:
    """Return `text` without citation marks: those of an earlier answer refer to other passages."""
    missing = rf"\s*\[\d{{1,3}}: {re.escape(_('no such source'))}\]"
    return re.sub(missing, "", re.sub(r"\s*" + MARK.pattern, "", text))


class CitationFilter:
    """Rewrites citation marks in a stream: `[1, 3]` becomes `[1][3]`, a number without a passage `[7: no such source]`.

    The stream may split a mark anywhere: what could still become one is buffered, at most 41 characters. Code keeps
    its brackets.
    """

    def __init__(self, passages: int) -> None:
        self._passages = passages
        self._buffer = ""
        self._line = ""  # the present line as far as it was shown
        self._fenced = False
        self._breaks = ""  # what would make a link of the mark before it

    def feed(self, text: str) -> str:
        """Add streamed text; return what can be shown now."""
        text = self._buffer + text
        unfinished = _MAYBE_MARK.search(text)
        cut = unfinished.start() if unfinished else len(text)
        self._buffer = text[cut:]
        return self._rewrite(text[:cut])

    def flush(self) -> str:
        """Return the buffered rest at the end of the stream."""
        rest, self._buffer = self._buffer, ""
        return self._rewrite(rest)

    def _rewrite(self, text: str) -> str:
        shown: list[str] = []
        at = 0
        for mark in MARK.finditer(text):
            self._follow(text[at : mark.start()])
            between = text[at : mark.start()]
            shown += [self._gap(between), between, mark[0] if self._in_code() else self._valid(mark)]
            if not self._in_code():
                self._breaks = "(" if self._line.strip() else "(:"
            self._line += mark[0]
            at = mark.end()
        self._follow(text[at:])
        return "".join([*shown, self._gap(text[at:]), text[at:]])

    def _gap(self, following: str) -> str:
        """Return the space that keeps what follows a mark from making a link of it: `[1](address)`, `[1]: address`."""
        if not following:
            return ""
        breaks, self._breaks = self._breaks, ""
        return " " if following[0] in breaks else ""

    def _follow(self, text: str) -> None:
        """Note the line that the text has come to, and whether it is in a block of code."""
        *ended, line = text.split("\n")
        for part in ended:
            self._fenced ^= (self._line + part).lstrip().startswith("```")
            self._line = ""
        self._line += line

    def _in_code(self) -> bool:
        return self._fenced or self._line.lstrip().startswith("```") or self._line.count("`") % 2 == 1

    def _valid(self, match: re.Match[str]) -> str:
        numbers = dict.fromkeys(int(n) for n in _NUMBER.findall(match[1]))
        return "".join(f"[{n}]" if 1 <= n <= self._passages else f"[{n}: {_('no such source')}]" for n in numbers)


def match_citations(answer: str, passages: Sequence[Passage]) -> tuple[Citation, ...]:
    """Return the citations of a finished answer by number, each with the best matching sentence of its passage.

    If the answer cites nothing, all passages are returned with `cited` false: they are what it was written from.
    """
    claims: dict[int, list[str]] = {}
    for claim, numbers in _claims(answer):
        for number in numbers:
            if 1 <= number <= len(passages):
                claims.setdefault(number, []).append(claim)
    if not claims:
        return tuple(
            make_citation(i, passage, best_sentence(passage.text, answer), cited=False)
            for i, passage in enumerate(passages, start=1)
        )
    return tuple(
        make_citation(number, passages[number - 1], best_sentence(passages[number - 1].text, " ".join(claims[number])))
        for number in sorted(claims)
    )


def best_sentence(passage: str, claim: str) -> str:
    """Return the sentence of `passage` that shares most words with `claim`, relative to its length; "" if none does."""
    wanted = word_features(claim)
    best, best_score = "", 0.0
    for sentence in sentences(passage):
        have = word_features(sentence)
        shared = len(wanted & have)
        score = shared / (len(have) + 8) if have else 0.0  # the constant keeps two-word sentences from winning
        if score > best_score:
            best, best_score = sentence, score
    return best[:QUOTE_CHARACTERS]


def _claims(answer: str) -> list[tuple[str, list[int]]]:
    """Return the claims of an answer with the numbers they cite: the last sentence before each mark."""
    claims: list[tuple[str, list[int]]] = []
    start = 0
    for match in MARK.finditer(answer):
        before = sentences(answer[start : match.start()])
        claim = before[-1] if before else (claims[-1][0] if claims else "")
        claims.append((claim, [int(n) for n in _NUMBER.findall(match[1])]))
        start = match.end()
    return claims


def sanitize(text: str) -> str:
    """Return `text` without what no database stores: NUL is dropped, lone surrogates are replaced."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def sentences(text: str) -> list[str]:
    """Split `text` after sentence ends and line ends; every piece is a substring of it."""
    pieces: list[str] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        pieces.append(text[start : match.end()].strip())
        start = match.end()
    pieces.append(text[start:].strip())
    return [piece for piece in pieces if piece]


def word_features(text: str) -> set[str]:
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
