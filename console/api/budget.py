"""The memory budget and planned restarts over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from console.api.budget_schemas import (
    LEVEL_NAMES,
    BudgetIn,
    BudgetOut,
    DecisionOut,
    DoorOut,
    RestartIn,
    RestartOut,
    StepIn,
    StepOut,
    WatermarkOut,
    WebhookOut,
    WebhookTestOut,
)
from console.api.context import ApiContext, Asker, Context
from console.api.schemas import ProblemOut
from services.access import Actor
from services.memory.governor.types import Decision, StepState
from services.runtime import Runtime
from services.texts import _

router = APIRouter(prefix="/api", tags=["budget"])
_ADMIN: dict[int | str, dict[str, Any]] = {403: {"model": ProblemOut}}
_STEP: dict[int | str, dict[str, Any]] = {**_ADMIN, 404: {"model": ProblemOut}, 409: {"model": ProblemOut}}
_CONFLICT: dict[int | str, dict[str, Any]] = {**_ADMIN, 409: {"model": ProblemOut}}
MOST_DECISIONS = 200


@router.get("/budget", summary="Memory against its limit, and what is done about it")
async def budget(
    context: Context, decisions: Annotated[int, Query(ge=0, le=MOST_DECISIONS, description="Newest decisions")] = 50
) -> BudgetOut:
    """Return level, use, watermarks, steps, closed doors, decisions and the state of a planned restart."""
    return await context.threads.call(_budget, context.runtime, decisions)


@router.put("/budget", summary="Dry run, pause", responses=_ADMIN)
async def change(body: BudgetIn, context: Context, asker: Asker) -> BudgetOut:
    """Switch the dry run or the pause. Administrators only."""
    return await context.threads.call(_change, context, asker, body)


@router.post("/budget/steps/{name}", summary="Take or undo a step", responses=_STEP)
async def step(
    name: Annotated[str, Path(max_length=50)], context: Context, asker: Asker, body: StepIn | None = None
) -> DecisionOut:
    """Take a step now whatever the level, or end one that is in force. Administrators only."""
    governor = context.runtime.governor
    act = governor.undo if body is not None and body.undo else governor.take
    return decision_out(await context.threads.call(act, asker, name))


@router.post("/budget/undo", summary="Undo all steps", responses=_ADMIN)
async def undo_all(context: Context, asker: Asker) -> list[DecisionOut]:
    """End every step that is in force, the last one first. Administrators only."""
    undone = await context.threads.call(context.runtime.governor.undo_all, asker)
    return [decision_out(decision) for decision in undone]


@router.post("/budget/webhook/test", summary="Send a test alert", responses=_ADMIN)
async def webhook_test(context: Context, asker: Asker) -> WebhookTestOut:
    """Send a test to the configured address and wait for how it fares. Administrators only."""
    delivery = await context.threads.call(context.runtime.webhook.send_test, asker)
    return WebhookTestOut(arrived=delivery.arrived, problem=delivery.problem)


@router.post("/restart", status_code=202, summary="Restart as planned", responses=_CONFLICT)
async def restart(context: Context, asker: Asker, wanted: RestartIn | None = None) -> RestartOut:
    """Load the next process, let work under way end, then change over; answers at once. Administrators only."""
    reason = (wanted.reason if wanted else "").strip() or _("asked for over the API")
    await context.threads.call(context.runtime.restarts.request, asker, reason)
    return restart_out(context.runtime)


def _change(context: ApiContext, asker: Actor, body: BudgetIn) -> BudgetOut:
    governor = context.runtime.governor
    asker.require_admin(_("Change the budget"))
    if body.dry_run is not None:
        governor.set_dry_run(asker, body.dry_run)
    if body.paused is not None:
        governor.set_enabled(asker, not body.paused)
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
        steps=[_step_out(each) for each in governor.step_states()],
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


def _step_out(step: StepState) -> StepOut:
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
