"""Value types of `services.knowledge`, frozen, served as they are by pages and API."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.core.document_quotes import Quoted
from services.knowledge.notes import Note


class DocumentStatus(StrEnum):
    """State of a document's newest revision."""

    QUEUED = "queued"
    PARSING = "parsing"
    EMBEDDING = "embedding"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNFINISHED = frozenset({DocumentStatus.QUEUED, DocumentStatus.PARSING, DocumentStatus.EMBEDDING})


class JobKind(StrEnum):
    """Why a revision is built."""

    INGEST = "ingest"
    RECHUNK = "rechunk"
    REEMBED = "reembed"
    REREAD = "reread"


@dataclass(frozen=True, slots=True)
class Collection:
    """A named group of documents."""

    id: int
    name: str
    documents: int = 0


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Progress of a job: `done` of `total` `unit`s ("page", "chunk"); a total of 0 is not known yet."""

    done: int = 0
    total: int = 0
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """An ingestion job and its outcome."""

    id: int
    document_id: int
    document: str
    kind: JobKind
    status: DocumentStatus
    progress: JobProgress
    error: str
    hint: str
    attempts: int
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Recognition:
    """Which pages of a document were read by text recognition, and how sure it was, from 0 to 1.

    `pages` is a list for people ("2-4, 7"). `confidence` is the mean over their characters, `least_confidence` that of
    the least sure line, which is on page `least_page`.
    """

    count: int
    pages: str
    confidence: float
    least_confidence: float
    least_page: int


@dataclass(frozen=True, slots=True)
class Document:
    """A document as users see it; `version` counts the contents that the name has had.

    `searchable` tells whether a version of it is searched now; while a new version is being ingested, `status` is that
    version's and the old one stays searchable. `notes` tell how the searched version was read, `recognition` which of
    its pages text recognition read, if any; `added_by` is the person who added it, where people have accounts.
    """

    id: int
    name: str
    collection_id: int
    collection: str
    status: DocumentStatus
    progress: JobProgress
    error: str
    hint: str
    enabled: bool
    searchable: bool
    version: int
    size_bytes: int
    sha256: str
    media_type: str
    pages: int
    notes: tuple[Note, ...]
    chunks: int
    created_at: datetime
    updated_at: datetime
    job_id: int | None
    added_by: int | None = None
    recognition: Recognition | None = None


@dataclass(frozen=True, slots=True)
class Intake:
    """The outcome of an upload. `duplicate`: the content was known already, nothing was done."""

    document: Document
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """Parsed text from one place in the original.

    `page` counts from 1 (PDF pages, PPTX slides); `sheet` is a spreadsheet's; `heading` is the path of headings,
    outermost first.
    """

    text: str
    page: int | None = None
    sheet: str = ""
    heading: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentTopics:
    """What a document is about, by its name and the paths of its first headings, outermost first, in their order."""

    name: str
    headings: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class ChunkDraft:
    """A chunk before it is stored: text, its place, its length in the embedder's tokens, its lexical terms.

    `metadata` is what another program knew of it, as JSON has it; chunks of files have none.
    """

    text: str
    tokens: int
    terms: str
    page: int | None = None
    sheet: str = ""
    heading: tuple[str, ...] = ()
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stored chunk; `position` counts from 0 within its document."""

    id: int
    document_id: int
    document: str
    position: int
    text: str
    tokens: int
    page: int | None = None
    sheet: str = ""
    heading: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RetrievalSettings:
    """How hits are selected. Weights are relative; `threshold` is the lowest fused score, from 0 to 1."""

    k: int = 6
    dense_weight: float = 1.0
    lexical_weight: float = 1.0
    threshold: float = 0.0


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk found for a query. Scores: `score` fused, 0 to 1; `dense_score` cosine; `lexical_score` BM25, >= 0.

    A score is None where that search did not find the chunk.
    """

    chunk_id: int
    document_id: int
    document: str
    collection_id: int
    text: str
    score: float
    dense_score: float | None = None
    lexical_score: float | None = None
    page: int | None = None
    sheet: str = ""
    heading: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Correction:
    """A word of a query that no document has, and the word that was searched for instead."""

    typed: str
    read: str


@dataclass(frozen=True, slots=True)
class EmbedderTrust:
    """How well the embedding model knows a kind of text in a script, 0 to 1, and from how many questions it is known.

    `script` is as Unicode names it ("LATIN", "CJK"), `kind` one of `services.knowledge.text.kinds`.
    """

    script: str
    kind: str
    trust: float
    samples: int


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The hits of one query, best first, with timings in milliseconds.

    `dense_trust` is how well the embedder knows the query's script, 0 (not at all) to 1, as measured. `terms` are the
    query's lexical terms, for highlighting. `relevant` is false when the best hit is no better than chance.
    """

    query: str
    hits: tuple[Hit, ...]
    relevant: bool
    dense_trust: float
    terms: tuple[str, ...] = ()
    corrections: tuple[Correction, ...] = ()
    embed_ms: float = 0.0
    dense_ms: float = 0.0
    lexical_ms: float = 0.0
    total_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Quote:
    """Words copied from a hit as part of an answer. `hit` is the position in the hits, from 0.

    `text` locates them; `shown` is how they are quoted: with the question, header row or lead-in that they need, as
    Markdown where they are code, a table or a list. `label` is the title above them, where they need one; `also` are
    further hits with the same words.
    """

    hit: int
    text: str
    score: float
    shown: str = ""
    label: str = ""
    also: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Quotes:
    """The quotes that answer a question, by the kind of the question.

    `hits` are what the quotes are from. `document` is the one that was summarised or listed from, "" otherwise;
    `entries` is how many entries a list has, and `complete` is false where more were found than are quoted.
    """

    kind: str
    hits: tuple[Hit, ...]
    quotes: tuple[Quote, ...]
    document: str = ""
    entries: int = 0
    complete: bool = True


@dataclass(frozen=True, slots=True)
class DeletionReport:
    """What a deletion removed: documents, chunks, bytes of originals, and answers that quoted them; `quoted` stay."""

    documents: int = 0
    chunks: int = 0
    bytes: int = 0
    answers_erased: int = 0
    quoted: Quoted = field(default_factory=Quoted)


@dataclass(frozen=True, slots=True)
class LibraryCounts:
    """Totals of the library, for the status bar; `notes` by kind, of the searched versions."""

    documents: int = 0
    searchable: int = 0
    chunks: int = 0
    bytes: int = 0
    jobs_unfinished: int = 0
    jobs_failed: int = 0
    notes: tuple[tuple[str, int], ...] = field(default=(), kw_only=True)
