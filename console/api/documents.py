"""The library over HTTP: documents with chunks and originals, collections, jobs, documents that come as chunks."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal
from urllib.parse import quote

import numpy as np
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import FileResponse, JSONResponse, Response

from console.api.context import ApiContext, Caller, Context, request_scope
from console.api.deletions import STAYS, EraseQuotes, deletion_response
from console.api.inputs import MAX_FILTER, MAX_ID, VISIBLE, Id, JsonBody
from console.api.permissions import needs
from console.api.problems import Projection, error_response, other_forms, problem_responses
from console.api.translated import TranslatedRoute
from console.api.upload_pace import paced
from console.api.uploads import RejectedUploadError, UploadOut, UploadReader
from services.core.actor import Actor, Permission
from services.core.auditing import Action, Target, TargetKind
from services.core.errors import BadInputError
from services.core.i18n import _, plural
from services.core.machine import MEGABYTE
from services.core.requests import RequestKind
from services.knowledge.document_import import ImportedDocument, PreparedChunk, PreparedDocument
from services.knowledge.types import Collection, DeletionReport, Document, DocumentStatus, Job

router = APIRouter(route_class=TranslatedRoute, prefix="/api/documents", tags=["documents"])
collections_router = APIRouter(route_class=TranslatedRoute, prefix="/api/collections", tags=["collections"])
jobs_router = APIRouter(route_class=TranslatedRoute, prefix="/api/jobs", tags=["jobs"])
_MISSING = problem_responses(404)
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "collection": {
                            "type": "integer",
                            "minimum": 1,
                            "maximum": MAX_ID,
                            "description": "Id of the collection; best sent first",
                        },
                        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    },
                }
            }
        },
    }
}
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-() ")
imports_router = APIRouter(route_class=TranslatedRoute, prefix="/api/imports", tags=["documents"])


class DocumentsOut(BaseModel):
    """One page of a list; `total` counts all documents that match the filter."""

    documents: list[Document]
    total: int


class ChunkOut(Projection):
    """A chunk of a document's text; `position` counts from 0."""

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


class CollectionsOut(BaseModel):
    """All collections."""

    collections: list[Collection]


class CollectionIn(JsonBody):
    """The name of a collection to create, or its new name."""

    name: str = Field(max_length=MAX_FILTER, json_schema_extra=VISIBLE)


class JobsOut(BaseModel):
    """The newest jobs."""

    jobs: list[Job]


@router.post(
    "",
    dependencies=needs(Permission.WRITE),
    status_code=202,
    summary="Upload files",
    response_model=UploadOut,
    responses=problem_responses(400, 413, 507),
    openapi_extra=_FORM,
)
async def upload(request: Request, context: Context, actor: Caller, collection: Id | None = None) -> Response:
    """Accept one or several files; they are ingested in the background, see `status` of each.

    The files go to disk as they arrive. Folders in a name are kept ("guides/intro.md" becomes "guides › intro.md"); a
    second file of one name is refused. A refused file does not keep the others out: it is listed in `errors`.
    When all are refused the answer is the problem of the first.
    """
    reader = UploadReader(context, actor, collection)
    try:
        async with request_scope(context, RequestKind.UPLOAD, _upload_detail(request)) as scope:
            result = await reader.read(request.headers.get("content-type", ""), paced(request.stream(), scope))
    except RejectedUploadError as rejected:
        errors = [error.model_dump() for error in rejected.errors]
        return error_response(rejected.first, errors=errors)
    return JSONResponse(result.model_dump(mode="json"), status_code=202)


def _upload_detail(request: Request) -> str:
    """Return what the request list shows of an upload: its size, as far as the client announces it."""
    length = request.headers.get("content-length", "")
    if not length.isascii() or not length.isdigit():
        return _("files")
    return _("files, {megabytes:.1f} MB").format(megabytes=int(length[:15]) / MEGABYTE)


@router.get("", dependencies=needs(Permission.READ), summary="List documents")
async def documents(
    context: Context,
    actor: Caller,
    *,
    collection: Annotated[list[Id] | None, Query(description="Only these collections")] = None,
    query: Annotated[str, Query(max_length=MAX_FILTER, description="Only names that contain this")] = "",
    status: Annotated[list[DocumentStatus] | None, Query(description="Only these states")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=MAX_ID)] = 0,
    order: Literal["updated_at", "created_at", "name", "size_bytes", "chunks", "status"] = "updated_at",
    descending: bool = True,
) -> DocumentsOut:
    """Return one page of the documents and their total number."""

    def read() -> tuple[list[Document], int]:
        library = context.services.library
        filters: dict[str, Any] = {
            "collection_ids": tuple(collection or ()),
            "query": query,
            "statuses": tuple(status or ()),
        }
        page = library.documents(actor, **filters, limit=limit, offset=offset, order=order, descending=descending)
        return page, library.count_documents(actor, **filters)

    page, total = await context.threads.call(read)
    return DocumentsOut(documents=page, total=total)


@router.get("/{document_id}", dependencies=needs(Permission.READ), summary="See one document", responses=_MISSING)
async def document(document_id: Id, context: Context, actor: Caller) -> Document:
    """Return a document with its status, progress, number of chunks, and its error if it failed."""
    return await context.threads.call(context.services.library.document, actor, document_id)


@router.delete(
    "/{document_id}",
    dependencies=needs(Permission.WRITE),
    status_code=204,
    summary="Delete a document",
    responses=_MISSING | STAYS,
)
async def delete(document_id: Id, context: Context, actor: Caller, *, erase_quotes: EraseQuotes = False) -> Response:
    """Delete the file with its chunks, terms and vectors, and the attachments that only it brought, in one step.

    Within seconds nothing of it is left in any file, except for answers that quote it (status 200, `quoted`): they stay
    with the conversations, named as quotes of a deleted document, unless `erase_quotes`.
    """

    def remove() -> DeletionReport:
        context.services.library.document(actor, document_id)
        return context.services.library.delete(actor, [document_id], erase_quotes=erase_quotes)

    return deletion_response(await context.threads.call(remove))


@router.get("/{document_id}/chunks", dependencies=needs(Permission.READ), summary="Read the chunks", responses=_MISSING)
async def chunks(
    document_id: Id,
    context: Context,
    actor: Caller,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=MAX_ID)] = 0,
) -> ChunksOut:
    """Return one page of the chunks, in the order of the text."""

    def read() -> ChunksOut:
        total = context.services.library.document(actor, document_id).chunks
        page = context.services.library.reader.chunks(actor, document_id, limit=limit, offset=offset)
        return ChunksOut(chunks=[ChunkOut.model_validate(chunk) for chunk in page], total=total)

    return await context.threads.call(read)


@router.get(
    "/{document_id}/original",
    dependencies=needs(Permission.READ),
    summary="Get the original",
    response_class=FileResponse,
    responses=_MISSING | other_forms("application/octet-stream"),
)
async def original(document_id: Id, context: Context, actor: Caller) -> Response:
    """Return the file as it was uploaded, always as a download."""
    path, found = await context.threads.call(context.services.library.reader.original, actor, document_id)
    target = Target(TargetKind.DOCUMENT, found.id, found.name)
    await context.threads.call(context.services.audit.record, actor, Action.EXPORT, target)
    return FileResponse(path, media_type="application/octet-stream", headers=attachment(found.name))


@router.post(
    "/{document_id}/enable", dependencies=needs(Permission.WRITE), summary="Enable a document", responses=_MISSING
)
async def enable(document_id: Id, context: Context, actor: Caller) -> Document:
    """Include a document in searches again."""
    return await _set_enabled(context, actor, document_id, enabled=True)


@router.post(
    "/{document_id}/disable", dependencies=needs(Permission.WRITE), summary="Disable a document", responses=_MISSING
)
async def disable(document_id: Id, context: Context, actor: Caller) -> Document:
    """Exclude a document from searches without deleting it."""
    return await _set_enabled(context, actor, document_id, enabled=False)


async def _set_enabled(context: ApiContext, actor: Actor, document_id: int, *, enabled: bool) -> Document:
    def change() -> Document:
        context.services.library.document(actor, document_id)
        context.services.library.set_enabled(actor, [document_id], enabled)
        return context.services.library.document(actor, document_id)

    return await context.threads.call(change)


@collections_router.get("", dependencies=needs(Permission.READ), summary="List collections")
async def list_collections(context: Context, actor: Caller) -> CollectionsOut:
    """Return all collections that may be read."""
    found = await context.threads.call(context.services.library.collections, actor)
    return CollectionsOut(collections=found)


@collections_router.post("", dependencies=needs(Permission.WRITE), status_code=201, summary="Create a collection")
async def create_collection(body: CollectionIn, context: Context, actor: Caller) -> Collection:
    """Create a collection; its name must not be in use."""
    return await context.threads.call(context.services.library.create_collection, actor, body.name)


@collections_router.patch("/{collection_id}", dependencies=needs(Permission.WRITE), summary="Rename a collection")
async def rename_collection(collection_id: Id, body: CollectionIn, context: Context, actor: Caller) -> CollectionsOut:
    """Rename a collection; returns all collections."""
    await context.threads.call(context.services.library.rename_collection, actor, collection_id, body.name)
    return await list_collections(context, actor)


@collections_router.delete(
    "/{collection_id}",
    dependencies=needs(Permission.WRITE),
    status_code=204,
    summary="Delete a collection with its documents",
    responses=STAYS,
)
async def delete_collection(
    collection_id: Id, context: Context, actor: Caller, *, erase_quotes: EraseQuotes = False
) -> Response:
    """Delete a collection and every document in it; what stays of them as for one document."""
    library = context.services.library
    report = await context.threads.call(library.delete_collection, actor, collection_id, erase_quotes=erase_quotes)
    return deletion_response(report)


def attachment(name: str) -> dict[str, str]:
    """Return headers with which a browser saves a file under `name` and never shows or runs it.

    The name is given twice (RFC 6266): in plain ASCII for old clients, and in full as RFC 5987 has it.
    """
    plain = "".join(letter if letter in _PLAIN else "_" for letter in name).strip() or "document"
    return {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
    }


@jobs_router.get("", dependencies=needs(Permission.READ), summary="List jobs")
async def list_jobs(
    context: Context, actor: Caller, *, unfinished: bool = False, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> JobsOut:
    """Return the newest jobs, or only those that are not finished."""
    found = await context.threads.call(
        context.services.library.jobs.recent, actor, unfinished_only=unfinished, limit=limit
    )
    return JobsOut(jobs=found)


@jobs_router.post("/{job_id}/cancel", dependencies=needs(Permission.WRITE), status_code=204, summary="Cancel a job")
async def cancel_job(job_id: Id, context: Context, actor: Caller) -> Response:
    """Stop a job; its results are dropped, what was searchable before stays searchable."""
    await context.threads.call(context.services.library.jobs.cancel, actor, job_id)
    return Response(status_code=204)


@jobs_router.delete("/{job_id}", dependencies=needs(Permission.WRITE), status_code=204, summary="Remove a job")
async def remove_job(job_id: Id, context: Context, actor: Caller) -> Response:
    """Remove a job from the list; one that is not finished is cancelled first."""
    await context.threads.call(context.services.library.jobs.remove, actor, job_id)
    return Response(status_code=204)


@jobs_router.post("/{job_id}/retry", dependencies=needs(Permission.WRITE), status_code=202, summary="Retry a job")
async def retry_job(job_id: Id, context: Context, actor: Caller) -> Job:
    """Queue a failed or cancelled job again."""
    return await context.threads.call(context.services.library.jobs.retry, actor, job_id)


class PreparedChunkIn(JsonBody):
    """One text of a document; `page` counts from 1."""

    text: str
    page: Annotated[int | None, Field(ge=1, lt=1_000_000)] = None
    metadata: Annotated[dict[str, Any], Field(default_factory=dict)]


class PreparedDocumentIn(JsonBody):
    """A document in chunks. `vectors`: float32, little-endian, one row of `dimension` for each chunk, in base64."""

    name: Annotated[str, Field(min_length=1, max_length=1000)]
    collection: Id | None = None
    chunks: Annotated[list[PreparedChunkIn], Field(min_length=1)]
    vectors: str = ""
    dimension: Annotated[int, Field(ge=0, le=65_536)] = 0


class ImportedOut(BaseModel):
    """What became of the document; `vectors_kept`: they are the embedding model's own and were not made again."""

    id: int
    name: str
    status: DocumentStatus
    duplicate: bool
    vectors_kept: bool


@imports_router.post(
    "",
    dependencies=needs(Permission.WRITE),
    status_code=202,
    summary="Import a document in chunks",
    responses=problem_responses(400, 404, 413),
)
async def import_document(body: PreparedDocumentIn, context: Context, actor: Caller) -> ImportedOut:
    """Store texts with their metadata as they are; vectors of another model are made again in the background."""
    document = PreparedDocument(
        body.name,
        [PreparedChunk(chunk.text, chunk.page, chunk.metadata) for chunk in body.chunks],
        _vectors(body) if body.vectors else None,
    )
    detail = plural("document of {count} chunk", "document of {count} chunks", len(body.chunks))
    async with request_scope(context, RequestKind.UPLOAD, detail):
        imported: ImportedDocument = await context.threads.call(
            context.services.importer.add, actor, document, body.collection
        )
    return ImportedOut(
        id=imported.document.id,
        name=imported.document.name,
        status=imported.document.status,
        duplicate=imported.duplicate,
        vectors_kept=imported.vectors_kept,
    )


def _vectors(body: PreparedDocumentIn) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    try:
        data = base64.b64decode(body.vectors, validate=True)
    except ValueError as error:  # no base64, or characters beyond ASCII
        raise BadInputError(_("The vectors are not in base64; nothing was imported.")) from error
    if len(data) != 4 * body.dimension * len(body.chunks):
        raise BadInputError(
            _("The vectors do not have the size of the chunks; nothing was imported."),
            _("Send float32 values, `dimension` of them for each chunk."),
        )
    return np.frombuffer(data, dtype="<f4").reshape(len(body.chunks), body.dimension)
