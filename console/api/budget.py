"""The memory budget, its alerts, and planned restarts over HTTP. Bytes, and times in seconds since the epoch."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BeforeValidator, ConfigDict, Field

from console.api.context import ApiContext, Caller, Context
from console.api.inputs import JsonBody
from console.api.permissions import needs
from console.api.problems import Projection, problem_responses
from console.api.translated import TranslatedRoute
from services.app.container import Platform
from services.core.actor import Actor, Permission
from services.core.admission import Gate
from services.core.i18n import _
from services.memory.budget.types import BudgetLevel, Decision, DecisionKind, LimitSource
from services.operations.restarts import RestartPhase
from services.operations.webhook import Delivery

MAX_DECISIONS = 200
router = APIRouter(route_class=TranslatedRoute, prefix="/api", tags=["budget"])
_ADMIN = problem_responses(403)


def _level_name(level: BudgetLevel) -> str:
    return level.name.lower()


LevelName = Annotated[Literal["calm", "soft", "high", "hard"], BeforeValidator(_level_name)]


class _In(JsonBody):
    model_config = ConfigDict(extra="forbid")


class BudgetIn(_In):
    """Changes the mode of the budget; fields that are left out stay as they are."""

    dry_run: bool | None = Field(None, description="Decide, but do nothing")
    paused: bool | None = Field(None, description="Decide nothing; actions in force are undone")


class ActionIn(_In):
    """Runs an action now, or undoes it."""

    undo: bool = False


class RestartIn(_In):
    """Requests a planned restart."""

    reason: str = Field("", max_length=200, description="Shown on the time line")


class WatermarkOut(Projection):
    """A watermark: reached at `reached_bytes` after `sustained_seconds`, left under `left_bytes`."""

    level: LevelName
    share: float
    reached_bytes: int
    left_bytes: int
    sustained_seconds: float


class ActionOut(Projection):
    """An action of the budget, in the order in which they run."""

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
    estimate_bytes: int | None = Field(description="Bytes that it would free; null: unknown")
    passed_over_because: str = Field(
        validation_alias="skip_reason", description="Why it would not help now; empty: it would"
    )


class DecisionOut(Projection):
    """A decision and the reason for it."""

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


class ClosedGateOut(Projection):
    """A kind of work that is refused at present."""

    door: Gate
    by: str = Field(description="budget, person or restart")
    person: str = Field(description="Whoever wanted it; empty: nobody did, or it is not known")
    since: float | None
    reason: str
    hint: str


class RestartOut(Projection):
    """The state of a planned restart."""

    phase: RestartPhase
    requested_at: float | None
    actor: str
    reason: str
    deadline: float | None = Field(description="When work that is still in progress is cancelled")
    successor: str = Field(description="Who starts the next process; empty: nobody, restarts are refused")
    planned_after_requests: int = Field(description="0: never")
    planned_at: float = Field(description="0: never")
    requests_served: int


class WebhookTestOut(Projection):
    """The outcome of a test alert."""

    arrived: bool
    problem: str = Field(description="Why it did not arrive")


class WebhookOut(Projection):
    """Where alerts go; counts are of alerts."""

    address: str = Field(description="Host and port; empty: none is configured")
    signed: bool
    waiting: int
    delivered: int
    failed: int
    dropped: int
    last_problem: str = Field(description="Why the last delivery failed; empty: it arrived, or there was none")


class BudgetOut(Projection):
    """The budget: level, use, limit, actions, refused work, decisions (the newest first)."""

    level: LevelName
    since: float
    measured_at: float = Field(description="When `used_bytes` and `rss_bytes` were read")
    used_bytes: int
    rss_bytes: int = Field(description="As in `/api/memory`")
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
    steps: list[ActionOut]
    doors: list[ClosedGateOut]
    refused: dict[str, int] = Field(description="Since the start, by kind of work, and for lack of memory")
    ingestion_pause_seconds: float
    decisions: list[DecisionOut]
    restart: RestartOut
    webhook: WebhookOut


@router.get(
    "/budget",
    dependencies=needs(Permission.OPERATE, visitors=True),
    summary="Memory against its limit, and what is done about it",
)
async def budget(
    context: Context, decisions: Annotated[int, Query(ge=0, le=MAX_DECISIONS, description="Newest decisions")] = 50
) -> BudgetOut:
    """Return level, use, watermarks, actions, refused work, decisions and the state of a planned restart."""
    return await context.threads.call(_budget, context.platform, decisions)


@router.put("/budget", dependencies=needs(Permission.OPERATE), summary="Dry run, pause", responses=_ADMIN)
async def change(body: BudgetIn, context: Context, actor: Caller) -> BudgetOut:
    """Switch the dry run or the pause. Administrators only."""
    return await context.threads.call(_change, context, actor, body)


@router.post(
    "/budget/steps/{name}",
    dependencies=needs(Permission.OPERATE),
    summary="Run or undo an action",
    response_model=DecisionOut,
    responses=problem_responses(403, 404, 409),
)
async def run_action(
    name: Annotated[str, Path(max_length=50)], context: Context, actor: Caller, body: ActionIn | None = None
) -> Decision:
    """Run an action at any level, or undo one that is in force. Administrators only."""
    governor = context.platform.governor
    act = governor.undo_action if body is not None and body.undo else governor.run_action
    return await context.threads.call(act, actor, name)


@router.post(
    "/budget/undo",
    dependencies=needs(Permission.OPERATE),
    summary="Undo all actions",
    response_model=list[DecisionOut],
    responses=_ADMIN,
)
async def undo_all(context: Context, actor: Caller) -> list[Decision]:
    """Undo every action that is in force, the last one first. Administrators only."""
    return await context.threads.call(context.platform.governor.undo_all, actor)


@router.post(
    "/budget/webhook/test",
    dependencies=needs(Permission.OPERATE),
    summary="Send a test alert",
    response_model=WebhookTestOut,
    responses=_ADMIN,
)
async def webhook_test(context: Context, actor: Caller) -> Delivery:
    """Send a test alert to the configured address and return its outcome. Administrators only."""
    return await context.threads.call(context.platform.webhook.send_test, actor)


@router.post(
    "/restart",
    dependencies=needs(Permission.OPERATE),
    status_code=202,
    summary="Planned restart",
    responses=problem_responses(403, 409),
)
async def restart(context: Context, actor: Caller, wanted: RestartIn | None = None) -> RestartOut:
    """Start the next process, let work in progress end, then switch over; answers at once. Administrators only."""
    reason = (wanted.reason if wanted else "").strip() or _("requested over the API")
    await context.threads.call(context.platform.restarts.request, actor, reason)
    return _restart_out(context.platform)


def _change(context: ApiContext, actor: Actor, body: BudgetIn) -> BudgetOut:
    governor = context.platform.governor
    actor.require(Permission.OPERATE, _("Change the budget"))
    if body.dry_run is not None:
        governor.set_dry_run(actor, body.dry_run)
    if body.paused is not None:
        governor.set_enabled(actor, not body.paused)
    return _budget(context.platform, MAX_DECISIONS)


def _budget(platform: Platform, decisions: int) -> BudgetOut:
    governor, admission = platform.governor, platform.admission
    state, webhook = governor.state(), platform.webhook.state()
    limits = state.budget
    return BudgetOut.of(
        state,
        limit_bytes=limits.limit,
        limit_source=limits.source,
        watermarks=[
            WatermarkOut.of(
                mark, reached_bytes=limits.reached_bytes(mark.level), left_bytes=limits.left_bytes(mark.level)
            )
            for mark in limits.watermarks
        ],
        paused=not state.enabled,
        steps=governor.action_statuses(),
        doors=[ClosedGateOut.of(closure, door=gate) for gate, closure in admission.closed().items()],
        refused=admission.refusal_counts(),
        ingestion_pause_seconds=admission.pause_seconds,
        decisions=governor.decisions(decisions) if decisions else [],
        restart=_restart_out(platform),
        webhook=WebhookOut.of(webhook, last_problem=webhook.last.problem if webhook.last else ""),
    )


def _restart_out(platform: Platform) -> RestartOut:
    state = platform.restarts.state()
    request = state.requested
    return RestartOut.of(
        state,
        requested_at=request.time if request else None,
        actor=request.actor if request else "",
        reason=request.reason if request else "",
        planned_after_requests=state.plan.requests,
        planned_at=state.plan.at,
        requests_served=state.served,
    )
