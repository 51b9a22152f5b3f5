"""The embedding model of the documents over HTTP: what a change of it brings and costs, and steering one."""

from __future__ import annotations

from fastapi import APIRouter

from console.api.context import Caller, Context
from console.api.permissions import needs
from services.core.actor import Permission
from services.knowledge.model_change.types import ModelChangeStatus

router = APIRouter(prefix="/api/embedding-model", tags=["embedding model"])


@router.get("", dependencies=needs(Permission.OPERATE), summary="Embedding model of the documents")
async def embedding_model(context: Context) -> ModelChangeStatus:
    """Return the model that answers, and where a change to another one is.

    `stage` says it in a word: `none`, `offered`, `cancelled`, `embedding`, `waiting` (for memory or disk space, see
    `reason`), `paused`, `failed` (see `error` and `hint`), `switching`, `tidying`, `lost`. The model of `serving`
    answers until all of `total` chunks have their vector of `coming`. Times in seconds, sizes in bytes.
    """
    return await context.threads.call(context.services.model_change.status)


@router.post(
    "/measurement", dependencies=needs(Permission.CONFIGURE), summary="Measure what a change of the model would cost"
)
async def measure(context: Context, actor: Caller) -> ModelChangeStatus:
    """Load the other model for a moment and embed some of the documents' chunks with it; takes some seconds."""
    return await context.threads.call(context.services.model_change.measure, actor)


@router.post("/change", dependencies=needs(Permission.CONFIGURE), summary="Start the change of the embedding model")
async def start(context: Context, actor: Caller) -> ModelChangeStatus:
    """Embed all documents with the other model beside, then have it answer. Search goes on meanwhile."""
    return await context.threads.call(context.services.model_change.start, actor)


@router.post(
    "/change/pause", dependencies=needs(Permission.CONFIGURE), summary="Pause the change of the embedding model"
)
async def pause(context: Context, actor: Caller) -> ModelChangeStatus:
    """Pause, also across restarts; what is done is kept."""
    return await context.threads.call(context.services.model_change.pause, actor)


@router.post(
    "/change/resume", dependencies=needs(Permission.CONFIGURE), summary="Resume the change of the embedding model"
)
async def resume(context: Context, actor: Caller) -> ModelChangeStatus:
    """Go on with a change that was paused or has failed."""
    return await context.threads.call(context.services.model_change.resume, actor)


@router.delete("/change", dependencies=needs(Permission.CONFIGURE), summary="Cancel the change of the embedding model")
async def cancel(context: Context, actor: Caller) -> ModelChangeStatus:
    """Cancel, and delete the vectors that were made for it; the present model stays."""
    return await context.threads.call(context.services.model_change.cancel, actor)
