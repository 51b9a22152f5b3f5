"""What deletions leave, over HTTP: answers that quote documents which are gone, and what is still in files."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from console.api.context import Caller, Context
from console.api.permissions import needs
from console.api.problems import Projection
from console.api.translated import TranslatedRoute
from services.core.actor import Permission
from services.core.document_quotes import Quoted
from services.core.erasure import ErasureStatus
from services.knowledge.types import DeletionReport

router = APIRouter(route_class=TranslatedRoute, prefix="/api/deletions", tags=["documents"])
EraseQuotes = Annotated[bool, Query(description="Erase the answers that quote what is deleted, too")]


class DeletedOut(Projection):
    """What was deleted, and what stays: answers in conversations that quote it."""

    documents: int
    chunks: int
    bytes: int
    answers_erased: int
    quoted: Quoted


class DeletionsOut(BaseModel):
    """What is left of everything that was deleted: in files still, and in answers that quote deleted documents."""

    erasure: ErasureStatus
    quoted: Quoted


STAYS: dict[int | str, dict[str, Any]] = {
    200: {"model": DeletedOut, "description": "It was deleted; answers that quote it stay"},
    204: {"description": "It was deleted, and nothing of it stays"},
}


def deletion_response(report: DeletionReport) -> Response:
    """Return 204 when nothing stays of what was deleted, else 200 with what does."""
    if not report.quoted.answers:
        return Response(status_code=204)
    return JSONResponse(DeletedOut.of(report).model_dump())


@router.get("", dependencies=needs(Permission.READ), summary="What deletions have left")
async def left(context: Context, actor: Caller) -> DeletionsOut:
    """Return how many answers quote documents that were deleted, and for how long deleted text has been waiting to be
    erased from the files of the data folder: seconds usually; longer while another program reads the database."""
    quoted = await context.threads.call(context.services.library.quotes.of_deleted, actor)
    return DeletionsOut(erasure=context.platform.erasure.status(), quoted=quoted)


@router.delete("/quotes", dependencies=needs(Permission.OPERATE), summary="Erase quotes of deleted documents")
async def erase(context: Context, actor: Caller) -> Quoted:
    """Erase the answers that quote documents which were deleted; returns how many there were. The questions stay.

    Where people have accounts, those in one's own conversations; administrators erase those of everybody.
    """
    return await context.threads.call(context.services.library.quotes.erase_deleted, actor)
