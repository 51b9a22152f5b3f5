"""What lexical matches are worth on a scale from 0 to 1 that compares with cosines."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from services.knowledge.store.lexical import K1
from services.knowledge.types import RetrievalSettings

# On XQuAD in English and Chinese, unrelated questions rarely reach these scores and correct answers nearly always do.
BASELINE_COSINE = 0.40
BASELINE_LEXICAL = 0.12
# What lexical evidence adds for a chunk in another script than the question's, and the score that is relevant there.
# Right answers across languages and unrelated ones overlap: rather the right ones are kept than the wrong ones told.
# There unrelated passages of the question's own script, which have words against them, would come behind such ones:
# hence the weight.
FOREIGN_WEIGHT = 0.75
FOREIGN_LEXICAL = 0.5
FOREIGN_BASELINE = 0.09
# What a chunk's score is worth without a code or date of the question that other chunks have.
MISSING_CODE = 0.5
# The share of the baseline that is enough for a chunk with all codes and dates of the question.
CODE_BASELINE = 0.6
# The share that is needed where the question has a code that no document has: 5.5.4 is no answer to 5.4.5.
LACKING_BASELINE = 1.7


@dataclass(frozen=True, slots=True)
class Baseline:
    """The cosine, as it is worth, and the lexical evidence that relevant chunks reach."""

    cosine: float = BASELINE_COSINE
    lexical: float = BASELINE_LEXICAL


USUAL = Baseline()
# Of models whose cosines are scaled (`cosine_scale`), measured with multilingual-e5-small on XQuAD with the articles
# that are asked about left out: of words, and of pairs of characters where words are written without blanks.
SCALED = Baseline(0.44, 0.18)
SCALED_UNSPACED = Baseline(0.44, 0.02)


@dataclass(frozen=True, slots=True)
class Alternative:
    """A term that stands for the words of a query at `places`; `factor` is what a match is worth beside theirs."""

    term: str
    places: range
    factor: float = 1.0


def fusion_weights(settings: RetrievalSettings, trust: float, *, compares: bool) -> tuple[float, float]:
    """Return the weights of dense and lexical scores; trust plays no role where only one kind is asked for.

    `compares`: there is an index of vectors to compare with.
    """
    dense, lexical = max(settings.dense_weight, 0.0), max(settings.lexical_weight, 0.0)
    if not compares:
        return 0.0, 1.0
    if lexical == 0:
        return (1.0, 0.0) if dense else (trust, 1.0)
    return dense * trust, lexical


class LexicalEvidence:
    """Scores chunks for one query by their BM25 by term, from 0 to 1.

    The geometric mean of two shares: of the highest BM25 that a chunk could have, and of the query's words, or
    characters where there are no spaces, that the chunk covers, each counted by the rarest term that covers it. An
    alternative that a chunk has counts for the query's own terms at its places.
    """

    def __init__(
        self,
        located: Sequence[tuple[str, range]],
        idf: Mapping[str, float],
        alternatives: Sequence[Alternative] = (),
    ) -> None:
        """Score by `located`, the query's terms with their places; `alternatives` are terms that the corpus has."""
        self._places: dict[str, list[range]] = {}
        self._idf = {term: idf[term] for term, _places in located}
        # By alternative: its factor, its own idf, and the terms of the query that it stands for.
        self._alternatives: dict[str, tuple[float, float, set[str]]] = {}
        rarity: dict[str, float] = {}
        for other in alternatives:
            within = {term for term, places in located if set(places) <= set(other.places)} - {other.term}
            known = self._alternatives.setdefault(other.term, (other.factor, idf[other.term], set()))
            known[2].update(within)
            for term in within:
                rarity[term] = max(rarity.get(term, 0.0), idf[other.term])
        for term, rarest in rarity.items():
            # A word that no chunk has, but has in another form, is no rarer than that.
            self._idf[term] = min(self._idf[term], rarest)
        self._highest = sum(self._idf.values()) * (K1 + 1)
        weights: dict[int, float] = {}
        for term, places in located:
            self._places.setdefault(term, []).append(places)
            for place in places:
                weights[place] = max(weights.get(place, 0.0), self._idf[term])
        self._whole = sum(weights.values())

    def score(self, matched: Mapping[str, float]) -> float:
        """Return the score, 0 to 1, of a chunk with these terms."""
        if not matched or not self._highest:
            return 0.0
        credit, shares = self._credit(matched)
        return math.sqrt(min(sum(credit.values()) / self._highest, 1.0) * self._covered(shares))

    def coverage(self, matched: Mapping[str, float]) -> float:
        """Return the share of the query that these terms cover, 0 to 1."""
        return self._covered(self._credit(matched)[1])

    def _credit(self, matched: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
        """Return by term of the query its BM25, and what share of its places it covers."""
        credit = {term: score for term, score in matched.items() if term in self._idf}
        shares = dict.fromkeys(credit, 1.0)
        for term, score in matched.items():
            if term not in self._alternatives:
                continue
            factor, idf, within = self._alternatives[term]
            share = factor * min(score / (idf * (K1 + 1)), 1.0)
            for word in within:
                credit[word] = max(credit.get(word, 0.0), share * self._idf[word] * (K1 + 1))
                shares[word] = max(shares.get(word, 0.0), factor)
        return credit, shares

    def _covered(self, shares: Mapping[str, float]) -> float:
        covered: dict[int, float] = {}
        for term, share in shares.items():
            for places in self._places.get(term, ()):
                for place in places:
                    covered[place] = max(covered.get(place, 0.0), share * self._idf[term])
        return sum(covered.values()) / self._whole if self._whole else 0.0


@dataclass(frozen=True, slots=True)
class Fusion:
    """Joins lexical evidence and cosines of one query.

    `factors` is by kind of text how much a cosine counts beside that of prose. As far as it does not count, lexical
    evidence stands in its place, so that a chunk is never found by the embedder alone where that is not believed.
    `lacks_code`: the question has a code that no document has.
    """

    evidence: LexicalEvidence
    codes: Sequence[frozenset[str]]
    dense_weight: float
    lexical_weight: float
    factors: Mapping[str, float]
    lacks_code: bool = False
    usual: Baseline = USUAL

    def baseline(self, matched: Mapping[str, float], *, foreign: bool = False) -> float:
        """Return the score that a relevant chunk with these terms reaches; `foreign`: it is in another script."""
        if foreign:
            return FOREIGN_BASELINE
        weighted = self.dense_weight * self.usual.cosine + self.lexical_weight * self.usual.lexical
        named = bool(self.codes) and all(code & matched.keys() for code in self.codes)
        share = LACKING_BASELINE if self.lacks_code else CODE_BASELINE if named else 1.0
        return weighted / (self.dense_weight + self.lexical_weight) * share

    def scores(
        self,
        matches: Mapping[int, Mapping[str, float]],
        cosines: Mapping[int, float],
        kinds: Mapping[int, str],
        foreign: Collection[int] = (),
    ) -> dict[int, float]:
        """Return the score, 0 to 1, of each chunk that is in `matches` or `cosines`.

        Words of the question cannot be in `foreign` chunks, which are in another script: that none is there is no
        evidence; names and numbers that are count a little.
        """
        total = self.dense_weight + self.lexical_weight
        scores: dict[int, float] = {}
        for chunk in {*cosines, *matches}:
            matched = matches.get(chunk, {})
            lexical = self.evidence.score(matched)
            dense = max(cosines.get(chunk, 0.0), 0.0)
            if chunk in kinds:
                factor = self.factors.get(kinds[chunk], 1.0)
                dense = factor * dense + (1 - factor) * min(dense, lexical)
            if chunk in foreign:
                beside = FOREIGN_LEXICAL * self.lexical_weight / total * lexical
                score = FOREIGN_WEIGHT * min(dense + beside, 1.0)
            else:
                score = (self.dense_weight * dense + self.lexical_weight * lexical) / total
            if self.codes:
                missing = sum(not code & matched.keys() for code in self.codes)
                score *= MISSING_CODE**missing
            scores[chunk] = score
        return scores
