"""Pages of documents over HTTP: as pictures with words marked, which text recognition read, reading them again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel
from starlette.responses import Response

from console.api.context import Caller, Context
from console.api.inputs import Id
from console.api.permissions import needs
from console.api.problems import Projection, other_forms, problem_responses
from services.core.actor import Permission
from services.knowledge.types import Job

router = APIRouter(prefix="/api/documents", tags=["documents"])


class RecognizedPageOut(Projection):
    """A page read by text recognition; confidences, from 0 to 1, are of its characters and of its least sure line."""

    page: int
    confidence: float
    least_confidence: float


class RecognitionOut(BaseModel):
    """The pages of a document that text recognition read."""

    pages: list[RecognizedPageOut]


@router.post(
    "/{document_id}/reread",
    dependencies=needs(Permission.WRITE),
    status_code=202,
    summary="Read a document again",
    responses=problem_responses(404, 409),
)
async def reread(document_id: Id, context: Context, actor: Caller) -> Job:
    """Read the original once more, as this version and its settings do: pages that are pictures by text recognition.

    What the document says now stays searchable until then.
    """

    def begin() -> Job:
        context.services.library.document(actor, document_id)
        return context.services.library.jobs.reread(actor, [document_id])[0]

    return await context.threads.call(begin)


@router.get(
    "/{document_id}/recognition",
    dependencies=needs(Permission.READ),
    summary="See which pages text recognition read",
    responses=problem_responses(404),
)
async def recognition(document_id: Id, context: Context, actor: Caller) -> RecognitionOut:
    """Return the pages that text recognition read, and how sure it was of each."""

    def read() -> RecognitionOut:
        context.services.library.document(actor, document_id)
        pages = context.services.library.reader.recognized_pages(actor, document_id)
        return RecognitionOut(pages=[RecognizedPageOut.model_validate(page) for page in pages])

    return await context.threads.call(read)


@router.get(
    "/{document_id}/pages/{page}",
    dependencies=needs(Permission.READ),
    summary="See a page",
    response_class=Response,
    responses=problem_responses(400, 404) | other_forms("image/png"),
)
async def page_image(
    document_id: Id,
    page: Annotated[int, Path(ge=1, le=1_000_000)],
    context: Context,
    actor: Caller,
    *,
    width: Annotated[int, Query(ge=16, le=4000, description="Width in pixels")] = 1000,
    mark: Annotated[list[str] | None, Query(max_length=64, description="Words to mark")] = None,
) -> Response:
    """Return a page of a PDF or picture as PNG, with words marked."""
    image = await context.threads.call(
        context.services.library.reader.page_image, actor, document_id, page, width, tuple(mark or ())
    )
    return Response(image, media_type="image/png", headers={"X-Content-Type-Options": "nosniff"})
