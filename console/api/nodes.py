"""Nodes over HTTP: who shares the database, taking one over, forgetting one that has ended."""

from __future__ import annotations

from typing import Annotated, Self

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from console.api.context import ApiContext, Caller, Context
from console.api.permissions import needs
from console.api.translated import TranslatedRoute
from services.app.listed_nodes import listed_nodes, shared_nodes
from services.core.actor import Actor, Permission
from services.nodes.types import Node, NodeState

router = APIRouter(route_class=TranslatedRoute, prefix="/api/nodes", tags=["nodes"])
Number = Annotated[int, Path(ge=0, le=2**31 - 1, description="As `GET /api/nodes` has it")]


class LeaseOut(BaseModel):
    """Work that one node does at a time, and since when."""

    name: str
    since: float


class NodeOut(BaseModel):
    """A node as the one that was asked sees it. Times in seconds since 1970, by the database's clock."""

    number: int = Field(description="Names it in addresses; 0 for a process that serves its pond alone")
    name: str
    own: bool = Field(description="Whether it is the node that was asked")
    state: NodeState
    drained: bool = Field(description="Somebody has it drained: a front sends it nothing new until it is resumed")
    alive: bool = Field(description="False: it has ended, or its work was taken over")
    silent_seconds: float = Field(description="How long ago it gave the last sign of life")
    version: str
    url: str = Field(description="Where its own pages are, as it knows them; empty for a process alone")
    started_at: float
    lag: int = Field(description="Changes of other nodes that it has not followed yet")
    epoch: int = Field(description="Raised by each start and each take-over; who has an older one can write nothing")
    rss_bytes: int | None
    verdict: str | None = Field(description="On its memory: `too_little_data`, `flat`, `watch` or `leak`")
    budget_level: str | None = Field(description="`calm`, `soft`, `high` or `hard`")
    leases: list[LeaseOut]

    @classmethod
    def of(cls, node: Node) -> Self:
        """Return a node for the answer."""
        return cls(
            number=node.number,
            name=node.name,
            own=node.own,
            state=node.state,
            drained=bool(node.report.get("drained")),
            alive=node.alive,
            silent_seconds=round(node.silent, 3),
            version=node.version,
            url=node.url,
            started_at=node.started_at,
            lag=node.lag,
            epoch=node.epoch,
            rss_bytes=node.report.get("rss_bytes"),
            verdict=node.report.get("verdict"),
            budget_level=node.report.get("budget_level"),
            leases=[LeaseOut(name=lease.name, since=lease.since) for lease in node.leases],
        )


class NodesOut(BaseModel):
    """All nodes that were ever there, by name; forgotten ones are not."""

    shared: bool = Field(description="Whether several nodes can share the database: on PostgreSQL")
    nodes: list[NodeOut]


@router.get("", dependencies=needs(Permission.OPERATE, visitors=True), summary="Nodes that share the database")
async def nodes(context: Context) -> NodesOut:
    """Return the nodes. Where `shared` is false, this process is the only one."""
    return await context.threads.call(_nodes, context)


@router.post("/{number}/take-over", dependencies=needs(Permission.OPERATE), summary="Take a node over")
async def take_over(number: Number, context: Context, actor: Caller) -> NodeOut:
    """Free the work and the leases of a node for the others, and shut it out: what it still writes is refused.

    Nodes that fall silent are taken over without being asked. One that still runs joins again by itself.
    """
    return await context.threads.call(_take_over, context, actor, number)


@router.delete(
    "/{number}",
    dependencies=needs(Permission.OPERATE),
    status_code=204,
    summary="Forget a node that has ended",
    response_class=Response,
)
async def forget(number: Number, context: Context, actor: Caller) -> Response:
    """Remove a node that has ended from the list. It comes back when it is started again."""
    await context.threads.call(lambda: shared_nodes(context.platform).forget(actor, number))
    return Response(status_code=204)


def _nodes(context: ApiContext) -> NodesOut:
    platform = context.platform
    return NodesOut(shared=platform.nodes is not None, nodes=[NodeOut.of(each) for each in listed_nodes(platform)])


def _take_over(context: ApiContext, actor: Actor, number: int) -> NodeOut:
    return NodeOut.of(shared_nodes(context.platform).take_over(actor, number))
