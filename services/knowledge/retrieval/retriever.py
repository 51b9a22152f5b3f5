"""Hybrid retrieval: dense and lexical search in parallel, fused by weights and language trust."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.core.actor import Actor
from services.core.database import Database
from services.core.errors import BadInputError, TooLargeError
from services.core.events import EventSink, NullEventSink, Timer
from services.core.i18n import _, plural
from services.core.memory_report import MemoryReport, Owner
from services.knowledge.retrieval.dense_worth import Compared, Worth, worth_of
from services.knowledge.retrieval.encoder_cache import TextEncoder, Vector
from services.knowledge.retrieval.language_trust import LanguageTrust, clear_script_cache, script_cache_size
from services.knowledge.retrieval.quotes import RankedPassage, quote
from services.knowledge.retrieval.scoring import Fusion, LexicalEvidence
from services.knowledge.retrieval.wording import Asked, Wording, corrected
from services.knowledge.store.chunks import ChunkStore, HitRow
from services.knowledge.store.lexical import MAX_POSTINGS, LexicalStore
from services.knowledge.text.terms import located_terms
from services.knowledge.types import EmbedderTrust, Hit, Quote, RetrievalSettings, SearchResult

if TYPE_CHECKING:
    from services.knowledge.index import IndexManager

# Candidates of each search for fusion: this many, or four times the hits asked for.
MIN_CANDIDATES = 40
# Weight of further passages of a document, so that other documents are not crowded out.
REPEATED_DOCUMENT = 0.9
Matches = dict[int, dict[str, float]]


class Retriever:
    """Finds chunks and quotes for questions; thread-safe, caches are bounded."""

    def __init__(
        self,
        database: Database,
        chunks: ChunkStore,
        embedder: TextEncoder | None,
        index_manager: IndexManager | None,
        settings: Callable[[], RetrievalSettings] = RetrievalSettings,
        *,
        question_characters: int = 4000,
        reporter: EventSink | None = None,
    ) -> None:
        self._chunks = chunks
        self._embedder = embedder
        self._index_manager = index_manager
        self._settings = settings
        self._reporter = reporter or NullEventSink()
        self._question_characters = question_characters
        self.lexical = LexicalStore(database)
        self.trust = LanguageTrust(database, chunks, embedder) if embedder else None
        self._wording = Wording(self.lexical, self._is_known_word)

    def memory_report(self) -> MemoryReport:
        """Return the bytes of what is cached between searches."""
        terms, term_bytes = self.lexical.cache_size()
        letters, letter_bytes = script_cache_size()
        return MemoryReport(
            name=_("Search caches"),
            detail=f"{plural('{count} term', '{count} terms', terms)}, "
            f"{plural('{count} letter', '{count} letters', letters)}",
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
        with self._urgent():
            result = self._search(
                query,
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
        trust = self.trust.for_text(query) if self.trust else 0.0
        dense_weight, lexical_weight = self._weights(settings, trust)
        # Without a dense search, the lexical one may use its time.
        postings = MAX_POSTINGS if dense_weight > 0 else 3 * MAX_POSTINGS
        lexical = LexicalSearch(lambda: self._find(query, candidates, groups, readable, postings))
        dense = self._dense(query, candidates, groups) if dense_weight > 0 else DenseFound()
        asked, matches = lexical.result()
        if asked.corrections and dense_weight > 0:
            dense = self._dense(asked.text, candidates, groups)
        check()

        # The candidates of either search get exact scores of both kinds.
        searching = time.perf_counter()
        known = set(dense.ids)
        ids = [*dense.ids, *(chunk for chunk in matches if chunk not in known)]
        compared = self._compared(dense.vector, ids)
        cosines = compared.cosines
        kinds = self._chunks.kinds(ids) if cosines else {}
        worth = self._worth(query, compared)
        dense_ms = dense.search_ms + _ms(searching)
        matches |= self.lexical.matches([chunk for chunk in dense.ids if chunk not in matches], asked.terms)
        fusion = Fusion(
            LexicalEvidence(asked.located, self.lexical.idf(asked.terms), asked.alternatives),
            asked.codes,
            dense_weight,
            lexical_weight,
            {kind: self.trust.for_kind(kind, query) for kind in set(kinds.values())} if self.trust else {},
            asked.lacks_code,
            worth.usual,
        )
        scores = fusion.scores(matches, worth.cosines, kinds, worth.foreign)
        check()
        hits = self._hits(
            scores=scores, threshold=settings.threshold, k=k, groups=groups, cosines=cosines, matches=matches
        )
        return SearchResult(
            query=query,
            hits=tuple(hits),
            relevant=bool(hits)
            and hits[0].score
            >= fusion.baseline(matches.get(hits[0].chunk_id, {}), foreign=hits[0].chunk_id in worth.foreign),
            dense_trust=trust,
            terms=tuple(asked.terms),
            corrections=asked.corrections,
            embed_ms=dense.embed_ms,
            dense_ms=dense_ms,
            lexical_ms=lexical.ms,
            total_ms=_ms(started),
        )

    def _find(
        self,
        query: str,
        candidates: int,
        groups: Collection[int] | None,
        readable: Collection[int] | None,
        postings: int,
    ) -> tuple[Asked, Matches]:
        asked = self._wording.read(query, readable)
        return asked, self.lexical.find(asked.terms, candidates, groups, most_postings=postings)

    def _dense(self, text: str, candidates: int, groups: Collection[int] | None) -> DenseFound:
        """Return what is nearest to a text in the index."""
        if not self._embedder or not self._index_manager:
            return DenseFound()
        embedding = time.perf_counter()
        vector = self._embedder.embed_query(text)
        searching = time.perf_counter()
        found, _scores = self._index_manager.index.search(vector, candidates, groups)
        return DenseFound(vector, [int(chunk) for chunk in found], _ms(embedding, searching), _ms(searching))

    def quotes(self, question: str, result: SearchResult, limit: int = 3) -> list[Quote]:
        """Return at most `limit` sentences of the hits that answer best, best first; none if no hit is relevant."""
        if not result.relevant or not question.strip():
            return []
        question = corrected(question, result.corrections)
        located = located_terms(question)
        passages = [RankedPassage(hit.text, hit.score, hit.heading, hit.document) for hit in result.hits]
        embed = self._embedder.embed_query if self._embedder else None
        with self._urgent():
            return quote(
                question,
                located,
                self.lexical.idf(term for term, _place in located),
                passages,
                limit,
                trust=result.dense_trust,
                embed=embed,
            )

    def _is_known_word(self, word: str) -> bool:
        """Whether the embedder has a word as a whole, and not only its pieces."""
        return self._embedder is not None and self._embedder.token_count(word) == 1 > self._embedder.unknown_share(word)

    def _urgent(self) -> AbstractContextManager[None]:
        """Hold back embedding for ingestion: it would slow vector and lexical search as well."""
        return self._embedder.urgent() if self._embedder else nullcontext()

    def _weights(self, settings: RetrievalSettings, trust: float) -> tuple[float, float]:
        """Return the weights of dense and lexical scores; trust plays no role where only one kind is asked for."""
        dense, lexical = max(settings.dense_weight, 0.0), max(settings.lexical_weight, 0.0)
        if self._embedder is None or self._index_manager is None or not self._index_manager.ready:
            return 0.0, 1.0
        if lexical == 0:
            return (1.0, 0.0) if dense else (trust, 1.0)
        return dense * trust, lexical

    def _worth(self, query: str, compared: Compared) -> Worth:
        """Return what the cosines of chunks are worth for a question."""
        if self.trust is None or not compared.cosines:
            return Worth(compared.cosines)
        return worth_of(self.trust.scale, query, compared, self._chunks.beginnings(list(compared.cosines)))

    def _compared(self, vector: Vector | None, ids: Sequence[int]) -> Compared:
        """Return the exact cosine by chunk, from the float32 vectors in the database."""
        if vector is None or not ids:
            return Compared()
        present, vectors = self._chunks.vectors(ids)
        if not len(present) or vectors.shape[1] != len(vector):
            return Compared()
        return Compared(dict(zip(present.tolist(), (vectors @ vector).tolist(), strict=True)), vectors)

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
                ranked.append(_hit(row, score, cosines.get(chunk), bm25 or None))
            if len(ranked) >= k:
                break
        ranked.sort(key=lambda hit: -hit.score)
        return [hit for hit in ranked[:k] if hit.score >= threshold]


def _hit(row: HitRow, score: float, dense: float | None, lexical: float | None) -> Hit:
    return Hit(
        chunk_id=row.chunk_id,
        document_id=row.document_id,
        document=row.document,
        collection_id=row.collection_id,
        text=row.text,
        score=min(max(score, 0.0), 1.0),
        dense_score=dense,
        lexical_score=lexical,
        page=row.page,
        sheet=row.sheet,
        heading=row.heading,
    )


def _ms(start: float, end: float | None = None) -> float:
    return ((time.perf_counter() if end is None else end) - start) * 1000


@dataclass(frozen=True, slots=True)
class DenseFound:
    """A question's vector, the chunks nearest to it, and the times in ms."""

    vector: Vector | None = None
    ids: list[int] = field(default_factory=list)
    embed_ms: float = 0.0
    search_ms: float = 0.0


class LexicalSearch:
    """A lexical search in a thread of its own, in parallel with the embedder; `ms` is its duration."""

    def __init__(self, find: Callable[[], tuple[Asked, Matches]]) -> None:
        self.ms = 0.0
        self._find = find
        self._found: tuple[Asked, Matches] | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="lexical-search")
        self._thread.start()

    def result(self) -> tuple[Asked, Matches]:
        """Wait for the search and return how it was asked and the BM25 by term of each chunk, or raise its error."""
        self._thread.join()
        if self._error or self._found is None:
            raise self._error or RuntimeError("the lexical search ended without a result")
        return self._found

    def _run(self) -> None:
        started = time.perf_counter()
        try:
            self._found = self._find()
        except BaseException as error:  # noqa: BLE001 - raised again by `result`, in the thread that asked
            self._error = error
        self.ms = (time.perf_counter() - started) * 1000
