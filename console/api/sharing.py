"""Sharing over HTTP: who may do what in a collection. For those who manage it, or people."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from console.api.context import ApiContext, Caller, Context
from console.api.inputs import Id, JsonBody
from console.api.permissions import signed_in
from console.api.problems import problem_responses
from console.api.translated import TranslatedRoute
from services.core.actor import AccessLevel, Actor
from services.identity.types import GranteeKind

router = APIRouter(route_class=TranslatedRoute, prefix="/api/collections/{collection_id}/grants", tags=["sharing"])
CollectionId = Annotated[Id, Path(description="Id of the collection")]
LevelName = Literal["none", "read", "write", "manage"]
_MISSING = problem_responses(401, 403, 404)


class GrantOut(BaseModel):
    """A level of access. `id` and `name` are those of the person or group; 0 and empty for everyone."""

    kind: Literal["person", "group", "everyone"]
    id: int
    name: str
    level: Literal["read", "write", "manage"]


class GrantsOut(BaseModel):
    """The grants on a collection: everyone, groups, people. Administrators manage every collection beside these."""

    grants: list[GrantOut]


class GrantIn(JsonBody):
    """A level for a person or group by name, or for everyone; "none" withdraws what was granted before."""

    kind: Literal["person", "group", "everyone"]
    name: str = Field("", max_length=200, description="Of the person or group; empty for everyone")
    level: LevelName


@router.get("", dependencies=signed_in(), summary="See who may use a collection", responses=_MISSING)
async def grants(collection_id: CollectionId, context: Context, actor: Caller) -> GrantsOut:
    """Return the grants on a collection."""
    return await context.threads.call(_grants, context, actor, collection_id)


@router.put("", dependencies=signed_in(), summary="Share a collection", responses=_MISSING)
async def share(collection_id: CollectionId, body: GrantIn, context: Context, actor: Caller) -> GrantsOut:
    """Grant a level instead of what was granted before; what was taken away counts for the next request."""
    return await context.threads.call(_share, context, actor, collection_id, body)


def _grants(context: ApiContext, actor: Actor, collection_id: int) -> GrantsOut:
    found = context.platform.identity.sharing.grants(actor, collection_id)
    return GrantsOut(
        grants=[
            GrantOut.model_validate(
                {
                    "kind": grant.grantee.kind.value,
                    "id": grant.grantee.id,
                    "name": grant.name,
                    "level": grant.level.name.lower(),
                }
            )
            for grant in found
        ]
    )


def _share(context: ApiContext, actor: Actor, collection_id: int, body: GrantIn) -> GrantsOut:
    sharing = context.platform.identity.sharing
    grantee = sharing.find_grantee(actor, collection_id, GranteeKind(body.kind), body.name)
    sharing.set(actor, collection_id, grantee, AccessLevel[body.level.upper()])
    return _grants(context, actor, collection_id)
