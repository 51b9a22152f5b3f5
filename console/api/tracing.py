"""tracemalloc: on and off, snapshots, comparisons.

The bodies of requests and answers about tracing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import FileResponse, Response

from console.api.context import ApiContext, Asker, Context
from console.api.documents import attachment
from console.api.schemas import ProblemOut
from services.memory.tracing.snapshot_store import LONGEST_NAME, LONGEST_NOTE
from services.memory.tracing.source import as_csv, as_json, as_rows
from services.memory.tracing.types import MOST_FRAMES, MOST_MINUTES, Comparison, GroupBy, RowChange, TraceFilters

router = APIRouter(prefix="/api/tracing", tags=["tracing"])
_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": ProblemOut}}
_CONFLICT: dict[int | str, dict[str, Any]] = {409: {"model": ProblemOut}}


class _Out(BaseModel):
    """Built from the frozen values of the services."""

    model_config = ConfigDict(from_attributes=True)


class TracingOut(_Out):
    """Whether tracing is on, and what it holds. Bytes and seconds; `until` and `since` in seconds since the epoch.

    `foreign`: something else than Millpond switched it on. `pause`, `stop_pause`: for about how long a snapshot and
    switching off stop the process. `snapshot_bytes`: RAM that a snapshot needs for a moment.
    """

    on: bool
    foreign: bool
    frames: int
    since: float
    until: float
    remaining: float
    traced: int
    peak: int
    overhead: int
    blocks: int
    pause: float
    stop_pause: float
    snapshot_bytes: int
    automatic_seconds: float
    problem: str
    snapshots: int


class CostOut(_Out):
    """How many times longer code takes when it only allocates (`slowdown`) and when it parses JSON (`usual`); what
    each block allocated while tracing is on needs beside itself; Python blocks alive now."""

    frames: int
    slowdown: float
    usual: float
    bytes_per_block: float
    blocks: int


class StartIn(BaseModel):
    """How deep to look, and for how long."""

    frames: int = Field(1, ge=1, le=MOST_FRAMES, description="Calls that are remembered of each allocation")
    minutes: float = Field(15, gt=0, le=MOST_MINUTES, allow_inf_nan=False)


class DescribeIn(BaseModel):
    """A name and a note; what is left out stays as it is."""

    name: str | None = Field(None, max_length=LONGEST_NAME)
    note: str | None = Field(None, max_length=LONGEST_NOTE)


class SnapshotOut(_Out):
    """A snapshot: bytes and blocks traced, different tracebacks stored, its size on disk, and what taking it cost.

    Snapshots with the same `run` are of one stretch of tracing; only these compare well.
    """

    id: str
    name: str
    note: str
    time: float
    run: float
    frames: int
    bytes: int
    blocks: int
    tracebacks: int
    left_out: int
    overhead: int
    size: int
    paused: float
    took: float
    automatic: bool
    damaged: bool


class SnapshotsOut(BaseModel):
    """All snapshots, newest first."""

    snapshots: list[SnapshotOut]


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


class ComparisonOut(BaseModel):
    """The rows that changed most, first, and the totals of all `row_count`; without `old`: what is in `new`."""

    new: SnapshotOut
    old: SnapshotOut | None
    by: GroupBy
    same_run: bool
    bytes: int
    bytes_diff: int
    blocks: int
    blocks_diff: int
    row_count: int
    rows: list[RowOut]


def _filters(
    *,
    ours: Annotated[bool, Query(description="Count each block for the newest of its frames in our code")] = False,
    hide_imports: Annotated[bool, Query(description="Leave out the import system and tracing itself")] = True,
    text: Annotated[str, Query(max_length=200, description="Only paths that contain this")] = "",
) -> TraceFilters:
    return TraceFilters(ours=ours, hide_imports=hide_imports, text=text)


Chosen = Annotated[TraceFilters, Depends(_filters)]


By = Annotated[GroupBy, Query(description="What a row stands for")]


Limit = Annotated[int, Query(ge=1, le=5000, description="Most rows")]


@router.get("", summary="Whether tracing is on")
async def status(context: Context) -> TracingOut:
    """Return depth, remaining time, traced bytes and what tracing itself needs."""
    return TracingOut.model_validate(await context.threads.call(context.runtime.memory.tracer.status))


@router.get("/cost", summary="What tracing would cost")
async def cost(context: Context, frames: Annotated[int, Query(ge=1, le=MOST_FRAMES)] = 1) -> CostOut:
    """Measure it in a copy of the process; the first question for a depth takes a second or two."""
    return CostOut.model_validate(await context.threads.call(context.runtime.memory.tracer.cost, frames))


@router.post("/start", summary="Switch tracing on", responses=_CONFLICT)
async def start(body: StartIn, context: Context, asker: Asker) -> TracingOut:
    """Trace allocations for so many minutes; it ends by itself. Ask for the cost first."""
    tracer = context.runtime.memory.tracer
    return TracingOut.model_validate(await context.threads.call(tracer.start, asker, body.frames, body.minutes))


@router.post("/stop", summary="Switch tracing off")
async def stop(context: Context, asker: Asker) -> TracingOut:
    """Stop tracing, if it was started here; the snapshots stay."""
    return TracingOut.model_validate(await context.threads.call(context.runtime.memory.tracer.stop, asker))


@router.post("/snapshots", status_code=201, summary="Take a snapshot", responses=_CONFLICT)
async def take(context: Context, asker: Asker, body: DescribeIn | None = None) -> SnapshotOut:
    """Write what is traced now to disk, from a copy of the process."""
    name, note = (body.name or "", body.note or "") if body else ("", "")
    tracer = context.runtime.memory.tracer
    return SnapshotOut.model_validate(await context.threads.call(tracer.snapshot, asker, name, note))


@router.get("/snapshots", summary="List the snapshots")
async def snapshots(context: Context) -> SnapshotsOut:
    """Return all, newest first."""
    found = await context.threads.call(context.runtime.memory.tracer.snapshots)
    return SnapshotsOut(snapshots=[SnapshotOut.model_validate(info) for info in found])


@router.get("/snapshots/{snapshot_id}", summary="See what a snapshot holds", responses=_MISSING)
async def snapshot(
    snapshot_id: str, context: Context, filters: Chosen, by: By = GroupBy.LINE, limit: Limit = 50
) -> ComparisonOut:
    """Return the lines, files or tracebacks that hold most."""
    return _out(await _compare(context, "", snapshot_id, by=by, filters=filters, limit=limit))


@router.patch("/snapshots/{snapshot_id}", summary="Name a snapshot", responses=_MISSING)
async def describe(snapshot_id: str, body: DescribeIn, context: Context) -> SnapshotOut:
    """Give a snapshot a name or a note; an automatic one with a name is kept like one that was asked for."""
    tracer = context.runtime.memory.tracer
    found = await context.threads.call(tracer.describe, snapshot_id, name=body.name, note=body.note)
    return SnapshotOut.model_validate(found)


@router.delete("/snapshots/{snapshot_id}", status_code=204, summary="Delete a snapshot", responses=_MISSING)
async def delete(snapshot_id: str, context: Context, asker: Asker) -> Response:
    """Remove a snapshot for good."""
    await context.threads.call(context.runtime.memory.tracer.delete, asker, snapshot_id)
    return Response(status_code=204)


@router.get(
    "/snapshots/{snapshot_id}/file",
    summary="Get a snapshot's file",
    response_class=FileResponse,
    responses=_MISSING,
)
async def file(snapshot_id: str, context: Context) -> Response:
    """Return the file as it is on disk: a zip of NumPy arrays, without pickle."""
    path = await context.threads.call(context.runtime.memory.tracer.file, snapshot_id)
    name = f"millpond-allocations-{snapshot_id}.npz"
    return FileResponse(path, media_type="application/octet-stream", headers=attachment(name))


@router.get("/compare", summary="Compare two snapshots", responses=_MISSING)
async def compare(
    context: Context, filters: Chosen, *, old: str, new: str, by: By = GroupBy.LINE, limit: Limit = 50
) -> ComparisonOut:
    """Return the lines, files or tracebacks that changed most from `old` to `new`."""
    return _out(await _compare(context, old, new, by=by, filters=filters, limit=limit))


@router.get("/export", summary="Get a comparison as a file", responses=_MISSING)
async def export(
    context: Context,
    filters: Chosen,
    *,
    new: str,
    old: str = "",
    by: By = GroupBy.LINE,
    limit: Limit = 5000,
    format_: Annotated[Literal["csv", "json"], Query(alias="format")] = "csv",
) -> Response:
    """Return the comparison, or without `old` what is in `new`, as CSV or JSON."""
    found = await _compare(context, old, new, by=by, filters=filters, limit=limit)
    text, media_type = (as_csv(found), "text/csv") if format_ == "csv" else (as_json(found), "application/json")
    headers = attachment(f"millpond-allocations-by-{by}.{format_}")
    return Response(text, media_type=f"{media_type}; charset=utf-8", headers=headers)


async def _compare(
    context: ApiContext, old: str, new: str, *, by: GroupBy, filters: TraceFilters, limit: int
) -> Comparison:
    tracer = context.runtime.memory.tracer
    return await context.threads.call(tracer.compare, old, new, by, filters, limit=limit)


def _out(found: Comparison) -> ComparisonOut:
    return ComparisonOut(
        new=SnapshotOut.model_validate(found.new),
        old=SnapshotOut.model_validate(found.old) if found.old else None,
        by=found.by,
        same_run=found.same_run,
        bytes=found.bytes,
        bytes_diff=found.bytes_diff,
        blocks=found.blocks,
        blocks_diff=found.blocks_diff,
        row_count=found.row_count,
        rows=[RowOut(**values) for values in as_rows(found)],
    )
