"""Language trust: how well the embedder knows the script of a text, measured on the user's own documents.

One sentence is drawn from each of a sample of chunks in one script. With that sentence as the query, the embedder
should rank the rest of its chunk first. How often it does, compared with lexical search, is the weight of dense scores
for questions in that script. No list of languages is involved.

With too few chunks the tokenizer gives a prior: a script that it does not know, or spells out letter by letter, was
not in the embedder's training data.
"""

from __future__ import annotations

import math
import random
import threading
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from services.core.database import Database
from services.knowledge.store.chunks import ChunkStore
from services.knowledge.store.trust import MeasuredTrust, TrustStore
from services.knowledge.text.sentences import sentences
from services.knowledge.text.terms import fold, query_terms, terms

if TYPE_CHECKING:
    from services.knowledge.retrieval.encoder_cache import TextEncoder

Vectors = NDArray[np.float32]
# Queries per script, and chunks sampled to find them.
SAMPLES = 48
CHUNKS_SAMPLED = 480
# With fewer, ranking first is no evidence.
MIN_SAMPLES = 8
# The tokenizer's prior counts as much as so many queries.
PRIOR_WEIGHT = 8
# A lexical search that fails on more than half of the queries does not excuse the embedder's failures.
MIN_CEILING = 0.5
_MIN_LETTERS = 8
# Texts that share more than this of their terms are near-duplicates: one of them is enough.
_NEAR_DUPLICATE = 0.5
_PRIOR_LETTERS = 1000
_ENTRY_BYTES = 230


class LanguageTrust:
    """Trust in the embedder by script, 0 (none) to 1; thread-safe."""

    def __init__(self, database: Database, chunks: ChunkStore, embedder: TextEncoder) -> None:
        self._store = TrustStore(database)
        self._chunks = chunks
        self._embedder = embedder
        self._measured: dict[str, MeasuredTrust] | None = None
        self._measured_chunks = 0
        self._measuring = threading.Lock()

    def for_text(self, text: str) -> float:
        """Return the trust for a question: the mean of its scripts, weighted by letters; 1 without letters."""
        measured = self._known()
        total = 0.0
        shares = script_shares(text)
        for script, share in shares.items():
            found = measured.get(script)
            total += share * (found.trust if found else self._prior(letters_of(text, script)))
        return min(total, 1.0) if shares else 1.0

    def measure(self, cancelled: Callable[[], bool] = lambda: False) -> dict[str, MeasuredTrust]:
        """Measure every script of the corpus and store the results; does nothing if the corpus changed little since.

        Takes some seconds of embedding. Returns the measurements by script.

        Raises:
            CancelledError: `cancelled` returned true; the measurements so far are kept.
        """
        with self._measuring:
            ids, _groups = self._chunks.active_ids()
            if abs(len(ids) - self._measured_chunks) * 2 <= self._measured_chunks:
                return self._known()
            chance = random.Random(len(ids))  # noqa: S311 - a sample, the same one for the same corpus
            for script, (pairs, text) in self._sample([int(i) for i in ids], chance).items():
                if len(pairs) < MIN_SAMPLES:
                    continue
                measured = {script: self._measure_script(pairs, self._prior(letters_of(text, script)), cancelled)}
                self._store.save(self._embedder.fingerprint, measured)
                self._measured = {**self._known(), **measured}
            self._measured_chunks = len(ids)
            return self._known()

    def _known(self) -> dict[str, MeasuredTrust]:
        if self._measured is None:
            self._measured = self._store.load(self._embedder.fingerprint)
        return self._measured

    def _prior(self, letters: str) -> float:
        """Return the tokenizer's prior for a script: share of known tokens times (mean token length - 1), at most 1."""
        letters = letters[:_PRIOR_LETTERS]
        tokens = self._embedder.token_count(letters)
        if not tokens:
            return 1.0
        length = sum(map(len, letters.split())) / tokens
        return (1 - self._embedder.unknown_share(letters)) * min(max(length - 1, 0.0), 1.0)

    def _sample(self, ids: list[int], chance: random.Random) -> dict[str, tuple[list[tuple[str, str]], str]]:
        """Return by script (sentence, rest of its chunk) pairs, and some text."""
        pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
        rest_terms: list[frozenset[str]] = []
        seen: dict[str, str] = {}
        chosen = chance.sample(ids, min(CHUNKS_SAMPLED, len(ids)))
        texts = {chunk: text for batch in self._chunks.iter_texts(chosen) for chunk, text in batch}
        for text in (texts[chunk] for chunk in chosen if chunk in texts):
            script = next(iter(script_shares(text)), "")
            if not script or len(pairs[script]) >= SAMPLES:
                continue
            seen.setdefault(script, text)
            parts = sentences(text)
            asked = chance.choice(parts) if len(parts) > 1 else ""
            rest = " ".join(part for part in parts if part != asked)
            if min(len(letters_of(asked, script)), len(letters_of(rest, script))) < _MIN_LETTERS:
                continue
            words = frozenset(terms(rest))
            if not any(_near_duplicates(words, others) for others in rest_terms):
                rest_terms.append(words)
                pairs[script].append((asked, rest))
        return {script: (pairs[script], text) for script, text in seen.items()}

    def _measure_script(
        self, pairs: Sequence[tuple[str, str]], prior: float, cancelled: Callable[[], bool]
    ) -> MeasuredTrust:
        asked, rests = zip(*pairs, strict=True)
        vectors = self._embedder.embed_chunks([*asked, *rests], cancelled=cancelled)
        found = _recall_at_1(vectors[: len(asked)] @ vectors[len(asked) :].T)
        dense = (found * len(pairs) + prior * PRIOR_WEIGHT) / (len(pairs) + PRIOR_WEIGHT)
        ceiling = max(dense, _recall_at_1(_lexical_scores(asked, rests)), MIN_CEILING)
        # As good as the better search: full trust; right half as often: none.
        return MeasuredTrust(min(max(2 * dense / ceiling - 1, 0.0), 1.0), len(pairs))


def _near_duplicates(some: frozenset[str], others: frozenset[str]) -> bool:
    """Whether two texts, given as their terms, are near-duplicates."""
    return len(some & others) > _NEAR_DUPLICATE * min(len(some), len(others))


def _recall_at_1(scores: NDArray[np.float32]) -> float:
    """Return the share of rows whose own column has the highest score; `scores` is (n, n)."""
    others = scores.copy()
    np.fill_diagonal(others, -np.inf)
    return float(np.mean(np.diag(scores) > others.max(axis=1)))


def _lexical_scores(asked: Sequence[str], rests: Sequence[str]) -> NDArray[np.float32]:
    """Return TF-IDF scores of each text for each question, float32 (n, n)."""
    documents = [Counter(terms(rest)) for rest in rests]
    frequencies = Counter(term for counts in documents for term in counts)
    scores = np.zeros((len(asked), len(rests)), dtype=np.float32)
    for row, question in enumerate(asked):
        for term in query_terms(question):
            if term in frequencies:
                weight = math.log(1 + len(rests) / frequencies[term])
                for column, counts in enumerate(documents):
                    count = counts[term]
                    scores[row, column] += weight * count / (count + 1)
    return scores


@lru_cache(maxsize=50_000)
def script_of(letter: str) -> str:
    """Return the script of a letter, as its Unicode name begins ("LATIN", "CJK", "HANGUL"), or "" if it is none."""
    return unicodedata.name(letter, "").split(" ")[0] if letter.isalpha() else ""


def script_cache_size() -> tuple[int, int]:
    """Return how many letters' scripts are cached, and in about how many bytes."""
    letters = script_of.cache_info().currsize
    # Per entry: link, slot in the table, letter, name of the script.
    return letters, letters * _ENTRY_BYTES


def clear_script_cache() -> None:
    """Clear the cached scripts of letters."""
    script_of.cache_clear()


def script_shares(text: str) -> dict[str, float]:
    """Return the share of each script among the letters of `text`; empty if there are none."""
    counts: Counter[str] = Counter()
    for letter, count in Counter(fold(text)).items():
        if script := script_of(letter):
            counts[script] += count
    return {script: count / counts.total() for script, count in counts.most_common()}


def letters_of(text: str, script: str) -> str:
    """Return the folded `text` with blanks for the letters of other scripts."""
    return "".join(letter if script_of(letter) == script else " " for letter in fold(text)).strip()
