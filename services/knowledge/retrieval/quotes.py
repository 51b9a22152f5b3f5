"""Extractive answers without a language model: the sentences of the hits that answer best, quoted verbatim."""

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

# A sentence's score is its coverage of the question plus twice the score of its passage.
_PASSAGE_WEIGHT = 2.0
# The best sentences by coverage are also compared with the question by cosine. More of them, or a greater weight, found
# no more answers on XQuAD; each costs the embedding of a sentence.
_RERANKED = 6
_COSINE_WEIGHT = 0.5
# The coverage of a title counts half: it names a subject and states nothing about it.
_TITLE_WEIGHT = 0.5
# Least shares of the best sentence's score, its coverage and its passage's score for a further quote.
_MIN_SCORE_SHARE = 0.5
_MIN_OWN_SHARE = 0.3
_MIN_PASSAGE_SHARE = 0.5
# "2", "2.1", "IV." or "(b)" before a title, and its marks in Markdown.
_NUMBERING = re.compile(r"^[#\s]*(?:[(（]?(?:\d+(?:\.\d+)*|[ivxlc]+|[a-z])[.):、）]?\s+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RankedPassage:
    """A hit's text and its fused score."""

    text: str
    score: float


@dataclass(slots=True)
class _Candidate:
    """A sentence with its own evidence for the question (`own`) and the score of its passage."""

    hit: int
    text: str
    own: float
    passage: float
    title: bool

    def add_evidence(self, amount: float) -> None:
        """Add to the sentence's own evidence; that of titles counts half."""
        self.own += amount * (_TITLE_WEIGHT if self.title else 1.0)

    @property
    def score(self) -> float:
        return self.own + _PASSAGE_WEIGHT * self.passage

    def is_close_to(self, best: _Candidate) -> bool:
        return (
            self.score >= _MIN_SCORE_SHARE * best.score
            and self.own >= _MIN_OWN_SHARE * best.own
            and self.passage >= _MIN_PASSAGE_SHARE * best.passage
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
    """Return at most `limit` sentences of `passages`, best first; fewer where the others score much lower.

    Args:
        question: the question.
        located: its terms with their places (`terms.located_terms`).
        idf: inverse document frequency of each term.
        passages: the hits, best first.
        limit: most sentences in all.
        trust: how well `embed` knows the question's language, 0 to 1.
        embed: text to normalised vector (d,); left out, sentences are not compared by meaning.
    """
    best = sorted(_candidates(LexicalEvidence(located, idf), idf.keys(), passages), key=lambda one: -one.score)
    highest = 1 + _PASSAGE_WEIGHT
    if embed is not None and trust > 0 and len(best) > 1:
        asked = embed(question)
        for candidate in best[:_RERANKED]:
            candidate.add_evidence(_COSINE_WEIGHT * trust * max(float(embed(candidate.text) @ asked), 0.0))
        best[:_RERANKED] = sorted(best[:_RERANKED], key=lambda one: -one.score)
        highest += _COSINE_WEIGHT * trust
    chosen = [candidate for candidate in best if candidate.is_close_to(best[0])][:limit]
    return [Quote(candidate.hit, candidate.text, candidate.score / highest) for candidate in chosen]


def _candidates(
    evidence: LexicalEvidence, asked: AbstractSet[str], passages: Sequence[RankedPassage]
) -> list[_Candidate]:
    """Return the sentences that add words to the question; if none does, those that repeat it."""
    informative: dict[tuple[str, ...], _Candidate] = {}
    repeating: dict[tuple[str, ...], _Candidate] = {}
    for number, passage in enumerate(passages):
        for sentence in marked_sentences(passage.text):
            words = tuple(terms(sentence.text))
            if not words:
                continue
            # A table cell also counts for the words of its column header.
            known = asked & {*words, *terms(sentence.header)}
            candidate = _Candidate(number, sentence.text, 0.0, passage.score, sentence.title)
            candidate.add_evidence(evidence.coverage(dict.fromkeys(known, 1.0)))
            found = informative if _adds_words(sentence, asked) else repeating
            # Chunks overlap: a sentence in two of them is quoted from the better one.
            if words not in found or found[words].score < candidate.score:
                found[words] = candidate
    return list((informative or repeating).values())


def _adds_words(sentence: Sentence, asked: AbstractSet[str]) -> bool:
    """Return whether a sentence has a word, or a character of an unspaced script, that the terms `asked` do not cover.

    The numbering of headings does not count, nor do header rows of tables.
    """
    if sentence.labels:
        return False
    located = located_terms(_NUMBERING.sub("", sentence.text) if sentence.title else sentence.text)
    places = {place for _term, covered in located for place in covered}
    return bool(places - {place for term, covered in located if term in asked for place in covered})
