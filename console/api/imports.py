"""Documents that come as chunks, from other programs' knowledge bases (`millpond import`)."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel, Field

from console.api.context import Context, request_scope
from console.api.schemas import Id, problem_responses
from services.core.errors import BadInputError
from services.core.i18n import _, plural
from services.core.requests import RequestKind
from services.knowledge.document_import import ImportedDocument, PreparedChunk, PreparedDocument
from services.knowledge.types import DocumentStatus

router = APIRouter(prefix="/api/imports", tags=["documents"])


class PreparedChunkIn(BaseModel):
    """One text of a document; `page` counts from 1."""

    text: str
    page: Annotated[int | None, Field(ge=1, lt=1_000_000)] = None
    metadata: dict[str, Any] = {}


class PreparedDocumentIn(BaseModel):
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


@router.post(
    "",
    status_code=202,
    summary="Import a document in chunks",
    responses=problem_responses(400, 404, 413),
)
async def import_document(body: PreparedDocumentIn, context: Context) -> ImportedOut:
    """Store texts with their metadata as they are; vectors of another model are made again in the background."""
    document = PreparedDocument(
        body.name,
        [PreparedChunk(chunk.text, chunk.page, chunk.metadata) for chunk in body.chunks],
        _vectors(body) if body.vectors else None,
    )
    detail = plural("document of {count} chunk", "document of {count} chunks", len(body.chunks))
    async with request_scope(context, RequestKind.UPLOAD, detail):
        imported: ImportedDocument = await context.threads.call(
            context.services.importer.add, document, body.collection
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
    except binascii.Error as error:
        raise BadInputError(_("The vectors are not in base64; nothing was imported.")) from error
    if len(data) != 4 * body.dimension * len(body.chunks):
        raise BadInputError(
            _("The vectors do not have the size of the chunks; nothing was imported."),
            _("Send float32 values, `dimension` of them for each chunk."),
        )
    return np.frombuffer(data, dtype="<f4").reshape(len(body.chunks), body.dimension)
