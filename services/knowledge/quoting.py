"""An answer without a language model: the sentences of the hits that answer best, word for word."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.knowledge.scoring import LexicalEvidence
from services.knowledge.segmentation import terms
from services.knowledge.sentences import sentences
from services.knowledge.types import Quote

# A sentence is worth what it covers of the question, and twice the score of the passage that it stands in.
_PASSAGE_WEIGHT = 2.0
# The best sentences so far are compared with the question by meaning, too. More of them, or a greater weight, found no
# more answers on XQuAD; each costs the embedding of a sentence.
_COMPARED = 6
_MEANING_WEIGHT = 0.5
# Sentences that are worth less than this share of the best one are left out.
_LEAST_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Passage:
    """A hit's text and its fused score."""

    text: str
    score: float


@dataclass(slots=True)
class _Candidate:
    hit: int
    text: str
    words: tuple[str, ...]
    worth: float


def quote(
    question: str,
    located: Sequence[tuple[str, range]],
    idf: Mapping[str, float],
    passages: Sequence[Passage],
    limit: int,
    *,
    trust: float = 0.0,
    embed: Callable[[str], NDArray[np.float32]] | None = None,
) -> list[Quote]:
    """Return at most `limit` sentences out of `passages`, best first.

    Args:
        question: what was asked.
        located: its terms with their places (`segmentation.located_terms`).
        idf: how much each of the terms says.
        passages: the hits, best first.
        limit: most sentences in all.
        trust: how well `embed` knows the question's language, 0 to 1.
        embed: text to normalised vector (d,); left out, sentences are not compared by meaning.
    """
    evidence = LexicalEvidence(located, idf)
    candidates: dict[tuple[str, ...], _Candidate] = {}
    for number, passage in enumerate(passages):
        for text in sentences(passage.text):
            words = tuple(terms(text))
            matched = dict.fromkeys(idf.keys() & set(words), 1.0)
            worth = evidence.coverage(matched) + _PASSAGE_WEIGHT * passage.score
            # Chunks overlap: what stands in two of them is quoted from the better one.
            if words and (words not in candidates or candidates[words].worth < worth):
                candidates[words] = _Candidate(number, text, words, worth)
    best = sorted(candidates.values(), key=lambda candidate: -candidate.worth)
    highest = 1 + _PASSAGE_WEIGHT
    if embed is not None and trust > 0 and len(best) > 1:
        asked = embed(question)
        for candidate in best[:_COMPARED]:
            candidate.worth += _MEANING_WEIGHT * trust * max(float(embed(candidate.text) @ asked), 0.0)
        best[:_COMPARED] = sorted(best[:_COMPARED], key=lambda candidate: -candidate.worth)
        highest += _MEANING_WEIGHT * trust
    chosen = [candidate for candidate in best[:limit] if candidate.worth >= _LEAST_SHARE * best[0].worth]
    return [Quote(candidate.hit, candidate.text, candidate.worth / highest) for candidate in chosen]
