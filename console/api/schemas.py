"""The bodies of requests and answers: the public shape, independent of the types inside."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from services.knowledge.types import DocumentStatus, JobKind

LARGEST_ID = 2**63 - 1  # what the database can look for
Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]


class _Out(BaseModel):
    """Built from the frozen values of the services."""

    model_config = ConfigDict(from_attributes=True)


class ProgressOut(_Out):
    """`done` of `total` `unit`s; total 0: not known yet."""

    done: int
    total: int
    unit: str


class DocumentOut(_Out):
    """A document; while a new version is taken in, `status` is that version's and the old one stays searchable."""

    id: int
    name: str
    collection_id: int
    collection: str
    status: DocumentStatus
    progress: ProgressOut
    error: str
    hint: str
    enabled: bool
    searchable: bool
    version: int
    size_bytes: int
    sha256: str
    media_type: str
    pages: int
    chunks: int
    created_at: datetime
    updated_at: datetime
    job_id: int | None


class DocumentsOut(BaseModel):
    """One page of a list; `total` counts all that fit the filter."""

    documents: list[DocumentOut]
    total: int


class TakenOut(BaseModel):
    """A file that was taken; `duplicate`: its content was there already, nothing was done."""

    id: int
    name: str
    status: DocumentStatus
    duplicate: bool


class RefusedOut(BaseModel):
    """A file that was not taken, and why. Nothing of it was kept."""

    name: str
    status: int
    title: str
    detail: str
    hint: str


class UploadOut(BaseModel):
    """What became of the files of one request."""

    documents: list[TakenOut]
    errors: list[RefusedOut] = []


class ChunkOut(_Out):
    """A piece of a document's text; `position` counts from 0."""

    id: int
    position: int
    text: str
    tokens: int
    page: int | None
    sheet: str
    heading: list[str]


class ChunksOut(BaseModel):
    """One page of a document's chunks."""

    chunks: list[ChunkOut]
    total: int


class CollectionOut(_Out):
    """A named group of documents."""

    id: int
    name: str
    documents: int


class CollectionsOut(BaseModel):
    """All collections."""

    collections: list[CollectionOut]


class CollectionIn(BaseModel):
    """The name of a collection that is to be made."""

    name: str


class JobOut(_Out):
    """One piece of ingestion work."""

    id: int
    document_id: int
    document: str
    kind: JobKind
    status: DocumentStatus
    progress: ProgressOut
    error: str
    hint: str
    attempts: int
    created_at: datetime
    finished_at: datetime | None


class JobsOut(BaseModel):
    """The newest jobs."""

    jobs: list[JobOut]


class SearchIn(BaseModel):
    """What to look for. Weights and threshold default to what was applied to chat."""

    query: str
    k: int | None = Field(None, ge=1, le=200, description="Most hits")
    collections: list[Id] = Field(default_factory=list, description="Ids of the collections to search; empty: all")
    dense_weight: float | None = Field(None, ge=0)
    lexical_weight: float | None = Field(None, ge=0)
    threshold: float | None = Field(None, ge=0, le=1, description="Least fused score")


class HitOut(_Out):
    """A chunk that answers. `score` is fused, 0 to 1; the others are null where that search did not find it."""

    chunk_id: int
    document_id: int
    document: str
    collection_id: int
    page: int | None
    sheet: str
    heading: list[str]
    text: str
    score: float
    dense_score: float | None
    lexical_score: float | None


class SearchOut(_Out):
    """The hits, best first; `relevant` is false when the best is not better than chance would give. Times in ms."""

    query: str
    hits: list[HitOut]
    relevant: bool
    dense_trust: float
    embed_ms: float
    dense_ms: float
    lexical_ms: float
    total_ms: float


class ProblemOut(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    hint: str
    request_id: str
