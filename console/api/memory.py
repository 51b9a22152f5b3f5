"""The memory of the process: ledger, verdict, history, events."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from console.api.context import ApiContext, Asker, Context
from console.api.memory_schemas import (
    EventOut,
    EventsOut,
    HeldOut,
    HistoryOut,
    MemoryOut,
    OwnerOut,
    SuspectOut,
    TrimOut,
    VerdictOut,
)
from console.ranges import PACES, Range
from services.errors import BadInputError, UnavailableError
from services.memory.exporting import csv_lines
from services.memory.leaks.types import Verdict
from services.memory.leaks.wording import headline
from services.memory.types import COLUMNS, Floats, Series, Window
from services.reporting import EventKind
from services.texts import _

MOST_POINTS = 2000
router = APIRouter(prefix="/api/memory", tags=["memory"])
Moment = Annotated[float | None, Query(ge=0, le=1e11, description="Seconds since the epoch")]


@router.get("", summary="Ledger and verdict")
async def memory(context: Context) -> MemoryOut:
    """Return RSS by owner, the verdict and the newest sample; 503 until the first sample, a second after the start."""
    return await context.threads.call(_memory, context)


def _memory(context: ApiContext) -> MemoryOut:
    watched = context.runtime.memory
    sample, ledger = watched.history.latest(), watched.ledger.last
    rss = sample.get(Series.RSS) if sample else None
    if sample is None or rss is None:
        raise UnavailableError(_("Nothing has been measured yet."), _("The first look comes within a second."))
    limit = sample.get(Series.LIMIT)
    owners = sorted(ledger.owners.items(), key=lambda entry: -entry[1]) if ledger else []
    return MemoryOut(
        time=sample.time,
        rss_bytes=int(rss),
        limit_bytes=None if limit is None else int(limit),
        owners=[OwnerOut(name=owner, bytes=size) for owner, size in owners],
        unattributed_bytes=ledger.unnamed if ledger else None,
        ledger_rss_bytes=ledger.rss if ledger else None,
        ledger_time=ledger.time if ledger else None,
        ledger_seconds=ledger.took if ledger else None,
        held=[HeldOut.model_validate(held) for held in ledger.held] if ledger else [],
        unknown=list(ledger.unknown) if ledger else [],
        verdict=_verdict(watched.detector.verdict),
        sampler_cpu=sample.get(Series.SAMPLER_CPU),
        latest={column: value for column in sample.values if (value := sample.get(column)) is not None},
    )


def _verdict(verdict: Verdict) -> VerdictOut:
    return VerdictOut(
        state=verdict.state,
        kind=verdict.kind,
        headline=headline(verdict),
        time=verdict.time,
        since=verdict.since,
        window_seconds=verdict.window,
        level_bytes=verdict.level,
        slope_bytes_per_hour=verdict.slope_per_hour,
        interval=verdict.interval,
        bytes_per_request=verdict.per_request,
        bytes_per_request_interval=verdict.per_request_interval,
        seconds_to_limit=verdict.seconds_to_limit,
        evidence=list(verdict.evidence),
        suspects=[SuspectOut.model_validate(suspect) for suspect in verdict.suspects],
    )


@router.get("/history", summary="What was measured", response_model=HistoryOut)
async def history(
    context: Context,
    *,
    choice: Annotated[Range, Query(alias="range", description="How far back from now")] = Range.HOUR,
    start: Moment = None,
    end: Moment = None,
    points: Annotated[int, Query(ge=1, le=MOST_POINTS)] = MOST_POINTS,
    columns: Annotated[str, Query(description="Names separated by commas; empty: all")] = "",
    extremes: Annotated[bool, Query(description="With minima and maxima of each point")] = False,
    format_: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
    download: Annotated[bool, Query(description="Offer it as a file")] = False,
) -> Response:
    """Return a range back from now, or from `start` to `end`, in at most `points` points.

    Bytes, counts and shares as the columns say: see `latest` of `/api/memory` for their names. CSV holds the means, an
    empty field where nothing is known.
    """
    now = context.runtime.memory.clock.time()
    until = now if end is None else end
    since = until - PACES[choice].seconds if start is None else start
    if since >= until:
        raise BadInputError(_("The start is not before the end."), _("Both are seconds since the epoch."))
    look = context.runtime.memory.history.window
    window = await context.threads.call(look, since, until, columns=_chosen(columns), points=points)
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
            _("There are: {names}.").format(names=", ".join(COLUMNS)),
        )
    return list(dict.fromkeys(names)) or [str(column) for column in COLUMNS]


def _json(window: Window, start: float, end: float, *, extremes: bool) -> str:
    found = HistoryOut(
        start=start,
        end=end,
        step_seconds=window.step,
        times=window.times.tolist(),
        runs=window.runs.tolist(),
        columns={name: _values(values) for name, values in window.means.items()},
        minima={name: _values(values) for name, values in window.minima.items()} if extremes else None,
        maxima={name: _values(values) for name, values in window.maxima.items()} if extremes else None,
    )
    return found.model_dump_json()


def _values(values: Floats) -> list[float | None]:
    return [value if value == value else None for value in values.tolist()]  # noqa: PLR0124 - NaN is not itself


@router.get("/events", summary="What happened")
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
    until = context.runtime.memory.clock.time() if end is None else end
    since = until - PACES[choice].seconds if start is None else start
    found = await context.threads.call(context.runtime.events.between, since, until, limit, kind or None)
    return EventsOut(events=[EventOut.model_validate(event) for event in found])


@router.post("/trim", summary="Trim and look again")
async def trim(context: Context, asker: Asker) -> TrimOut:
    """Give what the allocator keeps back to the system and judge anew: what stays is in use. Administrators only."""
    trimmed = await context.threads.call(context.runtime.memory.detector.trim_and_look, asker)
    return TrimOut(
        rss_before_bytes=trimmed.rss_before,
        rss_after_bytes=trimmed.rss_after,
        freed_bytes=trimmed.given_back,
        words=trimmed.words,
        verdict=_verdict(context.runtime.memory.detector.verdict),
    )
