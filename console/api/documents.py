"""Documents: hand them in, watch them, read their chunks, get the original, delete."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, JSONResponse, Response

from console.api.context import ApiContext, Context
from console.api.headers import attachment
from console.api.problems import error_response
from console.api.schemas import LARGEST_ID, ChunkOut, ChunksOut, DocumentOut, DocumentsOut, Id, ProblemOut, UploadOut
from console.api.scoped import scoped
from console.api.uploads import RefusedUploadError, Upload
from services.knowledge.types import Document, DocumentStatus
from services.scopes import ScopeKind
from services.texts import _

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
        async with scoped(context, ScopeKind.UPLOAD, _announced(request)):
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
