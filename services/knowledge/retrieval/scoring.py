"""What lexical matches are worth on a scale from 0 to 1 that compares with cosines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from services.knowledge.store.lexical import K1

# On XQuAD in English and Chinese, unrelated questions rarely reach these scores and correct answers nearly always do.
BASELINE_COSINE = 0.40
BASELINE_LEXICAL = 0.12


class LexicalEvidence:
    """Scores chunks for one query by their BM25 by term, from 0 to 1.

    The geometric mean of two shares: of the highest BM25 that a chunk could have, and of the query's words, or
    characters where there are no spaces, that the chunk covers, each counted by the rarest term that covers it.
    """

    def __init__(self, located: Sequence[tuple[str, range]], idf: Mapping[str, float]) -> None:
        self._places: dict[str, list[range]] = {}
        self._idf = idf
        self._highest = sum(idf[term] for term in {term for term, _places in located}) * (K1 + 1)
        weights: dict[int, float] = {}
        for term, places in located:
            self._places.setdefault(term, []).append(places)
            for place in places:
                weights[place] = max(weights.get(place, 0.0), idf[term])
        self._whole = sum(weights.values())

    def score(self, matched: Mapping[str, float]) -> float:
        """Return the score, 0 to 1, of a chunk with these terms."""
        if not matched or not self._highest:
            return 0.0
        return math.sqrt(min(sum(matched.values()) / self._highest, 1.0) * self.coverage(matched))

    def coverage(self, matched: Mapping[str, float]) -> float:
        """Return the share of the query that these terms cover, 0 to 1."""
        covered: dict[int, float] = {}
        for term in matched:
            for places in self._places.get(term, ()):
                for place in places:
                    covered[place] = max(covered.get(place, 0.0), self._idf[term])
        return sum(covered.values()) / self._whole if self._whole else 0.0
