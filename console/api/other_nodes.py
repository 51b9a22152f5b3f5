"""Other nodes over HTTP: what one of them says of its own memory, and its restart, asked of any node."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel

from console.api.budget import BudgetOut, RestartIn, RestartOut
from console.api.context import Caller, Context
from console.api.gc import CollectorOut
from console.api.memory import HistoryOut, MemoryOut
from console.api.permissions import needs
from console.api.problems import RETRY_SECONDS, problem_responses
from console.api.translated import TranslatedRoute
from console.api.verdict import EventsOut
from services.app.listed_nodes import shared_nodes
from services.core.actor import Permission

router = APIRouter(route_class=TranslatedRoute, prefix="/api/nodes", tags=["nodes"])
Number = Annotated[int, Path(ge=0, le=2**31 - 1, description="As `GET /api/nodes` has it")]
_REFUSALS = problem_responses(403, 404, 409)


class DrainedOut(BaseModel):
    """Whether a node is drained. `GET /api/nodes` says so with its next sign of life, `/readyz` at once."""

    drained: bool


def _view(target: str, body: type[BaseModel], summary: str) -> None:
    """Add the route of a view: the address, parameters and answer are those of `target` at that node."""

    async def view(number: Number, request: Request, context: Context, actor: Caller) -> Response:
        query = request.url.query
        path = f"{target}?{query}" if query else target
        return await _asked(context, actor, number, "GET", path)

    view.__doc__ = f"Return what `GET {target}` of that node does, with the same parameters."
    router.add_api_route(
        "/{number}" + target.removeprefix("/api"),
        view,
        methods=["GET"],
        name=f"node_{summary}",
        summary=summary,
        response_model=body,
        responses=_REFUSALS,
        dependencies=needs(Permission.OPERATE, visitors=True),
    )


_view("/api/memory", MemoryOut, "Ledger and verdict of a node")
_view("/api/memory/history", HistoryOut, "History of a node's memory")
_view("/api/memory/events", EventsOut, "Events of a node")
_view("/api/budget", BudgetOut, "Memory budget of a node")
_view("/api/collector", CollectorOut, "Garbage collector of a node")


@router.post(
    "/{number}/restart",
    dependencies=needs(Permission.OPERATE),
    status_code=202,
    summary="Planned restart of a node",
    response_model=RestartOut,
    responses=_REFUSALS,
)
async def restart(number: Number, context: Context, actor: Caller, wanted: RestartIn | None = None) -> Response:
    """Have a node do what `POST /api/restart` does: finish what it has, and be started again."""
    body = (wanted or RestartIn()).model_dump_json().encode()
    return await _asked(context, actor, number, "POST", "/api/restart", body=body)


@router.post(
    "/{number}/drain",
    dependencies=needs(Permission.OPERATE),
    summary="Drain a node",
    response_model=DrainedOut,
    responses=_REFUSALS,
)
async def drain(number: Number, context: Context, actor: Caller) -> DrainedOut | Response:
    """Have a node, this one or another, say that it is not ready: a front sends it nothing new. Refused for the last
    one that is ready.
    """
    nodes = shared_nodes(context.platform)
    if number != nodes.membership.number:
        return await _asked(context, actor, number, "POST", f"/api/nodes/{number}/drain")
    await context.threads.call(nodes.drain, actor)
    return DrainedOut(drained=True)


@router.delete(
    "/{number}/drain",
    dependencies=needs(Permission.OPERATE),
    summary="Resume a node that was drained",
    response_model=DrainedOut,
    responses=_REFUSALS,
)
async def resume(number: Number, context: Context, actor: Caller) -> DrainedOut | Response:
    """Have a node, this one or another, be ready again."""
    nodes = shared_nodes(context.platform)
    if number != nodes.membership.number:
        return await _asked(context, actor, number, "DELETE", f"/api/nodes/{number}/drain")
    await context.threads.call(nodes.resume, actor)
    return DrainedOut(drained=False)


async def _asked(
    context: Context, actor: Caller, number: int, method: str, target: str, *, body: bytes = b""
) -> Response:
    nodes = shared_nodes(context.platform)
    answer = await context.threads.call(nodes.ask, actor, number, method, target, body=body)
    headers = {"Retry-After": str(RETRY_SECONDS)} if answer.status == 503 else None
    return Response(answer.body, answer.status, headers, answer.content_type)
