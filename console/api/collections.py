"""Collections: named groups of documents."""

from __future__ import annotations

from fastapi import APIRouter, Response

from console.api.context import Context
from console.api.schemas import CollectionIn, CollectionOut, CollectionsOut, Id

router = APIRouter(prefix="/api/collections", tags=["collections"])


@router.get("", summary="List collections")
async def collections(context: Context) -> CollectionsOut:
    """Return all collections."""
    found = await context.threads.call(context.runtime.library.collections)
    return CollectionsOut(collections=[CollectionOut.model_validate(collection) for collection in found])


@router.post("", status_code=201, summary="Make a collection")
async def create(body: CollectionIn, context: Context) -> CollectionOut:
    """Make a collection with a name that is not taken."""
    return CollectionOut.model_validate(
        await context.threads.call(context.runtime.library.create_collection, body.name)
    )


@router.patch("/{collection_id}", summary="Rename a collection")
async def rename(collection_id: Id, body: CollectionIn, context: Context) -> CollectionsOut:
    """Give a collection another name; answers with all collections."""
    await context.threads.call(context.runtime.library.rename_collection, collection_id, body.name)
    return await collections(context)


@router.delete("/{collection_id}", status_code=204, summary="Delete a collection with its documents")
async def delete(collection_id: Id, context: Context) -> Response:
    """Delete a collection and every document in it."""
    await context.threads.call(context.runtime.library.delete_collection, collection_id)
    return Response(status_code=204)
