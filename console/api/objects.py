"""The living objects over HTTP: types and their growth, single objects and what holds them, repetitions, deep sizes."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from pydantic.config import JsonDict
from starlette.responses import JSONResponse, Response

from console.api.context import ApiContext, Caller, Context
from console.api.documents import attachment
from console.api.inputs import MAX_ID, MAX_NAME, JsonBody, PathName, QueryName
from console.api.permissions import needs
from console.api.problems import Projection, other_forms, problem_responses
from console.api.translated import TranslatedRoute
from services.core.actor import Permission
from services.core.errors import NotFoundError
from services.core.i18n import _
from services.memory.objects.inspector import MOST_INSTANCES, Inspector
from services.memory.objects.repeat import FEWEST_REPETITIONS, MOST_REPETITIONS
from services.memory.objects.repeat_report import RepeatProgress, RepeatReport
from services.memory.objects.snapshots import Snapshot
from services.memory.objects.types import ContainerCount, DeepSize, Instances, RetentionPaths, TypeChange

router = APIRouter(route_class=TranslatedRoute, prefix="/api/objects", tags=["objects"])

Format = Literal["json", "csv"]
_CSV = other_forms("text/csv")
_EVIDENCE: JsonDict = {"pattern": "^([0-9a-f]{1,16}-[0-9a-f]{1,12}-[0-9a-f]{8}-[0-9a-f]{8})?$"}
_MISSING = problem_responses(404)
Watching = Annotated[bool, Query(description="Include what belongs to the watching of memory itself")]
Since = Annotated[str, Query(max_length=MAX_NAME, description="Name of the snapshot to compare with; empty: none")]


class CensusIn(JsonBody):
    """How to store a census."""

    label: str = Field("", max_length=80)
    baseline: bool = Field(False, description="Keep it when older censuses are removed to make room")


class CensusOut(Projection):
    """A stored census. `bytes` are the objects' own, without `native_bytes` (data of arrays and tensors);
    `large_bytes` are in objects over 512 bytes. `paused` is how long the process was stopped, in seconds.

    `watching_objects` and `watching_bytes` are the part of all that belongs to the watching of memory itself, censuses
    included; lists leave it out unless they are asked with `watching=true`.
    """

    snapshot: Snapshot
    time: float
    objects: int
    tracked: int
    bytes: int
    large_bytes: int
    native_bytes: int
    watching_objects: int
    watching_bytes: int
    paused: float
    took: float


class NewestCensusOut(CensusOut):
    """The newest census with the biggest containers, and all snapshots."""

    containers: list[ContainerCount]
    snapshots: list[Snapshot]


class RepeatIn(JsonBody):
    """What to repeat how often, after two repetitions for the warm-up."""

    action: str = Field(
        max_length=MAX_NAME, description="One of those that GET /api/objects/repeats names; empty: by hand"
    )
    times: int = Field(20, ge=FEWEST_REPETITIONS, le=MOST_REPETITIONS)


class RepeatsOut(BaseModel):
    """The actions that can be repeated, the progress of the running series, and the last reports."""

    actions: dict[str, str]
    progress: RepeatProgress | None
    reports: list[RepeatReport]


class OwnersOut(BaseModel):
    """What asizeof can measure, by name with its label, and the estimated seconds for all objects."""

    owners: dict[str, str]
    expected_seconds: float


@router.post(
    "/census",
    dependencies=needs(Permission.OPERATE),
    status_code=201,
    summary="Count all objects and store the snapshot",
)
async def take_census(context: Context, body: CensusIn | None = None) -> CensusOut:
    """Take a census in a copy of the process; `paused` is how long this one was stopped, in seconds."""
    body = body or CensusIn()
    snapshot = await context.threads.call(_objects(context).take_snapshot, body.label, kept=body.baseline)
    census = await context.threads.call(_objects(context).snapshot, snapshot.name)
    return CensusOut.of(census, snapshot=snapshot)


@router.get("/census", dependencies=needs(Permission.OPERATE), summary="The newest census", responses=_MISSING)
async def newest_census(context: Context, *, watching: Watching = False) -> NewestCensusOut:
    """Return the newest stored census with the biggest containers, and the list of all snapshots."""
    objects = _objects(context)
    snapshots = await context.threads.call(objects.snapshots)
    if not snapshots:
        raise _no_census()
    census = await context.threads.call(objects.snapshot, snapshots[-1].name)
    containers = census.shown_containers(watching=watching)
    return NewestCensusOut.of(census, snapshot=snapshots[-1], snapshots=snapshots, containers=containers)


@router.delete(
    "/census/{snapshot}", dependencies=needs(Permission.OPERATE), status_code=204, summary="Delete a snapshot"
)
async def delete(snapshot: PathName, context: Context) -> Response:
    """Remove a stored census."""
    await context.threads.call(_objects(context).delete, snapshot)
    return Response(status_code=204)


@router.get(
    "/types", dependencies=needs(Permission.OPERATE), summary="Types by count and bytes", responses=_MISSING | _CSV
)
async def types(
    context: Context,
    *,
    snapshot: QueryName = "",
    since: Since = "",
    format: Format = "json",  # noqa: A002 - the parameter's public name
    watching: Watching = False,
) -> Response:
    """Return the types of a snapshot (the newest by default), with what changed when `since` names another.

    Beside them what the watching of memory itself holds: as `watching`, in CSV as the last row.
    """
    objects = _objects(context)
    name = snapshot or await context.threads.call(_newest_name, objects)
    census = await context.threads.call(objects.snapshot, name)
    if since:
        changes = await context.threads.call(objects.compare, since, name, watching=watching)
        rows = [_change(change) for change in changes]
    else:
        rows = [{"type": kind, **asdict(found)} for kind, found in census.shown_types(watching=watching).items()]
        for row in rows:
            del row["watching_count"], row["watching_bytes"]
    rows.sort(key=lambda row: -row["bytes"])
    held = {"count": census.watching_objects, "bytes": census.watching_bytes}
    if format == "csv" and not watching:
        rows.append({"type": _("Watching"), **held})
    return _table(rows, format, "types", {"snapshot": name, "since": since or None, "watching": held})


@router.get(
    "/containers", dependencies=needs(Permission.OPERATE), summary="The biggest containers", responses=_MISSING | _CSV
)
async def containers(
    context: Context,
    *,
    snapshot: QueryName = "",
    format: Format = "json",  # noqa: A002 - the parameter's public name
    watching: Watching = False,
) -> Response:
    """Return dictionaries, lists, sets and queues with their names, by length."""
    objects = _objects(context)
    name = snapshot or await context.threads.call(_newest_name, objects)
    census = await context.threads.call(objects.snapshot, name)
    rows = [asdict(entry) for entry in census.shown_containers(watching=watching)]
    return _table(rows, format, "containers", {"snapshot": name})


@router.get(
    "/objects", dependencies=needs(Permission.OPERATE), summary="The biggest objects of a type", responses=_MISSING
)
async def objects(
    context: Context,
    *,
    type: QueryName,  # noqa: A002 - the parameter's public name
    since: Since = "",
    limit: Annotated[int, Query(ge=1, le=MOST_INSTANCES)] = 20,
    watching: Watching = False,
) -> Instances:
    """Return objects as bounded text with their sizes and names; `since`: only those that are not in that snapshot.

    `evidence` of each says, together with its address, which object it is: send both to see what holds it.
    """
    find = _objects(context).instances
    return await context.threads.call(find, type, since=since, limit=limit, watching=watching)


@router.get("/paths/{address}", dependencies=needs(Permission.OPERATE), summary="What holds an object")
async def paths(
    context: Context,
    address: int,
    type: QueryName,  # noqa: A002 - the parameter's public name
    evidence: Annotated[
        str, Query(max_length=60, description="As it was listed with the address", json_schema_extra=_EVIDENCE)
    ] = "",
) -> RetentionPaths:
    """Return the shortest path from a root and the other holders as a graph; 404 when the object is gone.

    An address is used again after an object's end: with `evidence` the answer is 404, which says what is there now,
    unless it is the object that was listed; `identity` says how that is known. Without, it is `unchecked`.
    """
    if not 0 < address <= MAX_ID:
        raise NotFoundError(_("No object can have this address."), _("GET /api/objects/objects lists some."))
    return await context.threads.call(_objects(context).retention_paths, address, type, evidence)


@router.get("/repeats", dependencies=needs(Permission.OPERATE), summary="Repetitions")
async def repeats(context: Context) -> RepeatsOut:
    """Return the actions that can be repeated, the progress of the running series, and the last reports."""
    runner = _objects(context).repeats
    return RepeatsOut(actions=runner.actions, progress=runner.progress, reports=list(runner.reports))


@router.post("/repeats", dependencies=needs(Permission.OPERATE), status_code=202, summary="Repeat an action")
async def repeat(body: RepeatIn, context: Context, actor: Caller) -> RepeatsOut:
    """Start a series; each of its four censuses comes after a collection, which stops every thread."""
    runner = _objects(context).repeats
    if body.action:
        await context.threads.call(runner.start, actor, body.action, body.times)
    else:
        await context.threads.call(runner.start_by_hand, actor, body.times)
    return await repeats(context)


@router.post("/repeats/mark", dependencies=needs(Permission.OPERATE), summary="Mark a repetition by hand")
async def mark(context: Context, actor: Caller) -> RepeatsOut:
    """Record that a person has done one more repetition."""
    _objects(context).repeats.mark(actor)
    return await repeats(context)


@router.delete("/repeats", dependencies=needs(Permission.OPERATE), status_code=202, summary="Cancel the series")
async def cancel(context: Context, actor: Caller) -> RepeatsOut:
    """End the series after the repetition in progress."""
    _objects(context).repeats.cancel(actor)
    return await repeats(context)


@router.get("/sizes", dependencies=needs(Permission.OPERATE), summary="What asizeof can measure")
async def owners(context: Context) -> OwnersOut:
    """Return the owners by name, and the estimated seconds for all of the objects."""
    inspector = _objects(context)
    return OwnersOut(owners=inspector.owners, expected_seconds=inspector.expected_pympler_seconds())


@router.get("/sizes/{owner}", dependencies=needs(Permission.OPERATE), summary="Deep size of an owner")
async def sizes(owner: PathName, context: Context) -> DeepSize:
    """Return pympler's asizeof of one owner, measured in a copy of the process; takes seconds."""
    return await context.threads.call(_objects(context).deep_size, owner)


@router.get("/summary", dependencies=needs(Permission.OPERATE), summary="pympler's summary", responses=_CSV)
async def summary(context: Context, format: Format = "json") -> Response:  # noqa: A002 - the parameter's public name
    """Return pympler's summary over all objects, made in a copy of the process; takes seconds."""
    found = await context.threads.call(_objects(context).summary)
    rows = [{"type": kind, "count": count, "bytes": size} for kind, count, size in found.rows]
    return _table(rows, format, "summary", {"time": found.time, "paused": found.paused, "took": found.took})


def _objects(context: ApiContext) -> Inspector:
    return context.platform.memory.objects


def _newest_name(objects: Inspector) -> str:
    found = objects.snapshots()
    if not found:
        raise _no_census()
    return found[-1].name


def _no_census() -> NotFoundError:
    return NotFoundError(_("No census has been taken yet."), _("POST /api/objects/census takes one."))


def _change(change: TypeChange) -> dict[str, Any]:
    row: dict[str, Any] = {
        "type": change.type,
        "count": change.after.count,
        "bytes": change.after.bytes,
        "delta_count": change.delta.count,
        "delta_bytes": change.delta.bytes,
    }
    for name in ("survived", "new", "gone"):
        amount = getattr(change, name)
        row[f"{name}_count"] = amount.count if amount else None
        row[f"{name}_bytes"] = amount.bytes if amount else None
    return row


def _table(rows: list[dict[str, Any]], form: Format, name: str, more: dict[str, Any]) -> Response:
    if form == "json":
        return JSONResponse({**more, name: rows})
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["type"])
    writer.writeheader()
    writer.writerows(rows)
    return Response(text.getvalue(), media_type="text/csv", headers=attachment(f"{name}.csv"))
