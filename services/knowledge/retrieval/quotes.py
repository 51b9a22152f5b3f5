"""An answer without a language model: the sentences of the hits that answer best, word for word."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.knowledge.retrieval.scoring import LexicalEvidence
from services.knowledge.text.sentences import Sentence, marked_sentences
from services.knowledge.text.terms import located_terms, terms
from services.knowledge.types import Quote

# A sentence is worth what it says about the question, and twice the score of the passage that it stands in.
_PASSAGE_WEIGHT = 2.0
# The best sentences so far are compared with the question by meaning, too. More of them, or a greater weight, found no
# more answers on XQuAD; each costs the embedding of a sentence.
_COMPARED = 6
_MEANING_WEIGHT = 0.5
# What a title says counts by half: it names a subject and states nothing about it.
_TITLE_SHARE = 0.5
# Beside the best sentence, those are left out that are worth less than this share of it, ...
_LEAST_SHARE = 0.5
# ... that say less than this share of what it says themselves, whatever passage they stand in, ...
_LEAST_OWN_SHARE = 0.3
# ... or whose passage has less than this share of its passage's score.
_LEAST_PASSAGE_SHARE = 0.5
# "2", "2.1", "IV." or "(b)" before a title, and its marks in Markdown.
_NUMBERING = re.compile(r"^[#\s]*(?:[(（]?(?:\d+(?:\.\d+)*|[ivxlc]+|[a-z])[.):、）]?\s+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RankedPassage:
    """A hit's text and its fused score."""

    text: str
    score: float


@dataclass(slots=True)
class _Candidate:
    """A sentence: what it says about the question, and the score of its passage."""

    hit: int
    text: str
    own: float
    passage: float
    title: bool

    def says(self, much: float) -> None:
        """Add to what the sentence says."""
        self.own += much * (_TITLE_SHARE if self.title else 1.0)

    @property
    def worth(self) -> float:
        return self.own + _PASSAGE_WEIGHT * self.passage

    def stands_beside(self, best: _Candidate) -> bool:
        return (
            self.worth >= _LEAST_SHARE * best.worth
            and self.own >= _LEAST_OWN_SHARE * best.own
            and self.passage >= _LEAST_PASSAGE_SHARE * best.passage
        )


def quote(
    question: str,
    located: Sequence[tuple[str, range]],
    idf: Mapping[str, float],
    passages: Sequence[RankedPassage],
    limit: int,
    *,
    trust: float = 0.0,
    embed: Callable[[str], NDArray[np.float32]] | None = None,
) -> list[Quote]:
    """Return at most `limit` sentences out of `passages`, best first; fewer where the others add nothing.

    Args:
        question: what was asked.
        located: its terms with their places (`segmentation.located_terms`).
        idf: how much each of the terms says.
        passages: the hits, best first.
        limit: most sentences in all.
        trust: how well `embed` knows the question's language, 0 to 1.
        embed: text to normalised vector (d,); left out, sentences are not compared by meaning.
    """
    best = sorted(_candidates(LexicalEvidence(located, idf), idf.keys(), passages), key=lambda one: -one.worth)
    highest = 1 + _PASSAGE_WEIGHT
    if embed is not None and trust > 0 and len(best) > 1:
        asked = embed(question)
        for candidate in best[:_COMPARED]:
            candidate.says(_MEANING_WEIGHT * trust * max(float(embed(candidate.text) @ asked), 0.0))
        best[:_COMPARED] = sorted(best[:_COMPARED], key=lambda one: -one.worth)
        highest += _MEANING_WEIGHT * trust
    chosen = [candidate for candidate in best if candidate.stands_beside(best[0])][:limit]
    return [Quote(candidate.hit, candidate.text, candidate.worth / highest) for candidate in chosen]


def _candidates(
    evidence: LexicalEvidence, asked: AbstractSet[str], passages: Sequence[RankedPassage]
) -> list[_Candidate]:
    """Return the sentences that tell something beyond the question; if none does, those that repeat it."""
    telling: dict[tuple[str, ...], _Candidate] = {}
    repeating: dict[tuple[str, ...], _Candidate] = {}
    for number, passage in enumerate(passages):
        for sentence in marked_sentences(passage.text):
            words = tuple(terms(sentence.text))
            if not words:
                continue
            # A cell means what its column is called.
            known = asked & {*words, *terms(sentence.header)}
            candidate = _Candidate(number, sentence.text, 0.0, passage.score, sentence.title)
            candidate.says(evidence.coverage(dict.fromkeys(known, 1.0)))
            found = telling if _tells(sentence, asked) else repeating
            # Chunks overlap: what stands in two of them is quoted from the better one.
            if words not in found or found[words].worth < candidate.worth:
                found[words] = candidate
    return list((telling or repeating).values())


def _tells(sentence: Sentence, asked: AbstractSet[str]) -> bool:
    """Tell whether a sentence has a word, or character where there are no spaces, that is not among the terms `asked`.

    The number of a heading is none, and the labels of a table are not what it says.
    """
    if sentence.labels:
        return False
    located = located_terms(_NUMBERING.sub("", sentence.text) if sentence.title else sentence.text)
    places = {place for _term, covered in located for place in covered}
    return bool(places - {place for term, covered in located if term in asked for place in covered})
