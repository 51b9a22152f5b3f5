"""The memory of the process over HTTP: ledger, verdict, history, events.

Sizes in bytes, times in seconds since the epoch, durations in seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from console.api.context import ApiContext, Caller, Context
from console.api.permissions import needs
from console.api.problems import Projection, other_forms
from console.api.translated import TranslatedRoute
from console.api.verdict import EventOut, EventsOut, VerdictOut, verdict_out
from services.core.actor import Permission
from services.core.errors import BadInputError, NotFoundError, UnavailableError
from services.core.events import EventKind
from services.core.i18n import _, listed
from services.core.memory_report import Owner
from services.core.time_ranges import PACING, Range
from services.memory.history.history import csv_lines
from services.memory.snapshot import MemorySnapshot
from services.memory.types import COLUMNS, Floats, Series, Window
from services.operations.event_log import KEPT

MAX_POINTS = 2000
router = APIRouter(route_class=TranslatedRoute, prefix="/api/memory", tags=["memory"])
Moment = Annotated[float | None, Query(ge=0, le=1e11, description="Seconds since the epoch")]


class OwnerOut(BaseModel):
    """An owner of RSS."""

    name: str
    bytes: int


class ReportOut(Projection):
    """A memory report: something big that a component holds, with its owner."""

    name: str
    detail: str
    owner: str
    bytes: int
    loads: int
    attributes: dict[str, str]


class WatchingOut(BaseModel):
    """What watching the memory costs: CPU over a window, and the bytes that it holds (the owner `watching`)."""

    window_seconds: float = Field(description="The last ten minutes, or the time since the start")
    cpu_cores: float = Field(description="Mean over the window, 1.0 being one core; as `sampler_cpu`")
    cpu_by_activity: dict[str, float] = Field(description="What it is made of, in cores")
    peak_cpu_cores: float = Field(description="Highest in a single second of the window")
    peak_activity: str | None = Field(description="What took most of that second")
    peak_age_seconds: float | None
    bytes: int | None = Field(description="Null before the first ledger")


class MemoryOut(BaseModel):
    """The memory of the process at one moment, `time`: the sample, the ledger that goes with it, and the verdict.

    The owners add up to `ledger_rss_bytes`, RSS when the ledger was built; with `since_ledger_bytes`, what came or went
    since then, they add up to `rss_bytes`. Before the first ledger there are no owners, and `unattributed_bytes`,
    `ledger_rss_bytes`, `since_ledger_bytes` and `ledger_time` are null.
    """

    time: float = Field(description="When everything here was read; a second ago, four while a ledger is being built")
    rss_bytes: int
    limit_bytes: int | None = Field(description="What RSS is held against; null: not known")
    owners: list[OwnerOut] = Field(description="The biggest first")
    unattributed_bytes: int | None
    ledger_rss_bytes: int | None
    since_ledger_bytes: int | None = Field(description="RSS less that of the ledger; over 2 % for some seconds only")
    ledger_time: float | None = Field(description="At most half a minute before `time`")
    ledger_seconds: float | None = Field(description="Processor time that the ledger took")
    held: list[ReportOut]
    unknown: list[str] = Field(description="What this system does not report, in words")
    verdict: VerdictOut
    sampler_cpu: float | None = Field(description="CPU that watching takes, 1.0 being one core: see `watching`")
    watching: WatchingOut
    latest: dict[str, float] = Field(description="The sample by column")


class HistoryOut(BaseModel):
    """A range of the history, column by column, null where nothing is known.

    `minima` and `maxima` are there when asked for. Where `runs` changes, the process was started anew.
    """

    start: float
    end: float
    step_seconds: float
    times: list[float]
    runs: list[int]
    columns: dict[str, list[float | None]]
    minima: dict[str, list[float | None]] | None = None
    maxima: dict[str, list[float | None]] | None = None


class TrimOut(Projection):
    """The effect of a trim, and the verdict after it."""

    rss_before_bytes: int
    rss_after_bytes: int
    freed_bytes: int
    words: str = Field(description="What that means for the growth")
    verdict: VerdictOut


@router.get("", dependencies=needs(Permission.OPERATE, visitors=True), summary="Ledger and verdict")
async def memory(context: Context) -> MemoryOut:
    """Return RSS by owner, the verdict and the newest sample; 503 until the first sample, a second after the start."""
    return await context.threads.call(_memory, context)


def _memory(context: ApiContext) -> MemoryOut:
    watched = context.platform.memory
    shown = watched.snapshot()
    if shown is None:
        raise UnavailableError(_("Nothing has been measured yet."), _("The first sample follows within a second."))
    sample, ledger = shown.sample, shown.ledger
    owners = sorted(ledger.owners.items(), key=lambda entry: -entry[1]) if ledger else []
    return MemoryOut(
        time=shown.time,
        rss_bytes=shown.rss,
        limit_bytes=shown.limit,
        owners=[OwnerOut(name=owner, bytes=size) for owner, size in owners],
        unattributed_bytes=ledger.unnamed if ledger else None,
        ledger_rss_bytes=ledger.rss if ledger else None,
        since_ledger_bytes=shown.since_ledger,
        ledger_time=ledger.time if ledger else None,
        ledger_seconds=ledger.took if ledger else None,
        held=[ReportOut.model_validate(report) for report in ledger.held] if ledger else [],
        unknown=list(ledger.unknown) if ledger else [],
        verdict=verdict_out(watched.detector.verdict),
        sampler_cpu=sample.get(Series.SAMPLER_CPU),
        watching=_watching_out(shown),
        latest={column: value for column in sample.values if (value := sample.get(column)) is not None},
    )


def _watching_out(shown: MemorySnapshot) -> WatchingOut:
    cost = shown.watching
    return WatchingOut(
        window_seconds=cost.window_seconds,
        cpu_cores=cost.cores,
        cpu_by_activity={activity.value: cores for activity, cores in cost.by_activity.items()},
        peak_cpu_cores=cost.peak_cores,
        peak_activity=cost.peak_activity,
        peak_age_seconds=cost.peak_age_seconds,
        bytes=shown.ledger.owners.get(Owner.WATCHING, 0) if shown.ledger else None,
    )


@router.get(
    "/history",
    dependencies=needs(Permission.OPERATE, visitors=True),
    summary="History",
    response_model=HistoryOut,
    responses=other_forms("text/csv"),
)
async def history(
    context: Context,
    *,
    choice: Annotated[Range, Query(alias="range", description="How far back from now")] = Range.HOUR,
    start: Moment = None,
    end: Moment = None,
    points: Annotated[int, Query(ge=1, le=MAX_POINTS)] = MAX_POINTS,
    columns: Annotated[str, Query(description="Names separated by commas; empty: all")] = "",
    extremes: Annotated[bool, Query(description="With minima and maxima of each point")] = False,
    format_: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
    download: Annotated[bool, Query(description="Send it as a file")] = False,
) -> Response:
    """Return a range back from now, or from `start` to `end`, in at most `points` points.

    Bytes, counts and shares as the columns say: see `latest` of `/api/memory` for their names. CSV holds the means, an
    empty field where nothing is known.
    """
    now = context.platform.memory.clock.time()
    until = now if end is None else end
    since = until - PACING[choice].seconds if start is None else start
    if since >= until:
        raise BadInputError(_("The start is not before the end."), _("Both are seconds since the epoch."))
    read = context.platform.memory.history.window
    window = await context.threads.call(read, since, until, columns=_chosen(columns), points=points)
    headers = {"Content-Disposition": f'attachment; filename="millpond-memory.{format_}"'} if download else None
    if format_ == "csv":
        lines = csv_lines(window, extremes=extremes)
        return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)
    body = await context.threads.call(_json, window, since, until, extremes=extremes)
    return Response(body, media_type="application/json", headers=headers)


def _chosen(columns: str) -> list[str]:
    names = [name.strip() for name in columns.split(",") if name.strip()]
    unknown = sorted(set(names) - set(COLUMNS))
    if unknown:
        raise BadInputError(
            _("There is no column {name}.").format(name=unknown[0][:80]),
            _("There are: {names}.").format(names=listed(COLUMNS)),
        )
    return list(dict.fromkeys(names)) or [str(column) for column in COLUMNS]


def _json(window: Window, start: float, end: float, *, extremes: bool) -> str:
    found = HistoryOut(
        start=start,
        end=end,
        step_seconds=window.step_seconds,
        times=window.times.tolist(),
        runs=window.runs.tolist(),
        columns={name: _values(values) for name, values in window.means.items()},
        minima={name: _values(values) for name, values in window.minima.items()} if extremes else None,
        maxima={name: _values(values) for name, values in window.maxima.items()} if extremes else None,
    )
    return found.model_dump_json()


def _values(values: Floats) -> list[float | None]:
    return [value if value == value else None for value in values.tolist()]  # noqa: PLR0124 - NaN is not itself


@router.get("/events", dependencies=needs(Permission.OPERATE, visitors=True), summary="Events")
async def events(
    context: Context,
    *,
    choice: Annotated[Range, Query(alias="range", description="How far back from now")] = Range.DAY,
    start: Moment = None,
    end: Moment = None,
    kind: Annotated[list[EventKind] | None, Query(description="Only these kinds")] = None,
    limit: Annotated[int, Query(ge=1, le=2000)] = 200,
) -> EventsOut:
    """Return the newest events of a range, oldest first."""
    until = context.platform.memory.clock.time() if end is None else end
    since = until - PACING[choice].seconds if start is None else start
    found = await context.threads.call(context.platform.events.between, since, until, limit, kind or None)
    return EventsOut.model_validate({"events": found})


@router.get("/events/{event_id}", dependencies=needs(Permission.OPERATE, visitors=True), summary="One event")
async def event(context: Context, event_id: Annotated[int, Path(ge=1, le=2**53)]) -> EventOut:
    """Return one event, such as the cause of a step; 404 once it is no longer kept."""
    found = await context.threads.call(context.platform.events.find, event_id)
    if found is None:
        raise NotFoundError(
            _("There is no event {id}.").format(id=event_id),
            _("The newest {count} are kept.").format(count=f"{KEPT:,}"),
        )
    return EventOut.of(found)


@router.post("/trim", dependencies=needs(Permission.OPERATE), summary="Trim and check again")
async def trim(context: Context, actor: Caller) -> TrimOut:
    """Return free pages of the allocator to the system and judge again: the rest is in use. Administrators only."""
    trimmed = await context.threads.call(context.platform.memory.detector.trim_and_recheck, actor)
    return TrimOut.of(trimmed, verdict=verdict_out(context.platform.memory.detector.verdict))
