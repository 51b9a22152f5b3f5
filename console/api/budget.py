"""The memory budget and planned restarts over HTTP.

The bodies of the answers about the memory budget. Bytes, and times in seconds since the epoch.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from console.api.context import ApiContext, Caller, Context
from console.api.schemas import ProblemOut
from services.app.container import Runtime
from services.core.access import Actor
from services.core.admission import Gate
from services.core.i18n import _
from services.memory.budget.types import ActionStatus, BudgetLevel, Decision, DecisionKind, LimitSource
from services.operations.restarts import RestartPhase

LevelName = Literal["calm", "soft", "high", "hard"]
LEVEL_NAMES: dict[BudgetLevel, LevelName] = {
    BudgetLevel.CALM: "calm",
    BudgetLevel.SOFT: "soft",
    BudgetLevel.HIGH: "high",
    BudgetLevel.HARD: "hard",
}
router = APIRouter(prefix="/api", tags=["budget"])
_ADMIN: dict[int | str, dict[str, Any]] = {403: {"model": ProblemOut}}
_STEP: dict[int | str, dict[str, Any]] = {**_ADMIN, 404: {"model": ProblemOut}, 409: {"model": ProblemOut}}
_CONFLICT: dict[int | str, dict[str, Any]] = {**_ADMIN, 409: {"model": ProblemOut}}
MOST_DECISIONS = 200


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BudgetIn(_In):
    """Changes what the budget may do; what is left out stays."""

    dry_run: bool | None = Field(None, description="Only say what would be done")
    paused: bool | None = Field(None, description="Decide nothing; what is in force is undone")


class StepIn(_In):
    """Takes a step now, or ends it."""

    undo: bool = False


class RestartIn(_In):
    """Asks for a planned restart."""

    reason: str = Field("", max_length=200, description="What the time line says")


class WatermarkOut(BaseModel):
    """A watermark: reached at `reached_bytes` after `sustained_seconds`, left under `left_bytes`."""

    level: LevelName
    share: float
    reached_bytes: int
    left_bytes: int
    sustained_seconds: float


class StepOut(BaseModel):
    """A step, in the order in which they are taken."""

    name: str
    level: LevelName
    label: str
    explanation: str
    undoable: bool
    active: bool
    by: str
    since: float | None
    last: float | None
    taken: int
    freed_bytes: int | None
    estimate_bytes: int | None = Field(description="What it would free; null: unknown")
    passed_over_because: str = Field(description="Why it would not help now; empty: it would")


class DecisionOut(BaseModel):
    """What was decided and why."""

    time: float
    level: LevelName
    kind: DecisionKind
    step: str
    label: str
    evidence: str
    outcome: str
    actor: str
    dry_run: bool
    rss_before: int
    rss_after: int
    seconds: float
    owners_before: dict[str, int]
    owners_after: dict[str, int]


class DoorOut(BaseModel):
    """Something that is refused at present."""

    door: Gate
    by: str
    reason: str
    hint: str


class RestartOut(BaseModel):
    """How a planned restart stands."""

    phase: RestartPhase
    requested_at: float | None
    actor: str
    reason: str
    deadline: float | None = Field(description="When work that is still under way is broken off")
    successor: str = Field(description="Who starts the next process; empty: nobody, no restart is taken on")
    planned_after_requests: int = Field(description="0: never")
    planned_at: float = Field(description="0: never")
    requests_served: int


class WebhookTestOut(BaseModel):
    """How a test alert fared."""

    arrived: bool
    problem: str = Field(description="Why it did not arrive")


class WebhookOut(BaseModel):
    """Where alerts go; counts are of alerts."""

    address: str = Field(description="Host and port; empty: none is configured")
    signed: bool
    waiting: int
    delivered: int
    failed: int
    dropped: int
    last_problem: str = Field(description="Why the last delivery failed; empty: it arrived, or there was none")


class BudgetOut(BaseModel):
    """The budget: level, use, limit, steps, what is refused, what was decided (the newest first)."""

    level: LevelName
    since: float
    used_bytes: int
    rss_bytes: int
    reserved_bytes: int
    ready_rss_bytes: int = Field(description="RSS when the service was ready; 0: not known yet")
    peak_bytes: int
    limit_bytes: int = Field(description="0: none is known")
    limit_source: LimitSource
    watermarks: list[WatermarkOut]
    dry_run: bool
    paused: bool
    warning: str
    next_step: str
    steps: list[StepOut]
    doors: list[DoorOut]
    refused: dict[str, int] = Field(description="Since the start, by door, and for want of room")
    ingestion_pause_seconds: float
    decisions: list[DecisionOut]
    restart: RestartOut
    webhook: WebhookOut


@router.get("/budget", summary="Memory against its limit, and what is done about it")
async def budget(
    context: Context, decisions: Annotated[int, Query(ge=0, le=MOST_DECISIONS, description="Newest decisions")] = 50
) -> BudgetOut:
    """Return level, use, watermarks, steps, closed doors, decisions and the state of a planned restart."""
    return await context.threads.call(_budget, context.runtime, decisions)


@router.put("/budget", summary="Dry run, pause", responses=_ADMIN)
async def change(body: BudgetIn, context: Context, actor: Caller) -> BudgetOut:
    """Switch the dry run or the pause. Administrators only."""
    return await context.threads.call(_change, context, actor, body)


@router.post("/budget/steps/{name}", summary="Take or undo a step", responses=_STEP)
async def step(
    name: Annotated[str, Path(max_length=50)], context: Context, actor: Caller, body: StepIn | None = None
) -> DecisionOut:
    """Take a step now whatever the level, or end one that is in force. Administrators only."""
    governor = context.runtime.governor
    act = governor.undo_action if body is not None and body.undo else governor.run_action
    return decision_out(await context.threads.call(act, actor, name))


@router.post("/budget/undo", summary="Undo all steps", responses=_ADMIN)
async def undo_all(context: Context, actor: Caller) -> list[DecisionOut]:
    """End every step that is in force, the last one first. Administrators only."""
    undone = await context.threads.call(context.runtime.governor.undo_all, actor)
    return [decision_out(decision) for decision in undone]


@router.post("/budget/webhook/test", summary="Send a test alert", responses=_ADMIN)
async def webhook_test(context: Context, actor: Caller) -> WebhookTestOut:
    """Send a test to the configured address and wait for how it fares. Administrators only."""
    delivery = await context.threads.call(context.runtime.webhook.send_test, actor)
    return WebhookTestOut(arrived=delivery.arrived, problem=delivery.problem)


@router.post("/restart", status_code=202, summary="Restart as planned", responses=_CONFLICT)
async def restart(context: Context, actor: Caller, wanted: RestartIn | None = None) -> RestartOut:
    """Load the next process, let work under way end, then change over; answers at once. Administrators only."""
    reason = (wanted.reason if wanted else "").strip() or _("asked for over the API")
    await context.threads.call(context.runtime.restarts.request, actor, reason)
    return restart_out(context.runtime)


def _change(context: ApiContext, actor: Actor, body: BudgetIn) -> BudgetOut:
    governor = context.runtime.governor
    actor.require_admin(_("Change the budget"))
    if body.dry_run is not None:
        governor.set_dry_run(actor, body.dry_run)
    if body.paused is not None:
        governor.set_enabled(actor, not body.paused)
    return _budget(context.runtime, MOST_DECISIONS)


def _budget(runtime: Runtime, decisions: int) -> BudgetOut:
    governor, admission = runtime.governor, runtime.admission
    state = governor.state()
    held = state.budget
    return BudgetOut(
        level=LEVEL_NAMES[state.level],
        since=state.since,
        used_bytes=state.used,
        rss_bytes=state.rss,
        reserved_bytes=state.reserved,
        ready_rss_bytes=state.floor,
        peak_bytes=state.peak,
        limit_bytes=held.limit,
        limit_source=held.source,
        watermarks=[
            WatermarkOut(
                level=LEVEL_NAMES[mark.level],
                share=mark.share,
                reached_bytes=held.reached(mark.level),
                left_bytes=held.left(mark.level),
                sustained_seconds=mark.sustained,
            )
            for mark in held.watermarks
        ],
        dry_run=state.dry_run,
        paused=not state.enabled,
        warning=state.warning,
        next_step=state.next_step,
        steps=[_step_out(each) for each in governor.action_statuses()],
        doors=[
            DoorOut(door=door, by=why.by, reason=why.reason, hint=why.hint) for door, why in admission.closed().items()
        ],
        refused=admission.refused(),
        ingestion_pause_seconds=admission.pause_seconds,
        decisions=[decision_out(each) for each in governor.decisions(decisions)] if decisions else [],
        restart=restart_out(runtime),
        webhook=_webhook_out(runtime),
    )


def _webhook_out(runtime: Runtime) -> WebhookOut:
    state = runtime.webhook.state()
    return WebhookOut(
        address=state.address,
        signed=state.signed,
        waiting=state.waiting,
        delivered=state.delivered,
        failed=state.failed,
        dropped=state.dropped,
        last_problem=state.last.problem if state.last else "",
    )


def _step_out(step: ActionStatus) -> StepOut:
    return StepOut(
        name=step.name,
        level=LEVEL_NAMES[step.level],
        label=step.label,
        explanation=step.explanation,
        undoable=step.undoable,
        active=step.active,
        by=step.by,
        since=step.since,
        last=step.last,
        taken=step.taken,
        freed_bytes=step.freed,
        estimate_bytes=step.estimate,
        passed_over_because=step.reason,
    )


def decision_out(decision: Decision) -> DecisionOut:
    """Return a decision as programs get it."""
    return DecisionOut(
        time=decision.time,
        level=LEVEL_NAMES[decision.level],
        kind=decision.kind,
        step=decision.step,
        label=decision.label,
        evidence=decision.evidence,
        outcome=decision.outcome,
        actor=decision.actor,
        dry_run=decision.dry_run,
        rss_before=decision.rss_before,
        rss_after=decision.rss_after,
        seconds=decision.seconds,
        owners_before={owner.value: size for owner, size in decision.owners_before.items()},
        owners_after={owner.value: size for owner, size in decision.owners_after.items()},
    )


def restart_out(runtime: Runtime) -> RestartOut:
    """Return how a planned restart stands."""
    state = runtime.restarts.state()
    asked = state.requested
    return RestartOut(
        phase=state.phase,
        requested_at=asked.time if asked else None,
        actor=asked.actor if asked else "",
        reason=asked.reason if asked else "",
        deadline=state.deadline,
        successor=state.successor,
        planned_after_requests=state.plan.requests,
        planned_at=state.plan.at,
        requests_served=state.served,
    )
