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
import re
import threading
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from services.core.database import Database
from services.knowledge.retrieval.cosine_scale import CosineScale, measure_scale
from services.knowledge.store.chunks import ChunkStore
from services.knowledge.store.trust import Measured, MeasuredTrust, TrustStore
from services.knowledge.text.folding import fold
from services.knowledge.text.kinds import TextKind, unreadable_share
from services.knowledge.text.sentences import sentences
from services.knowledge.text.terms import query_terms, terms

if TYPE_CHECKING:
    from services.knowledge.retrieval.encoder_cache import TextEncoder

Vectors = NDArray[np.float32]
# Queries per script and kind, documents sampled to find them, and chunks of each that are read and used.
SAMPLES = 48
DOCUMENTS_SAMPLED = 240
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
# Measured anew once so much of the library has changed.
_CHANGED_SHARE = 0.1
_MIN_LETTERS = 8
# Texts that share more than this of their terms are near-duplicates: one of them is enough.
_NEAR_DUPLICATE = 0.5
_PRIOR_LETTERS = 1000
_ENTRY_BYTES = 230
# Scripts that are written without blanks between words.
UNSPACED = frozenset({"CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR"})
# What a letter counts as part of a word, beside those of alphabets.
_WORDS_A_LETTER = {"CJK": 8.0, "HIRAGANA": 8.0, "KATAKANA": 8.0, "HANGUL": 4.0}
_CHINESE_LETTERS = re.compile(r"[\u4e00-\u9fff]+")
_ASCII_LETTERS = re.compile(r"[A-Za-z]+")
# Japanese is written in three scripts, one of which is that of Chinese.
_HAN = frozenset({"CJK", "HIRAGANA", "KATAKANA"})


@dataclass(frozen=True, slots=True)
class Pair:
    """A sentence of a chunk, and the rest of it; `source` is the revision that it is from."""

    asked: str
    rest: str
    source: int


@dataclass(frozen=True, slots=True)
class _Adapted:
    """A scale that was adapted when the library had so many passages."""

    scale: CosineScale
    passages: int

    def fits(self, passages: int) -> bool:
        """Whether the library has about as many still."""
        return abs(passages - self.passages) <= _CHANGED_SHARE * self.passages


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
        self._measured_sizes: tuple[str, dict[int, int]] = ("", {})
        self._measuring = threading.Lock()
        # By model: the present one, and until nobody asks it any more the one before.
        self._own_scales: dict[str, CosineScale] = {}
        self._scales: dict[str, _Adapted] = {}
        self._scaling = threading.RLock()

    def scale_of(self, encoder: TextEncoder, passages: int) -> CosineScale:
        """Return what cosines mean in this library: measured once for a model, with a hundred short texts, and adapted
        once more than a tenth of the library's `passages` came or went.

        `encoder` stays the same meanwhile: it is a pinned one where another may take its place.
        """
        known = self._scales.get(encoder.fingerprint)
        if known is not None and known.fits(passages):
            return known.scale
        with self._scaling:
            known = self._scales.get(encoder.fingerprint)
            if known is not None and known.fits(passages):  # another search was quicker
                return known.scale
            return self._adapt_scale(encoder, passages)

    def _adapt_scale(self, encoder: TextEncoder, passages: int) -> CosineScale:
        """Measure the library, and the model where that was not done yet."""
        model = encoder.fingerprint
        own = self.own_scale(encoder)
        before = {known: scale for known, scale in self._scales.items() if known in self._own_scales}
        adapted = own.adapted(self._some_passages(model))
        self._scales = {**before, model: _Adapted(adapted, passages)}
        return adapted

    def own_scale(self, encoder: TextEncoder) -> CosineScale:
        """Return what cosines of questions and single sentences mean, whatever is in the library."""
        own = self._own_scales.get(encoder.fingerprint)
        if own is not None:
            return own
        with self._scaling:
            own = self._own_scales.get(encoder.fingerprint)
            if own is None:
                own = measure_scale(
                    lambda texts: np.stack([vector.result() for vector in encoder.begin_queries(texts)]),
                    encoder.embed_chunks,
                )
                self._own_scales = {**dict(list(self._own_scales.items())[-1:]), encoder.fingerprint: own}
            return own

    def _some_passages(self, model: str) -> dict[str, Vectors]:
        """Return the model's vectors of some chunks of the library by script."""
        found: dict[str, list[Vectors]] = defaultdict(list)
        sizes = self._chunks.sizes()
        chance = random.Random(len(sizes))  # noqa: S311 - a sample, the same one for the same library
        chosen = chance.sample(sorted(sizes), min(DOCUMENTS_SAMPLED, len(sizes)))
        most = -(-DOCUMENTS_SAMPLED // max(len(chosen), 1))
        for text, vector in self._chunks.first_vectors(chosen, most, model):
            if script := main_script(text):
                found[script].append(vector)
        return {script: np.stack(vectors) for script, vectors in found.items()}

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
            with self._scaling:
                known = self._scales.get(model)
                self._adapt_scale(encoder, known.passages if known is not None else 0)
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
            self._measured = known = (model, self._store.load(model))
        return known[1]

    def _expected(self, encoder: TextEncoder, script: str, letters: str) -> float:
        """Return the trust in a script before it is measured: the tokenizer's prior, or how well the model knows that
        texts in it mean what English ones mean.
        """
        scale = self.own_scale(encoder)
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
    return len(gone) + len(new) > _CHANGED_SHARE * len(before) or chunks > _CHANGED_SHARE * sum(before.values())


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


def main_script(text: str) -> str:
    """Return the script of most words of `text`, "" if there are none: one foreign name has as many letters as a whole
    question in Chinese.
    """
    if text.isascii():  # most chunks of English libraries: every search asks for a hundred
        return "LATIN" if any(map(str.isalpha, text)) else ""
    # Letters that no others can outweigh decide without a look at each.
    chinese = sum(map(len, _CHINESE_LETTERS.findall(text)))
    if 2 * chinese > len(text):
        return "CJK"
    latin = sum(map(len, _ASCII_LETTERS.findall(text)))
    if latin > _WORDS_A_LETTER["CJK"] * (len(text) - len(text.encode("ascii", "ignore"))):
        return "LATIN"
    shares = {script: share * _WORDS_A_LETTER.get(script, 1.0) for script, share in script_shares(text).items()}
    return max(shares, key=lambda script: shares[script], default="")


def related_scripts(one: str, other: str) -> bool:
    """Whether texts in two scripts may have words in common: those of Japanese and Chinese have."""
    return one == other or {one, other} <= _HAN


def letters_of(text: str, script: str) -> str:
    """Return the folded `text` with blanks for the letters of other scripts."""
    return "".join(letter if script_of(letter) == script else " " for letter in fold(text)).strip()
