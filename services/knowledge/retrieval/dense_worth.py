"""What the cosines of found chunks are worth for a question, by the scripts of both."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.knowledge.retrieval.cosine_scale import CosineScale
from services.knowledge.retrieval.scoring import SCALED, SCALED_UNSPACED, USUAL, Baseline
from services.knowledge.text.scripts import UNSPACED, main_script, related_scripts


@dataclass(frozen=True, slots=True)
class Compared:
    """Cosines with a question by chunk, the chunks' vectors in the same order, float32 (n, d), and the beginnings of
    their texts.
    """

    cosines: dict[int, float] = field(default_factory=dict)
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    beginnings: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Worth:
    """Cosines on the common scale by chunk, the chunks in another script than the question's, and what is usual for
    relevant ones.
    """

    cosines: Mapping[int, float]
    foreign: Collection[int] = ()
    usual: Baseline = USUAL


def worth_of(scale: CosineScale, question: str, compared: Compared) -> Worth:
    """Return what cosines are worth; chunks in a script that the model does not relate to the question's, nothing."""
    asked = main_script(question)
    popularity = scale.popularity(compared.vectors, asked)
    worth: dict[int, float] = {}
    foreign: set[int] = set()
    for place, (chunk, cosine) in enumerate(compared.cosines.items()):
        script = main_script(compared.beginnings[chunk])
        known = None if not asked or not script or related_scripts(asked, script) else scale.knows(asked, script)
        if known is None:
            worth[chunk] = scale.scaled(cosine, asked, script)
        else:
            worth[chunk] = known * scale.scaled_across(cosine, float(popularity[place]), asked, script)
            if known:
                foreign.add(chunk)
    if not scale.is_needed:
        return Worth(worth, foreign)
    return Worth(worth, foreign, SCALED_UNSPACED if asked in UNSPACED else SCALED)


def statement_worth(scale: CosineScale, question: str) -> Callable[[float, str], float]:
    """Return what the cosine of a question and a statement is worth, 0 to 1; `scale` is that of single sentences."""
    asked = main_script(question)
    return lambda cosine, statement: scale.scaled(cosine, asked, main_script(statement))
