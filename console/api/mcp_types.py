"""What the tools at /mcp take and return; their JSON schemas are what a language model sees of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from console.api.inputs import MAX_FILTER, MAX_ID, Id, JsonBody

MOST_HITS = 20
MOST_DOCUMENTS = 200
MOST_CHARACTERS = 50_000
_COLLECTIONS = "Ids of the collections to look in, from list_documents; empty: all that may be read"
Collections = Annotated[list[Id], Field(max_length=1000, description=_COLLECTIONS)]


class SearchArguments(JsonBody):
    """Arguments of search."""

    query: str = Field(description="What to look for, as a question or in words, in English or Chinese")
    collections: Collections = Field(default_factory=list)
    limit: int = Field(6, ge=1, le=MOST_HITS, description="Most passages")


class AskArguments(JsonBody):
    """Arguments of ask."""

    question: str = Field(description="A question in full, in English or Chinese")
    collections: Collections = Field(default_factory=list)


class ListArguments(JsonBody):
    """Arguments of list_documents."""

    name: str = Field("", max_length=MAX_FILTER, description="Only documents whose name contains this")
    collections: Collections = Field(default_factory=list)
    offset: int = Field(0, ge=0, le=MAX_ID, description="How many documents to skip: next_offset of the page before")
    limit: int = Field(50, ge=1, le=MOST_DOCUMENTS, description="Most documents")


class ReadArguments(JsonBody):
    """Arguments of read_document."""

    document_id: Id = Field(description="Id of the document, from the other tools")
    offset: int = Field(0, ge=0, le=MAX_ID, description="Where to begin, in characters: next_offset of the page before")
    limit: int = Field(20_000, ge=1, le=MOST_CHARACTERS, description="Most characters")


class FoundPassage(BaseModel):
    """A passage of a document; score from 0 to 1."""

    number: int
    document_id: int
    document: str
    uri: str
    collection_id: int
    page: int | None
    sheet: str
    heading: list[str]
    score: float
    text: str


class SearchOutput(BaseModel):
    """Passages, best first; relevant is false where the best is no better than chance."""

    relevant: bool
    passages: list[FoundPassage]


class Source(BaseModel):
    """A numbered source of an answer with the words that are cited."""

    number: int
    document_id: int
    document: str
    uri: str
    page: int | None
    sheet: str
    heading: list[str]
    quote: str
    cited: bool


class AskOutput(BaseModel):
    """An answer with [1], [2] for its sources."""

    answer: str
    answered_by: str
    sources: list[Source]


class ListedDocument(BaseModel):
    """A document."""

    id: int
    name: str
    uri: str
    collection_id: int
    collection: str
    status: str
    searchable: bool
    pages: int
    size_bytes: int
    updated_at: str


class ListOutput(BaseModel):
    """A page of documents, the newest first; next_offset is null on the last page."""

    documents: list[ListedDocument]
    total: int
    next_offset: int | None


class ReadOutput(BaseModel):
    """A part of a document's text; next_offset is null at its end."""

    document_id: int
    name: str
    uri: str
    offset: int
    total_characters: int
    next_offset: int | None
    text: str
