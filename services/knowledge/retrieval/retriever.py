"""Hybrid retrieval: dense and lexical search in parallel, fused by weights and language trust."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from services.core.actor import Actor
from services.core.database import Database
from services.core.errors import BadInputError, TooLargeError
from services.core.events import EventSink, NullEventSink, Timer
from services.core.i18n import _, listed, plural
from services.core.machine import usable_cores
from services.core.memory_report import MemoryReport, Owner
from services.knowledge.retrieval.contenders import ranked_by_statement
from services.knowledge.retrieval.dense_worth import Compared, Worth, statement_worth, worth_of
from services.knowledge.retrieval.encoder_cache import TextEncoder, Vector
from services.knowledge.retrieval.language_trust import LanguageTrust
from services.knowledge.retrieval.quotes import RankedPassage, quote
from services.knowledge.retrieval.scoring import Fusion, LexicalEvidence, fusion_weights
from services.knowledge.retrieval.search_halves import (
    DenseFound,
    DenseModel,
    LexicalSearch,
    Matches,
    PendingVector,
    milliseconds_since,
)
from services.knowledge.retrieval.wording import Asked, Wording, corrected
from services.knowledge.store.chunks import ChunkStore
from services.knowledge.store.lexical import MAX_POSTINGS, LexicalStore
from services.knowledge.text.scripts import clear_script_cache, script_cache_size
from services.knowledge.text.stems import bare
from services.knowledge.text.terms import located_terms
from services.knowledge.types import EmbedderTrust, Hit, Quote, RetrievalSettings, SearchResult

if TYPE_CHECKING:
    from services.knowledge.store.dense_index import DenseIndexManager

# Candidates of each search for fusion: this many, or four times the hits asked for.
MIN_CANDIDATES = 40
# Weight of further passages of a document, so that other documents are not crowded out.
REPEATED_DOCUMENT = 0.9


class Retriever:
    """Finds chunks and quotes for questions; thread-safe, caches are bounded."""

    def __init__(
        self,
        database: Database,
        chunks: ChunkStore,
        embedder: TextEncoder | None,
        index_manager: DenseIndexManager | None,
        settings: Callable[[], RetrievalSettings] = RetrievalSettings,
        *,
        question_characters: int = 4000,
        reporter: EventSink | None = None,
        pin: Callable[[], AbstractContextManager[TextEncoder]] | None = None,
    ) -> None:
        """`pin` yields the encoder that is the present one, where another may take its place during a search."""
        self._pin = pin
        self._database = database
        self._chunks = chunks
        self._embedder = embedder
        self._index_manager = index_manager
        self._settings = settings
        self._reporter = reporter or NullEventSink()
        self._question_characters = question_characters
        # More searches at once than cores only wait for each other and for the interpreter. Who waits for the embedding
        # of a question has no turn meanwhile.
        self._turns = threading.Semaphore(max(2, usable_cores()))
        self.lexical = LexicalStore(database)
        self.trust = LanguageTrust(database, chunks, embedder, pin) if embedder else None
        self._wording = Wording(self.lexical, self._is_known_word)

    def memory_report(self) -> MemoryReport:
        """Return the bytes of what is cached between searches."""
        terms, term_bytes = self.lexical.cache_size()
        letters, letter_bytes = script_cache_size()
        return MemoryReport(
            name=_("Search caches"),
            detail=listed(
                (plural("{count} term", "{count} terms", terms), plural("{count} letter", "{count} letters", letters))
            ),
            bytes=term_bytes + letter_bytes,
            loads=1,
            owner=Owner.OWN_CACHES,
        )

    def clear_caches(self) -> int:
        """Clear what is cached between searches; return the bytes that it held."""
        held = self.memory_report().bytes
        self.lexical.clear_cache()
        clear_script_cache()
        return held

    def measure_trust(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Measure how well the embedder knows the languages of the corpus; takes some seconds, run it when idle."""
        if self.trust:
            self.trust.measure(cancelled)

    def measured_trust(self) -> list[EmbedderTrust]:
        """Return what is known of the embedder, by script and kind of text; before the first measurement nothing."""
        measured = self.trust.report() if self.trust else {}
        return [
            EmbedderTrust(script, kind.value, round(one.trust, 3), one.samples)
            for (script, kind), one in measured.items()
        ]

    def search(
        self,
        actor: Actor,
        query: str,
        *,
        k: int | None = None,
        collection_ids: Collection[int] = (),
        settings: RetrievalSettings | None = None,
        check: Callable[[], object] = lambda: None,
    ) -> SearchResult:
        """Return the best chunks for `query`, best first, of the collections that `actor` may read.

        Args:
            actor: what they may not read is not searched.
            query: a question or words, in any language.
            k: most hits; the settings' when left out.
            collection_ids: where to look; everywhere that may be read when empty.
            settings: weights and threshold; those of the chat when left out.
            check: called between the steps; what it raises ends the search.

        Raises:
            BadInputError: the query has no letter and no digit.
            TooLargeError: it is longer than a question may be.
        """
        started = time.perf_counter()
        query = query.strip()
        if len(query) > self._question_characters:
            raise TooLargeError(
                _("The question has {count} characters; at most {most} are read.").format(
                    count=len(query), most=self._question_characters
                ),
                _("Shorten it, or add the text as a document."),
            )
        if not located_terms(query):
            raise BadInputError(_("The question is empty."), _("Write what you want to know."))
        settings = settings or self._settings()
        with self._pinned() as model, self._urgent_for(model):
            result = self._search(
                query,
                model,
                k=settings.k if k is None else k,
                groups=actor.searched(collection_ids),
                readable=actor.readable(),
                settings=settings,
                started=started,
                check=check,
            )
        self._reporter.observe(Timer.RETRIEVAL, result.total_ms / 1000)
        return result

    def _search(
        self,
        query: str,
        model: DenseModel | None,
        *,
        k: int,
        groups: Collection[int] | None,
        readable: Collection[int] | None,
        settings: RetrievalSettings,
        started: float,
        check: Callable[[], object],
    ) -> SearchResult:
        check()
        candidates = max(MIN_CANDIDATES, 4 * k)
        trust = self.trust.for_text(query, model.encoder) if self.trust and model is not None else 0.0
        compares = model is not None and model.index is not None
        dense_weight, lexical_weight = fusion_weights(settings, trust, compares=compares)
        # Without a dense search, the lexical one may use its time.
        postings = MAX_POSTINGS if dense_weight > 0 else 3 * MAX_POSTINGS
        # The question is embedded in another thread, with others of the moment, and beside the lexical search.
        pending = model.begin(query) if model is not None and dense_weight > 0 else None
        lexical = LexicalSearch(lambda: self._find(query, candidates, groups, readable, postings))
        with self._turns:
            lexical.begin(beside=model is not None and model.is_large)
            dense = self._dense(model, pending, candidates, groups)
            asked, matches = lexical.result()
            if model is not None and asked.corrections and dense_weight > 0:
                dense = self._dense(model, model.begin(asked.text), candidates, groups)
            check()
            with self._database.reading():
                return self._fused(
                    query,
                    asked,
                    matches,
                    model,
                    dense,
                    lexical_ms=lexical.ms,
                    trust=trust,
                    weights=(dense_weight, lexical_weight),
                    k=k,
                    groups=groups,
                    threshold=settings.threshold,
                    started=started,
                    check=check,
                )

    def _fused(
        self,
        query: str,
        asked: Asked,
        matches: Matches,
        model: DenseModel | None,
        dense: DenseFound,
        *,
        lexical_ms: float,
        trust: float,
        weights: tuple[float, float],
        k: int,
        groups: Collection[int] | None,
        threshold: float,
        started: float,
        check: Callable[[], object],
    ) -> SearchResult:
        """Return the best of what both searches found."""
        # The candidates of either search get exact scores of both kinds.
        searching = time.perf_counter()
        known = set(dense.ids)
        ids = [*dense.ids, *(chunk for chunk in matches if chunk not in known)]
        compared, kinds = self._compared(model, dense.vector, ids)
        cosines = compared.cosines
        worth = self._worth(query, model, compared)
        dense_ms = dense.search_ms + milliseconds_since(searching)
        further, idf = self.lexical.evidence([chunk for chunk in dense.ids if chunk not in matches], asked.terms)
        matches |= further
        fusion = Fusion(
            LexicalEvidence(asked.located, idf, asked.alternatives),
            asked.codes,
            *weights,
            self.trust.factors(kinds.values(), query, model.encoder) if self.trust and model is not None else {},
            asked.lacks_code,
            worth.usual,
        )
        scores = fusion.scores(matches, worth.cosines, kinds, worth.foreign)
        check()
        hits = self._hits(scores=scores, threshold=threshold, k=k, groups=groups, cosines=cosines, matches=matches)
        best = hits[0].chunk_id if hits else 0
        relevant = bool(hits) and hits[0].score >= fusion.baseline(matches.get(best, {}), foreign=best in worth.foreign)
        if fusion.lexical_weight > 0:
            hits = ranked_by_statement(hits, asked, idf, matches, worth.foreign)
        return SearchResult(
            query=query,
            hits=tuple(hits),
            relevant=relevant,
            dense_trust=trust,
            terms=tuple(dict.fromkeys(map(bare, asked.terms))),
            corrections=asked.corrections,
            embed_ms=dense.embed_ms,
            dense_ms=dense_ms,
            lexical_ms=lexical_ms,
            total_ms=milliseconds_since(started),
        )

    def _find(
        self,
        query: str,
        candidates: int,
        groups: Collection[int] | None,
        readable: Collection[int] | None,
        postings: int,
    ) -> tuple[Asked, Matches]:
        with self._database.reading():
            asked = self._wording.read(query, readable)
            return asked, self.lexical.find(asked.terms, candidates, groups, most_postings=postings)

    def _dense(
        self,
        model: DenseModel | None,
        pending: PendingVector | None,
        candidates: int,
        groups: Collection[int] | None,
    ) -> DenseFound:
        """Return what is nearest to a text that the model is embedding, in the index of its vectors."""
        if model is None or model.index is None or pending is None:
            return DenseFound()
        if not pending.done:
            self._turns.release()  # others search meanwhile
            try:
                pending.wait()
            finally:
                self._turns.acquire()
        vector = pending.result()
        searching = time.perf_counter()
        found, _scores = model.index.search(vector, candidates, groups)
        return DenseFound(vector, found.tolist(), pending.ms, milliseconds_since(searching))

    def quotes(self, question: str, result: SearchResult, limit: int = 3) -> list[Quote]:
        """Return at most `limit` sentences of the hits that answer best, best first; none if no hit is relevant."""
        if not result.relevant or not question.strip():
            return []
        question = corrected(question, result.corrections)
        located = located_terms(question)
        passages = [RankedPassage(hit.text, hit.score, hit.heading, hit.document) for hit in result.hits]
        with self._urgent(), self._pinned() as model:
            return quote(
                question,
                located,
                self.lexical.idf(term for term, _place in located),
                passages,
                limit,
                trust=result.dense_trust,
                embed=model.embed if model is not None else None,
                worth=statement_worth(self.trust.scales.own(model.encoder), question) if self.trust and model else None,
            )

    def _is_known_word(self, word: str) -> bool:
        """Whether the embedder has a word as a whole, and not only its pieces."""
        return self._embedder is not None and self._embedder.token_count(word) == 1 > self._embedder.unknown_share(word)

    def _urgent_for(self, model: DenseModel | None) -> AbstractContextManager[None]:
        """As `_urgent`, once the model's scale is known: it is measured in batches, which would be held back, too."""
        if self.trust and model is not None and model.index is not None:
            self.trust.scales.of(model.encoder, len(model.index))
        return self._urgent()

    def _urgent(self) -> AbstractContextManager[None]:
        """Hold back embedding for ingestion: it would slow vector and lexical search as well."""
        return self._embedder.urgent() if self._embedder else nullcontext()

    @contextmanager
    def _pinned(self) -> Iterator[DenseModel | None]:
        """Yield the encoder with the index of its vectors, as they are now; None where there is no dense search."""
        encoder, manager = self._embedder, self._index_manager
        if encoder is None:
            yield None
        elif self._pin is None:
            yield DenseModel(encoder, manager.index if manager is not None and manager.ready else None)
        else:
            with self._pin() as pinned:
                index = manager.index_of(pinned.fingerprint) if manager is not None and manager.ready else None
                yield DenseModel(pinned, index)

    def _worth(self, query: str, model: DenseModel | None, compared: Compared) -> Worth:
        """Return what the model's cosines of chunks are worth for a question."""
        if self.trust is None or model is None or not compared.cosines:
            return Worth(compared.cosines)
        return worth_of(self.trust.scales.of(model.encoder, model.passages), query, compared)

    def _compared(
        self, model: DenseModel | None, vector: Vector | None, ids: Sequence[int]
    ) -> tuple[Compared, dict[int, str]]:
        """Return the exact cosine by chunk, from the model's float32 vectors in the database, and what those that are
        not prose look like.
        """
        if model is None or vector is None or not ids:
            return Compared(), {}
        found = self._chunks.comparable(ids, model.encoder.fingerprint)
        if not len(found.ids) or found.vectors.shape[1] != len(vector):
            return Compared(), {}
        cosines = dict(zip(found.ids.tolist(), (found.vectors @ vector).tolist(), strict=True))
        return Compared(cosines, found.vectors, found.beginnings), found.kinds

    def _hits(
        self,
        *,
        scores: Mapping[int, float],
        threshold: float,
        k: int,
        groups: Collection[int] | None,
        cosines: Mapping[int, float],
        matches: Mapping[int, Mapping[str, float]],
    ) -> list[Hit]:
        best = sorted(scores, key=lambda chunk: (-scores[chunk], chunk))
        ranked: list[Hit] = []
        seen: set[int] = set()
        # Chunks may have been deleted or disabled since they were found: then the next ones move up.
        for start in range(0, len(best), 2 * k + 5):
            batch = best[start : start + 2 * k + 5]
            rows = self._chunks.hits(batch)
            for chunk in batch:
                row = rows.get(chunk)
                if row is None or (groups is not None and row.collection_id not in groups):
                    continue
                score = scores[chunk] * (REPEATED_DOCUMENT if row.document_id in seen else 1.0)
                seen.add(row.document_id)
                bm25 = sum(matches.get(chunk, {}).values())
                ranked.append(row.as_hit(score, cosines.get(chunk), bm25 or None))
            if len(ranked) >= k:
                break
        ranked.sort(key=lambda hit: -hit.score)
        return [hit for hit in ranked[:k] if hit.score >= threshold]
