"""Allocation tracing over HTTP: start and stop, snapshots, comparisons. Bytes and seconds."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.responses import FileResponse, Response

from console.api.context import ApiContext, Caller, Context
from console.api.documents import attachment
from console.api.inputs import JsonBody, PathName, QueryName
from console.api.permissions import needs
from console.api.problems import Projection, other_forms, problem_responses
from console.api.translated import TranslatedRoute
from services.core.actor import Permission
from services.memory.tracing.profiles import ProfileFormat
from services.memory.tracing.snapshot_store import LONGEST_NAME, LONGEST_NOTE
from services.memory.tracing.source import as_csv, as_json, as_rows
from services.memory.tracing.types import (
    MOST_FRAMES,
    MOST_MINUTES,
    GroupBy,
    RowChange,
    SnapshotInfo,
    TraceComparison,
    TraceFilters,
    TracingCost,
    TracingStatus,
)

router = APIRouter(route_class=TranslatedRoute, prefix="/api/tracing", tags=["tracing"])
_MISSING = problem_responses(404)
_CONFLICT = problem_responses(409)


class StartIn(JsonBody):
    """How many frames to record, and for how long."""

    frames: int = Field(1, ge=1, le=MOST_FRAMES, description="Frames that are recorded of each allocation")
    minutes: float = Field(15, gt=0, le=MOST_MINUTES)


class DescribeIn(JsonBody):
    """A name and a note; fields that are left out stay as they are."""

    name: str | None = Field(None, max_length=LONGEST_NAME)
    note: str | None = Field(None, max_length=LONGEST_NOTE)


class SnapshotsOut(BaseModel):
    """All snapshots, newest first."""

    snapshots: list[SnapshotInfo]


class RowOut(BaseModel):
    """A line, file or traceback: bytes and blocks in the newer snapshot, the difference, the source line.

    `traceback` has the calls that led there, most recent call last.
    """

    change: RowChange
    where: str
    bytes: int
    bytes_diff: int
    blocks: int
    blocks_diff: int
    source: str
    traceback: list[str]


class ComparisonOut(Projection):
    """The rows by size of their change and the totals of all `row_count`; without `old`: the contents of `new`.

    The fields of `watching` are what the watching of memory itself has allocated, which the rows leave out unless they
    are asked with `watching=true`.
    """

    new: SnapshotInfo
    old: SnapshotInfo | None
    by: GroupBy
    same_run: bool
    bytes: int
    bytes_diff: int
    blocks: int
    blocks_diff: int
    watching_bytes: int
    watching_bytes_diff: int
    watching_blocks: int
    watching_blocks_diff: int
    row_count: int
    rows: list[RowOut]


def _filters(
    *,
    ours: Annotated[bool, Query(description="Count each block for the newest of its frames in our code")] = False,
    hide_imports: Annotated[bool, Query(description="Leave out the import system and tracing itself")] = True,
    text: Annotated[str, Query(max_length=200, description="Only paths that contain this")] = "",
    watching: Annotated[bool, Query(description="Include what the watching of memory itself allocates")] = False,
) -> TraceFilters:
    return TraceFilters(ours=ours, hide_imports=hide_imports, text=text, watching=watching)


Chosen = Annotated[TraceFilters, Depends(_filters)]
By = Annotated[GroupBy, Query(description="What a row stands for")]
Limit = Annotated[int, Query(ge=1, le=5000, description="Most rows")]


@router.get("", dependencies=needs(Permission.OPERATE, visitors=True), summary="Tracing status")
async def status(context: Context) -> TracingStatus:
    """Return depth, remaining time, traced bytes and the overhead of tracing."""
    return await context.threads.call(context.platform.memory.tracer.status)


@router.get("/cost", dependencies=needs(Permission.OPERATE, visitors=True), summary="Cost of tracing")
async def cost(context: Context, frames: Annotated[int, Query(ge=1, le=MOST_FRAMES)] = 1) -> TracingCost:
    """Measure the cost in a copy of the process; the first request for a depth takes a second or two."""
    return await context.threads.call(context.platform.memory.tracer.cost, frames)


@router.post("/start", dependencies=needs(Permission.OPERATE), summary="Start tracing", responses=_CONFLICT)
async def start(body: StartIn, context: Context, actor: Caller) -> TracingStatus:
    """Trace allocations for so many minutes; it stops by itself. Read the cost first."""
    tracer = context.platform.memory.tracer
    return await context.threads.call(tracer.start, actor, body.frames, body.minutes)


@router.post("/stop", dependencies=needs(Permission.OPERATE), summary="Stop tracing")
async def stop(context: Context, actor: Caller) -> TracingStatus:
    """Stop tracing if Millpond started it; the snapshots are kept."""
    return await context.threads.call(context.platform.memory.tracer.stop, actor)


@router.post(
    "/snapshots",
    dependencies=needs(Permission.OPERATE),
    status_code=201,
    summary="Take a snapshot",
    responses=_CONFLICT,
)
async def create_snapshot(context: Context, actor: Caller, body: DescribeIn | None = None) -> SnapshotInfo:
    """Write the traced allocations to disk, from a copy of the process."""
    name, note = (body.name or "", body.note or "") if body else ("", "")
    tracer = context.platform.memory.tracer
    return await context.threads.call(tracer.take_snapshot, actor, name, note)


@router.get("/snapshots", dependencies=needs(Permission.OPERATE), summary="List the snapshots")
async def snapshots(context: Context) -> SnapshotsOut:
    """Return all, newest first."""
    found = await context.threads.call(context.platform.memory.tracer.snapshots)
    return SnapshotsOut(snapshots=found)


@router.get(
    "/snapshots/{snapshot_id}",
    dependencies=needs(Permission.OPERATE),
    summary="Contents of a snapshot",
    responses=_MISSING,
)
async def snapshot(
    snapshot_id: PathName, context: Context, filters: Chosen, by: By = GroupBy.LINE, limit: Limit = 50
) -> ComparisonOut:
    """Return the lines, files or tracebacks that hold most."""
    return _comparison_out(await _compare(context, "", snapshot_id, by=by, filters=filters, limit=limit))


@router.patch(
    "/snapshots/{snapshot_id}", dependencies=needs(Permission.OPERATE), summary="Name a snapshot", responses=_MISSING
)
async def describe(snapshot_id: PathName, body: DescribeIn, context: Context) -> SnapshotInfo:
    """Give a snapshot a name or a note; an automatic one with a name is kept like one that was requested."""
    tracer = context.platform.memory.tracer
    return await context.threads.call(tracer.describe, snapshot_id, name=body.name, note=body.note)


@router.delete(
    "/snapshots/{snapshot_id}",
    dependencies=needs(Permission.OPERATE),
    status_code=204,
    summary="Delete a snapshot",
    responses=_MISSING,
)
async def delete(snapshot_id: PathName, context: Context, actor: Caller) -> Response:
    """Delete a snapshot permanently."""
    await context.threads.call(context.platform.memory.tracer.delete, actor, snapshot_id)
    return Response(status_code=204)


@router.get(
    "/snapshots/{snapshot_id}/file",
    dependencies=needs(Permission.OPERATE),
    summary="Download a snapshot",
    response_class=FileResponse,
    responses=_MISSING | other_forms("application/octet-stream"),
)
async def file(snapshot_id: PathName, context: Context) -> Response:
    """Return the file as it is on disk: a zip of NumPy arrays, without pickle."""
    path = await context.threads.call(context.platform.memory.tracer.file, snapshot_id)
    name = f"millpond-allocations-{snapshot_id}.npz"
    return FileResponse(path, media_type="application/octet-stream", headers=attachment(name))


@router.get(
    "/snapshots/{snapshot_id}/profile",
    dependencies=needs(Permission.OPERATE),
    summary="Download a snapshot for other programs",
    responses=_MISSING | other_forms("application/octet-stream"),
)
async def profile(
    snapshot_id: PathName,
    context: Context,
    format_: Annotated[ProfileFormat, Query(alias="format", description="For speedscope, or for pprof")],
) -> Response:
    """Return the whole snapshot as a profile: JSON for speedscope, or gzipped protobuf for pprof; weights are bytes."""
    content = await context.threads.call(context.platform.memory.tracer.profile, snapshot_id, format_)
    media_type = "application/json" if format_ is ProfileFormat.SPEEDSCOPE else "application/octet-stream"
    headers = attachment(f"millpond-allocations-{snapshot_id}{format_.ending}")
    return Response(content, media_type=media_type, headers=headers)


@router.get("/compare", dependencies=needs(Permission.OPERATE), summary="Compare two snapshots", responses=_MISSING)
async def compare(
    context: Context, filters: Chosen, *, old: QueryName, new: QueryName, by: By = GroupBy.LINE, limit: Limit = 50
) -> ComparisonOut:
    """Return the lines, files or tracebacks that changed most from `old` to `new`."""
    return _comparison_out(await _compare(context, old, new, by=by, filters=filters, limit=limit))


@router.get(
    "/export",
    dependencies=needs(Permission.OPERATE),
    summary="Download a comparison",
    responses=_MISSING | other_forms("text/csv"),
)
async def export(
    context: Context,
    filters: Chosen,
    *,
    new: QueryName,
    old: QueryName = "",
    by: By = GroupBy.LINE,
    limit: Limit = 5000,
    format_: Annotated[Literal["csv", "json"], Query(alias="format")] = "csv",
) -> Response:
    """Return the comparison, or without `old` the contents of `new`, as CSV or JSON."""
    found = await _compare(context, old, new, by=by, filters=filters, limit=limit)
    text, media_type = (as_csv(found), "text/csv") if format_ == "csv" else (as_json(found), "application/json")
    headers = attachment(f"millpond-allocations-by-{by}.{format_}")
    return Response(text, media_type=f"{media_type}; charset=utf-8", headers=headers)


async def _compare(
    context: ApiContext, old: str, new: str, *, by: GroupBy, filters: TraceFilters, limit: int
) -> TraceComparison:
    tracer = context.platform.memory.tracer
    return await context.threads.call(tracer.compare, old, new, by, filters, limit=limit)


def _comparison_out(comparison: TraceComparison) -> ComparisonOut:
    return ComparisonOut.of(comparison, rows=as_rows(comparison))
