"""What the cosines of an embedder mean: on one scale for all models, and for all pairs of scripts.

Cosines of unrelated texts are near 0 with some models and above .7 with others, and they are lower between languages
than within one: with multilingual-e5-small, English questions are at .74 of unrelated English passages and at .70 of
Chinese ones. So a cosine is told by how far it is above that of unrelated texts of the same two scripts, in standard
deviations of these. Models that put unrelated texts near 0 need no scale: weights and limits were measured on one of
them. What is unrelated is known of `parallel_texts`, which also show whether the model knows that a
question and its answer belong together, within a script and across two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.knowledge.retrieval.parallel_texts import QUESTIONS_AND_STATEMENTS

Vectors = NDArray[np.float32]
# A standard deviation on the common scale: that of all-MiniLM-L6-v2, on whose cosines weights and limits were measured.
UNIT = 0.1
# Cosines of unrelated English texts up to which a model's cosines are taken as they are.
_NEAR_ZERO = 0.3
_ENGLISH = ("LATIN", "LATIN")
# The lift of a right answer, in standard deviations, up to which a model does not know two scripts, and from which on
# it does.
_UNKNOWN_LIFT, _KNOWN_LIFT = 1.0, 3.0
_LEAST_SPREAD = 1e-6
# The statements count as so many passages of a corpus.
_PRIOR_PASSAGES = 24
# How much of a passage's popularity is taken from its cosine with a question in another script.
_POPULARITY_SHARE = 0.5
Pair = tuple[str, str]  # the script of the question, that of the passage


@dataclass(frozen=True, slots=True)
class CosineScale:
    """Cosines of unrelated texts, their standard deviation, and how much higher those of right answers are; `asked` are
    the vectors of the questions by script.
    """

    background: Mapping[Pair, float]
    lift: Mapping[Pair, float]
    spread: Mapping[Pair, float]
    asked: Mapping[str, Vectors]

    @property
    def is_needed(self) -> bool:
        """Whether the model's cosines of unrelated texts are far from 0."""
        return self.background[_ENGLISH] >= _NEAR_ZERO

    def adapted(self, passages: Mapping[str, Vectors]) -> CosineScale:
        """Return the scale for a corpus, by the vectors of some of its passages by script, float32 (n, d) each.

        The questions have nothing to do with it as a rule, and its passages are as long as they are; a few of them
        leave the scale as it is.
        """
        background, spread = dict(self.background), dict(self.spread)
        for asked, questions in self.asked.items():
            for script, vectors in passages.items():
                cosines, weight = questions @ vectors.T, len(vectors) / (len(vectors) + _PRIOR_PASSAGES)
                pair = asked, script
                background[pair] = weight * float(cosines.mean()) + (1 - weight) * self._of(self.background, *pair)
                spread[pair] = weight * float(cosines.std()) + (1 - weight) * self._of(self.spread, *pair)
        return replace(self, background=background, spread=spread)

    def popularity(self, vectors: Vectors, asked: str) -> Vectors:
        """Return the mean cosine of passages with unrelated questions of a script, float32 (n).

        Some passages are near to every question in another language (Lazaridou et al., https://aclanthology.org/P15-1027):
        part of that is taken from their cosines there.
        """
        questions = self.asked.get(asked)
        if questions is None:
            questions = np.concatenate(list(self.asked.values()))
        found: Vectors = vectors @ questions.mean(axis=0)
        return found

    def scaled(self, cosine: float, asked: str, script: str) -> float:
        """Return what a cosine between a question and a passage of these scripts is worth, 0 to 1."""
        if not self.is_needed:
            return min(max(cosine, 0.0), 1.0)
        above = cosine - self._of(self.background, asked, script)
        return min(max(above / max(self._of(self.spread, asked, script), _LEAST_SPREAD) * UNIT, 0.0), 1.0)

    def scaled_across(self, cosine: float, popularity: float, asked: str, script: str) -> float:
        """As `scaled`, for a passage in another script that has this `popularity`."""
        usual = self._of(self.background, asked, script)
        return self.scaled(cosine - _POPULARITY_SHARE * (popularity - usual), asked, script)

    def knows(self, asked: str, script: str) -> float | None:
        """Return how well the model knows answers in one script to questions in another, 0 to 1; None: not measured."""
        lift = self.lift.get((asked, script))
        if lift is None:
            return None
        return min(max((lift - _UNKNOWN_LIFT) / (_KNOWN_LIFT - _UNKNOWN_LIFT), 0.0), 1.0)

    @staticmethod
    def _of(values: Mapping[Pair, float], asked: str, script: str) -> float:
        found = values.get((asked, script))
        if found is not None:
            return found
        alike = [value for (one, other), value in values.items() if (one == other) == (asked == script)]
        return sum(alike) / len(alike)


def measure_scale(ask: Callable[[Sequence[str]], Vectors], state: Callable[[Sequence[str]], Vectors]) -> CosineScale:
    """Measure the scale of an embedder by its vectors of questions and of statements."""
    languages = QUESTIONS_AND_STATEMENTS
    asked = ask([question for _script, facts in languages for question, _statement in facts])
    stated = state([statement for _script, facts in languages for _question, statement in facts])
    facts = len(languages[0][1])
    cosines = (asked @ stated.T).reshape(len(languages), facts, len(languages), facts)
    same = np.eye(facts, dtype=bool)
    unrelated: dict[Pair, list[NDArray[np.float32]]] = defaultdict(list)
    right: dict[Pair, list[NDArray[np.float32]]] = defaultdict(list)
    for one, (script, _facts) in enumerate(languages):
        for two, (other, _facts) in enumerate(languages):
            block = cosines[one, :, two]
            unrelated[script, other].append(block[~same])
            right[script, other].append(block[same])
    background = {pair: float(np.mean(values)) for pair, values in unrelated.items()}
    rests = [value - background[pair] for pair, values in unrelated.items() for value in values]
    spread = max(float(np.concatenate(rests).std()), _LEAST_SPREAD)
    lift = {pair: (float(np.mean(values)) - background[pair]) / spread for pair, values in right.items()}
    vectors: dict[str, list[Vectors]] = defaultdict(list)
    for place, (script, _facts) in enumerate(languages):
        vectors[script].append(asked[place * facts : (place + 1) * facts])
    return CosineScale(
        background,
        lift,
        dict.fromkeys(background, spread),
        {script: np.concatenate(found) for script, found in vectors.items()},
    )
