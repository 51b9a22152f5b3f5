"""Documents: hand them in, watch them, read their chunks, get the original, delete.

Collections: named groups of documents.

Headers for content that somebody else wrote.

Ingestion jobs: what is waiting, running, failed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, JSONResponse, Response

from console.api.context import ApiContext, Context
from console.api.problems import error_response
from console.api.schemas import (
    LARGEST_ID,
    ChunkOut,
    ChunksOut,
    CollectionIn,
    CollectionOut,
    CollectionsOut,
    DocumentOut,
    DocumentsOut,
    Id,
    JobOut,
    JobsOut,
    ProblemOut,
    UploadOut,
)
from console.api.search import scoped
from console.api.uploads import RefusedUploadError, Upload
from services.core.i18n import _
from services.core.requests import RequestKind
from services.knowledge.types import Document, DocumentStatus

router = APIRouter(prefix="/api/documents", tags=["documents"])
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "collection": {"type": "integer", "description": "Id of the collection; best sent first"},
                        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    },
                }
            }
        },
    }
}
collections_router = APIRouter(prefix="/api/collections", tags=["collections"])
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-() ")
jobs_router = APIRouter(prefix="/api/jobs", tags=["jobs"])


@router.post(
    "",
    status_code=202,
    summary="Hand in files",
    response_model=UploadOut,
    responses={400: {"model": ProblemOut}, 413: {"model": ProblemOut}, 507: {"model": ProblemOut}},
    openapi_extra=_FORM,
)
async def hand_in(request: Request, context: Context, collection: Id | None = None) -> Response:
    """Take one or several files; they are read in the background, see `status` of each.

    The files go to disk as they arrive. One that cannot be taken does not keep the others out: it is listed in
    `errors`. When none can be taken the answer is the problem of the first.
    """
    upload = Upload(context, collection)
    try:
        async with scoped(context, RequestKind.UPLOAD, _announced(request)):
            result = await upload.take(request.headers.get("content-type", ""), request.stream())
    except RefusedUploadError as refused:
        errors = [error.model_dump() for error in refused.errors]
        return error_response(refused.first, errors=errors)
    return JSONResponse(result.model_dump(mode="json"), status_code=202)


def _announced(request: Request) -> str:
    """Return what others may know of an upload: how much it is, as far as the client says."""
    length = request.headers.get("content-length", "")
    if not length.isascii() or not length.isdigit():
        return _("files")
    return _("files, {megabytes:.1f} MB").format(megabytes=int(length[:15]) / 2**20)


@router.get("", summary="List documents")
async def documents(
    context: Context,
    *,
    collection: Annotated[list[Id] | None, Query(description="Only these collections")] = None,
    query: Annotated[str, Query(description="Only names that contain this")] = "",
    status: Annotated[list[DocumentStatus] | None, Query(description="Only these states")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=LARGEST_ID)] = 0,
    order: Literal["updated_at", "created_at", "name", "size_bytes", "chunks", "status"] = "updated_at",
    descending: bool = True,
) -> DocumentsOut:
    """Return one page of the documents and how many there are in all."""

    def read() -> tuple[list[Document], int]:
        library = context.runtime.library
        filters: dict[str, Any] = {
            "collection_ids": tuple(collection or ()),
            "query": query,
            "statuses": tuple(status or ()),
        }
        page = library.documents(**filters, limit=limit, offset=offset, order=order, descending=descending)
        return page, library.count_documents(**filters)

    page, total = await context.threads.call(read)
    return DocumentsOut(documents=[DocumentOut.model_validate(document) for document in page], total=total)


@router.get("/{document_id}", summary="See one document", responses={404: {"model": ProblemOut}})
async def document(document_id: Id, context: Context) -> DocumentOut:
    """Return a document with its status, progress, number of chunks, and what went wrong if something did."""
    return DocumentOut.model_validate(await context.threads.call(context.runtime.library.document, document_id))


@router.delete("/{document_id}", status_code=204, summary="Delete a document", responses={404: {"model": ProblemOut}})
async def delete(document_id: Id, context: Context) -> Response:
    """Remove file, chunks, terms and vectors in one go."""

    def remove() -> None:
        context.runtime.library.document(document_id)
        context.runtime.library.delete([document_id])

    await context.threads.call(remove)
    return Response(status_code=204)


@router.get("/{document_id}/chunks", summary="Read the chunks", responses={404: {"model": ProblemOut}})
async def chunks(
    document_id: Id,
    context: Context,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=LARGEST_ID)] = 0,
) -> ChunksOut:
    """Return one page of the chunks, in the order of the text."""

    def read() -> ChunksOut:
        total = context.runtime.library.document(document_id).chunks
        page = context.runtime.library.chunks(document_id, limit=limit, offset=offset)
        return ChunksOut(chunks=[ChunkOut.model_validate(chunk) for chunk in page], total=total)

    return await context.threads.call(read)


@router.get(
    "/{document_id}/original",
    summary="Get the original",
    response_class=FileResponse,
    responses={404: {"model": ProblemOut}},
)
async def original(document_id: Id, context: Context) -> Response:
    """Return the file as it was handed in, always as a download."""
    path, found = await context.threads.call(context.runtime.library.original, document_id)
    return FileResponse(path, media_type="application/octet-stream", headers=attachment(found.name))


@router.post("/{document_id}/enable", summary="Let a document answer again", responses={404: {"model": ProblemOut}})
async def enable(document_id: Id, context: Context) -> DocumentOut:
    """Take a document back into searches."""
    return await _set_enabled(context, document_id, enabled=True)


@router.post("/{document_id}/disable", summary="Keep a document out", responses={404: {"model": ProblemOut}})
async def disable(document_id: Id, context: Context) -> DocumentOut:
    """Keep a document out of searches without deleting it."""
    return await _set_enabled(context, document_id, enabled=False)


async def _set_enabled(context: ApiContext, document_id: int, *, enabled: bool) -> DocumentOut:
    def change() -> Document:
        context.runtime.library.document(document_id)
        context.runtime.library.set_enabled([document_id], enabled)
        return context.runtime.library.document(document_id)

    return DocumentOut.model_validate(await context.threads.call(change))


@collections_router.get("", summary="List collections")
async def list_collections(context: Context) -> CollectionsOut:
    """Return all collections."""
    found = await context.threads.call(context.runtime.library.collections)
    return CollectionsOut(collections=[CollectionOut.model_validate(collection) for collection in found])


@collections_router.post("", status_code=201, summary="Make a collection")
async def create_collection(body: CollectionIn, context: Context) -> CollectionOut:
    """Make a collection with a name that is not taken."""
    return CollectionOut.model_validate(
        await context.threads.call(context.runtime.library.create_collection, body.name)
    )


@collections_router.patch("/{collection_id}", summary="Rename a collection")
async def rename_collection(collection_id: Id, body: CollectionIn, context: Context) -> CollectionsOut:
    """Give a collection another name; answers with all collections."""
    await context.threads.call(context.runtime.library.rename_collection, collection_id, body.name)
    return await list_collections(context)


@collections_router.delete("/{collection_id}", status_code=204, summary="Delete a collection with its documents")
async def delete_collection(collection_id: Id, context: Context) -> Response:
    """Delete a collection and every document in it."""
    await context.threads.call(context.runtime.library.delete_collection, collection_id)
    return Response(status_code=204)


def attachment(name: str) -> dict[str, str]:
    """Return headers that make a browser save a file under `name` and never show or run it.

    The name is given twice (RFC 6266): in plain ASCII for old clients, and in full as RFC 5987 has it.
    """
    plain = "".join(letter if letter in _PLAIN else "_" for letter in name).strip() or "document"
    return {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }


@jobs_router.get("", summary="List jobs")
async def list_jobs(
    context: Context, *, unfinished: bool = False, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> JobsOut:
    """Return the newest jobs, or only those that are not finished."""
    found = await context.threads.call(context.runtime.library.jobs, unfinished_only=unfinished, limit=limit)
    return JobsOut(jobs=[JobOut.model_validate(job) for job in found])


@jobs_router.post("/{job_id}/cancel", status_code=204, summary="Cancel a job")
async def cancel_job(job_id: Id, context: Context) -> Response:
    """Stop a job; what it had done is dropped, what was searchable before stays so."""
    await context.threads.call(context.runtime.library.cancel, job_id)
    return Response(status_code=204)


@jobs_router.delete("/{job_id}", status_code=204, summary="Remove a job")
async def remove_job(job_id: Id, context: Context) -> Response:
    """Take a job out of the list, cancelling it first if it is not finished."""
    await context.threads.call(context.runtime.library.remove, job_id)
    return Response(status_code=204)


@jobs_router.post("/{job_id}/retry", status_code=202, summary="Try a job again")
async def retry_job(job_id: Id, context: Context) -> JobOut:
    """Queue a failed or cancelled job once more."""
    return JobOut.model_validate(await context.threads.call(context.runtime.library.retry, job_id))
