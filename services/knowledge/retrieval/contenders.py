"""Which of several passages that are about as good comes first: the one of which a single statement says most of what
is asked.

Cosines and BM25 tell what a passage is about as a whole; the words of a question may be spread all over one passage,
and stand together in the other, which answers it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from services.knowledge.retrieval.relation import FORM_WEIGHT, QuestionRelation, QuestionWords, stem_of
from services.knowledge.retrieval.wording import Asked
from services.knowledge.text.sentences import sentences
from services.knowledge.text.stems import bare
from services.knowledge.text.terms import terms
from services.knowledge.types import Hit

# What a statement adds to the score of its passage that says all that is asked. On XQuAD in English and Chinese, from
# .1 to .2 make no difference.
STATEMENT_WEIGHT = 0.15


def ranked_by_statement(
    hits: Sequence[Hit],
    asked: Asked,
    idf: Mapping[str, float],
    matches: Mapping[int, Mapping[str, float]],
    foreign: Collection[int] = (),
) -> list[Hit]:
    """Return hits, best first, with what their statements add to the scores of those that might be the best.

    Args:
        hits: the hits, best first.
        asked: the question.
        idf: inverse document frequency of each of its terms.
        matches: what was found of its terms, by chunk.
        foreign: the chunks in another script than the question's: their words neither speak for them nor against them.
    """
    contenders = [hit for hit in hits if hit.score > hits[0].score - STATEMENT_WEIGHT]
    if len(contenders) < 2 or all(hit.chunk_id in foreign for hit in contenders):
        return list(hits)
    words = QuestionWords(asked.located, idf)
    judged = []
    for hit in contenders:
        said = hit.score
        if hit.chunk_id not in foreign:
            said = _most_said(words, _stems(asked, matches.get(hit.chunk_id, {})), hit)
        judged.append(replace(hit, score=min(hit.score + STATEMENT_WEIGHT * said, 1.0)))
    judged.sort(key=lambda hit: -hit.score)
    return [*judged, *hits[len(contenders) :]]


def _stems(asked: Asked, matched: Collection[str]) -> list[tuple[str, str]]:
    """Return the stems, without the names of their languages, that a passage has of terms of a question."""
    return [
        (stem, term)
        for other in asked.alternatives
        if other.term in matched and (stem := bare(other.term)) != other.term
        for term, places in asked.located
        if places == other.places
    ]


def _most_said(words: QuestionWords, stems: Sequence[tuple[str, str]], hit: Hit) -> float:
    """Return the largest share of a question that a sentence of a passage has the words of, 0 to 1."""
    stated = [terms(sentence) for sentence in sentences(hit.text)]
    relation = QuestionRelation(words, stem_of(hit.document), stated)
    most = 0.0
    for sentence in stated:
        other = {term: FORM_WEIGHT for stem, term in stems if any(stem in word for word in sentence)}
        most = max(most, relation.coverage({**other, **relation.shared(sentence)}))
    return most
