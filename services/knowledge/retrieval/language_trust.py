"""Trust in the embedder: how well it knows a script, and what its cosines say about each kind of text.

One sentence (in tables, logs and code: one line) is drawn from each of a sample of chunks of one script and kind. With
that as the query, the embedder should rank the rest of its chunk first. How often it does, compared with lexical
search, is its trust. No list of languages is involved. A question's trust is that of prose in its script; a chunk's
cosine counts by the trust in its own kind. No source has more than a few samples, and the one that speaks most against
the embedder is left out: a table or a misread scan must not decide for everything else.

With too few samples the tokenizer gives a prior: a script that it does not know, or spells out letter by letter, was
not in the embedder's training data.
"""

from __future__ import annotations

import math
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from services.core.database import Database
from services.knowledge.retrieval.library_scales import CHANGED_SHARE, DOCUMENTS_SAMPLED, LibraryScales
from services.knowledge.store.chunks import ChunkStore
from services.knowledge.store.trust import TRUST, Measured, MeasuredTrust, TrustStore
from services.knowledge.text.kinds import TextKind, unreadable_share
from services.knowledge.text.scripts import letters_of, script_shares
from services.knowledge.text.sentences import sentences
from services.knowledge.text.terms import query_terms, terms

if TYPE_CHECKING:
    from services.knowledge.retrieval.encoder_cache import TextEncoder

Vectors = NDArray[np.float32]
# Queries per script and kind, and chunks of each document that are read and used for them.
SAMPLES = 48
CHUNKS_READ = 16
CHUNKS_USED = 6
# With fewer, ranking first is no evidence.
MIN_SAMPLES = 8
# The tokenizer's prior counts as much as so many queries.
PRIOR_WEIGHT = 8
# A lexical search that fails on more than half of the queries does not excuse the embedder's failures.
MIN_CEILING = 0.5
# Trust in kinds of which there are too few samples, beside prose; none in what no model can have learnt.
UNMEASURED = {TextKind.PROSE: 1.0, TextKind.TABLE: 0.8, TextKind.CODE: 0.8, TextKind.LOG: 0.5, TextKind.UNREADABLE: 0.0}
_MIN_LETTERS = 8
# Texts that share more than this of their terms are near-duplicates: one of them is enough.
_NEAR_DUPLICATE = 0.5
_PRIOR_LETTERS = 1000


@dataclass(frozen=True, slots=True)
class Pair:
    """A sentence of a chunk, and the rest of it; `source` is the revision that it is from."""

    asked: str
    rest: str
    source: int


class LanguageTrust:
    """Trust in the embedder by script and kind, 0 (none) to 1; thread-safe."""

    def __init__(
        self,
        database: Database,
        chunks: ChunkStore,
        embedder: TextEncoder,
        pin: Callable[[], AbstractContextManager[TextEncoder]] | None = None,
    ) -> None:
        """`pin` yields the present encoder where another may take its place."""
        self._pin = pin or (lambda: nullcontext(embedder))
        self._store = TrustStore(database)
        self._chunks = chunks
        self._embedder = embedder
        self._measured: tuple[str, dict[Measured, MeasuredTrust]] | None = None  # of which model
        self._forgotten = 0
        self._measured_sizes: tuple[str, dict[int, int]] = ("", {})
        self._measuring = threading.Lock()
        self.scales = LibraryScales(chunks)

    def for_text(self, text: str, encoder: TextEncoder | None = None) -> float:
        """Return the trust for a question: the mean of its scripts, weighted by letters; 1 without letters.

        Words that no language has count as not trusted. `encoder`: the pinned one that embeds the question.
        """
        if encoder is None:
            with self._pin() as present:
                return self.for_text(text, present)
        measured = self._known(encoder.fingerprint)
        total = 0.0
        shares = script_shares(text)
        for script, share in shares.items():
            found = measured.get((script, TextKind.PROSE))
            total += share * (found.trust if found else self._expected(encoder, script, letters_of(text, script)))
        return min(total, 1.0) * (1 - unreadable_share(text)) if shares else 1.0

    def for_kind(self, kind: str, text: str, encoder: TextEncoder | None = None) -> float:
        """Return how much the cosine of a chunk of this kind counts for a question, beside one of prose, 0 to 1;
        `encoder` as for `for_text`.
        """
        known = TextKind(kind)
        unmeasured = UNMEASURED[known]
        if not unmeasured or known is TextKind.PROSE:
            return unmeasured
        script = next(iter(script_shares(text)), "")
        found = self._known((encoder or self._embedder).fingerprint).get((script, known))
        return found.trust if found else unmeasured

    def factors(self, kinds: Iterable[str], text: str, encoder: TextEncoder) -> dict[str, float]:
        """Return `for_kind` by kind."""
        return {kind: self.for_kind(kind, text, encoder) for kind in set(kinds)}

    def report(self) -> dict[Measured, MeasuredTrust]:
        """Return what was measured, by script and kind."""
        return dict(sorted(self._known(self._embedder.fingerprint).items()))

    def measure(self, cancelled: Callable[[], bool] = lambda: False) -> dict[Measured, MeasuredTrust]:
        """Measure every script and kind of the library and store the results; nothing if little changed since.

        Takes some seconds of embedding. Returns the measurements by script and kind.

        Raises:
            CancelledError: `cancelled` returned true; the measurements so far are kept.
        """
        with self._measuring, self._pin() as encoder:
            sizes, model = self._chunks.sizes(), encoder.fingerprint
            if sizes and self._measured_sizes[0] == model and not _changed(self._measured_sizes[1], sizes):
                return self._known(model)
            self.scales.adapt(encoder)
            chance = random.Random(len(sizes))  # noqa: S311 - a sample, the same one for the same library
            found: dict[Measured, MeasuredTrust] = {}
            samples = self._sample(sizes, chance)
            for key, (pairs, text) in samples.items():
                if len(pairs) >= MIN_SAMPLES and UNMEASURED[key[1]]:
                    prior = self._expected(encoder, key[0], letters_of(text, key[0])) * UNMEASURED[key[1]]
                    found[key] = _measure(encoder, key[1], pairs, prior, cancelled)
                    self._keep(model, {**self._known(model), **found})
            # What too little is left of is not known any more.
            self._keep(model, found)
            self._measured_sizes = (model, sizes)
            return self._known(model)

    def _keep(self, model: str, measured: dict[Measured, MeasuredTrust]) -> None:
        if self._embedder.fingerprint == model:  # another one has taken its place: this is worth nothing
            self._store.replace(model, measured)
            self._measured = (model, measured)

    def _known(self, model: str) -> dict[Measured, MeasuredTrust]:
        known = self._measured
        if known is None or known[0] != model:
            forgotten = self._forgotten
            known = (model, self._store.load(model))
            if forgotten == self._forgotten:  # else another node has measured meanwhile
                self._measured = known
        return known[1]

    def follow(self, told: Iterable[Collection[str]]) -> None:
        """Forget what was measured where another node has measured anew, told with `Topic.SETTINGS`.

        Nodes of the version before tell it as a list.
        """
        if any(TRUST in names for names in told):
            self.forget()

    def forget(self) -> None:
        """Read what is measured from the database again: another node has measured."""
        self._forgotten += 1
        self._measured = None

    def _expected(self, encoder: TextEncoder, script: str, letters: str) -> float:
        """Return the trust in a script before it is measured: the tokenizer's prior, or how well the model knows that
        texts in it mean what English ones mean.
        """
        scale = self.scales.own(encoder)
        across = min(scale.knows(script, "LATIN") or 0.0, scale.knows("LATIN", script) or 0.0)
        return max(_prior(encoder, letters), across if script != "LATIN" else 0.0)

    def _sample(self, sizes: Mapping[int, int], chance: random.Random) -> dict[Measured, tuple[list[Pair], str]]:
        """Return by script and kind the pairs to measure with, and some text."""
        pairs: dict[Measured, list[Pair]] = defaultdict(list)
        seen: dict[Measured, str] = {}
        words_of: dict[Measured, list[frozenset[str]]] = defaultdict(list)
        used: Counter[tuple[Measured, int]] = Counter()
        chosen = chance.sample(sorted(sizes), min(DOCUMENTS_SAMPLED, len(sizes)))
        # So that a library of few documents is measured at all.
        most = max(CHUNKS_USED, SAMPLES // max(len(chosen), 1))
        read = max(CHUNKS_READ, 10 * most)
        texts = [
            self._chunks.sample(revision, sorted(chance.sample(range(sizes[revision]), min(read, sizes[revision]))))
            for revision in chosen
        ]
        # One of each document before a second one of any.
        for row in zip_longest(*texts):
            for revision, found in zip(chosen, row, strict=True):
                if found is None:
                    continue
                text, kind = found
                script = next(iter(script_shares(text)), "")
                key = (script, kind)
                if not script or len(pairs[key]) >= SAMPLES or used[key, revision] >= most:
                    continue
                seen.setdefault(key, text)
                pair = _pair(text, script, kind, revision, chance)
                if pair is None:
                    continue
                words = frozenset(terms(pair.rest))
                if not any(_near_duplicates(words, others) for others in words_of[key]):
                    words_of[key].append(words)
                    pairs[key].append(pair)
                    used[key, revision] += 1
        return {key: (pairs[key], text) for key, text in seen.items()}


def _prior(encoder: TextEncoder, letters: str) -> float:
    """Return the tokenizer's prior for a script: share of known tokens times (mean token length - 1), at most 1."""
    letters = letters[:_PRIOR_LETTERS]
    tokens = encoder.token_count(letters)
    if not tokens:
        return 1.0
    length = sum(map(len, letters.split())) / tokens
    return (1 - encoder.unknown_share(letters)) * min(max(length - 1, 0.0), 1.0)


def _measure(
    encoder: TextEncoder, kind: TextKind, pairs: Sequence[Pair], prior: float, cancelled: Callable[[], bool]
) -> MeasuredTrust:
    asked, rests = [pair.asked for pair in pairs], [pair.rest for pair in pairs]
    vectors = encoder.embed_chunks([*asked, *rests], cancelled=cancelled)
    dense, lexical = vectors[: len(asked)] @ vectors[len(asked) :].T, _lexical_scores(asked, rests)
    sources = np.array([pair.source for pair in pairs])
    trusts = [_trust(dense, lexical, prior)]
    for source in np.unique(sources):
        others = np.flatnonzero(sources != source)
        if len(others) >= MIN_SAMPLES:
            trusts.append(_trust(dense[np.ix_(others, others)], lexical[np.ix_(others, others)], prior))
    if kind is TextKind.PROSE and len(np.unique(sources)) == 1:
        trusts.append(prior)
    return MeasuredTrust(max(trusts), len(pairs))


def _changed(before: Mapping[int, int], now: Mapping[int, int]) -> bool:
    """Whether documents or chunks, by revision, changed by more than a tenth."""
    gone = [revision for revision in before if revision not in now]
    new = [revision for revision in now if revision not in before]
    chunks = sum(before[revision] for revision in gone) + sum(now[revision] for revision in new)
    return len(gone) + len(new) > CHANGED_SHARE * len(before) or chunks > CHANGED_SHARE * sum(before.values())


def _pair(text: str, script: str, kind: TextKind, source: int, chance: random.Random) -> Pair | None:
    parts = sentences(text) if kind is TextKind.PROSE else [line for line in text.splitlines() if line.strip()]
    asked = chance.choice(parts) if len(parts) > 1 else ""
    rest = " ".join(part for part in parts if part != asked)
    if min(len(letters_of(asked, script)), len(letters_of(rest, script))) < _MIN_LETTERS:
        return None
    return Pair(asked, rest, source)


def _trust(dense_scores: NDArray[np.float32], lexical_scores: NDArray[np.float32], prior: float) -> float:
    """Return the trust by the scores of each text for each question."""
    count = len(dense_scores)
    dense = (_recall_at_1(dense_scores) * count + prior * PRIOR_WEIGHT) / (count + PRIOR_WEIGHT)
    ceiling = max(dense, _recall_at_1(lexical_scores), MIN_CEILING)
    # As good as the better search: full trust; right half as often: none.
    return min(max(2 * dense / ceiling - 1, 0.0), 1.0)


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
