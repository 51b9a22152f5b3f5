"""Quoted answers by kind of question: a question's best sentences, a document's main sentences, the entries of a list,
the two sides of a comparison.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Protocol

from services.core.actor import Actor
from services.knowledge.retrieval.listing import best_list
from services.knowledge.retrieval.question_kinds import QuestionKind, Understood, content, understand
from services.knowledge.retrieval.retriever import Retriever
from services.knowledge.retrieval.summary import main_statements
from services.knowledge.text.scripts import main_script, related_scripts
from services.knowledge.text.terms import query_terms, terms
from services.knowledge.types import Chunk, Hit, Quote, Quotes, SearchResult

MAX_CHUNKS = 300  # of a document that is summarised or listed from: about 200 pages
_SUMMARY_QUOTES = 5
_LISTED_DOCUMENTS = 2


class DocumentChunks(Protocol):
    """Reads the chunks of documents; `services.knowledge.store.chunks.ContentStore` does."""

    def chunks(self, document_id: int, limit: int, offset: int, readable: Collection[int] | None) -> list[Chunk]:
        """Return a document's chunks in reading order, a page of them."""

    def only_document(self, groups: Collection[int] | None) -> int | None:
        """Return the document that is searched if it is the only one, else None."""


class Quoter:
    """Answers questions by quoting, from what `actor` may read. Thread-safe."""

    def __init__(self, retriever: Retriever, contents: DocumentChunks) -> None:
        self._retriever = retriever
        self._contents = contents

    def search(self, actor: Actor, question: str, collection_ids: Collection[int] = ()) -> SearchResult:
        """Return the passages for a question: of the whole document where that is to be summarised.

        Raises:
            BadInputError: the question has no letter and no digit.
            TooLargeError: it is longer than a question may be.
        """
        asked = understand(question)
        if asked.kind is not QuestionKind.SUMMARY:
            return self._passages(actor, question, asked, collection_ids)
        document = self._contents.only_document(actor.searched(collection_ids))
        found = self._retriever.search(actor, asked.subject or question, collection_ids=collection_ids)
        if document is None and asked.subject and found.relevant:
            document = _named(asked.subject, found.hits)
        if document is None:
            return replace(found, relevant=False)
        spread = self._spread(actor, document, found, collection_ids)
        return replace(found, query=question, hits=spread, relevant=True)

    def quotes(self, actor: Actor, question: str, result: SearchResult, limit: int) -> Quotes:
        """Return the quotes that answer a question, from what `search` found for it."""
        asked = understand(question)
        if result.relevant and result.hits:
            if asked.kind is QuestionKind.SUMMARY:
                return self._summary(actor, result)
            if asked.kind is QuestionKind.LISTING and (listed := self._listing(actor, asked, result)):
                return listed
            if asked.kind is QuestionKind.COMPARISON and (compared := self._comparison(actor, asked, result)):
                return compared
        else:
            return Quotes(asked.kind, (), ())
        kind = asked.kind if asked.kind in _AS_OPEN else QuestionKind.OPEN
        return Quotes(kind, result.hits, tuple(self._retriever.quotes(question, result, limit)))

    def _passages(self, actor: Actor, question: str, asked: Understood, groups: Collection[int]) -> SearchResult:
        """Return the passages for a question; where they are not relevant, those for what it names.

        Two or three words alone are near to many passages in another language, whose own words cannot speak for them.
        """
        found = self._retriever.search(actor, question, collection_ids=groups)
        if found.relevant:
            return found
        for text in asked.sides or (content(question),):
            if text and text != question:
                named = self._retriever.search(actor, text, collection_ids=groups)
                if named.relevant and _in_script_of(text, named.hits[0]):
                    return replace(named, query=question)
        return found

    def _spread(self, actor: Actor, document_id: int, found: SearchResult, groups: Collection[int]) -> tuple[Hit, ...]:
        """Return chunks from all over a document, as many as a search returns, in reading order."""
        chunks = self._contents.chunks(document_id, MAX_CHUNKS, 0, actor.readable())
        most = max(len(found.hits), 1)
        step = max(len(chunks) / most, 1.0)
        places = sorted({int(number * step) for number in range(most) if int(number * step) < len(chunks)})
        collection = next((hit.collection_id for hit in found.hits if hit.document_id == document_id), 0)
        return tuple(_hit(chunks[place], collection or next(iter(groups), 0)) for place in places)

    def _summary(self, actor: Actor, result: SearchResult) -> Quotes:
        first = result.hits[0]
        chunks = self._contents.chunks(first.document_id, MAX_CHUNKS, 0, actor.readable())
        hits: list[Hit] = []
        quotes: list[Quote] = []
        for number, text, shown in main_statements(chunks, _SUMMARY_QUOTES):
            hit = _hit(chunks[number], first.collection_id)
            if not hits or hits[-1].chunk_id != hit.chunk_id:
                hits.append(hit)
            quotes.append(Quote(len(hits) - 1, text, 1.0, shown=shown))
        return Quotes(
            QuestionKind.SUMMARY,
            tuple(hits),
            tuple(quotes),
            document=first.document,
            complete=len(chunks) < MAX_CHUNKS,
        )

    def _listing(self, actor: Actor, asked: Understood, result: SearchResult) -> Quotes | None:
        for hit in _documents(result.hits)[:_LISTED_DOCUMENTS]:
            chunks = self._contents.chunks(hit.document_id, MAX_CHUNKS, 0, actor.readable())
            found = best_list(asked.subject, chunks, self._retriever.lexical.idf)
            if found is not None:
                return Quotes(
                    QuestionKind.LISTING,
                    (_hit(chunks[found.chunk], hit.collection_id),),
                    (Quote(0, found.text, 1.0, shown=found.shown, label=found.title),),
                    document=hit.document,
                    entries=found.entries,
                    complete=found.complete,
                )
        return None

    def _comparison(self, actor: Actor, asked: Understood, result: SearchResult) -> Quotes | None:
        """Return the best quote for each side, None where one of them is not found."""
        hits: list[Hit] = []
        quotes: list[Quote] = []
        groups = tuple({hit.collection_id for hit in result.hits})
        for side in asked.sides:
            known = replace(result, query=side)
            best = self._retriever.quotes(side, known, 1)
            if not best:
                known = self._retriever.search(actor, side, collection_ids=groups)
                best = self._retriever.quotes(side, known, 1)
            if not best:
                return None
            hit = known.hits[best[0].hit]
            if hit.chunk_id not in {one.chunk_id for one in hits}:
                hits.append(hit)
            place = next(number for number, one in enumerate(hits) if one.chunk_id == hit.chunk_id)
            if best[0].text not in {one.text for one in quotes}:
                quotes.append(replace(best[0], hit=place, also=()))
        return Quotes(QuestionKind.COMPARISON, tuple(hits), tuple(quotes)) if len(quotes) > 1 else None


_AS_OPEN = frozenset({QuestionKind.DECISION, QuestionKind.CALCULATION})


def _documents(hits: Sequence[Hit]) -> list[Hit]:
    """Return the first hit of each document."""
    return list({hit.document_id: hit for hit in reversed(hits)}.values())[::-1]


def _named(subject: str, hits: Sequence[Hit]) -> int:
    """Return the document whose name has most of the subject's words, the best hit's among equals."""
    wanted = set(query_terms(subject))
    return max(_documents(hits), key=lambda hit: len(wanted & {*terms(hit.document)})).document_id


def _in_script_of(text: str, hit: Hit) -> bool:
    asked, script = main_script(text), main_script(hit.text)
    return not asked or not script or related_scripts(asked, script)


def _hit(chunk: Chunk, collection_id: int) -> Hit:
    return Hit(
        chunk_id=chunk.id,
        document_id=chunk.document_id,
        document=chunk.document,
        collection_id=collection_id,
        text=chunk.text,
        score=1.0,
        page=chunk.page,
        sheet=chunk.sheet,
        heading=chunk.heading,
    )
