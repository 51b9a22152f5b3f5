"""The garbage collector and memory reclaim over HTTP: settings, trials, freezing, collections, pauses, effects.

Bytes, durations in seconds, times in seconds since the epoch.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from console.api.context import ApiContext, Caller, Context
from console.api.inputs import JsonBody, PathName
from console.api.permissions import needs
from console.api.problems import Projection, problem_responses
from console.api.translated import TranslatedRoute
from services.app.gc_pause_impact import PauseImpact, pause_impacts
from services.core.actor import Actor, Permission
from services.memory.gc.explain import Explanation, explain
from services.memory.gc.interpreter import (
    MAX_RUNS,
    MAX_THRESHOLD0,
    MAX_TRIAL_SECONDS,
    MIN_THRESHOLD0,
    MIN_TRIAL_SECONDS,
)
from services.memory.gc.types import GCSettings
from services.memory.reclaimers import Effect, ReclaimOffer
from services.memory.sampling.gc_pauses import Pause, longest_pauses

Thresholds = tuple[int, int, int]
router = APIRouter(route_class=TranslatedRoute, prefix="/api/collector", tags=["collector"])
reclaim_router = APIRouter(route_class=TranslatedRoute, prefix="/api/reclaim", tags=["reclaim"])
_ADMIN = problem_responses(403)
_TRIAL = problem_responses(403, 409)
_MAX_LONGEST = 20


class TrialOut(Projection):
    """A change of the settings that is reverted automatically unless it is kept."""

    began: float
    until: float
    actor: str
    tried: GCSettings
    before: GCSettings
    before_p95: float | None = Field(description="Of the pauses; null while there are too few")
    now_p95: float | None
    verdict: str


class PausesOut(BaseModel):
    """The pauses: recorded ones oldest first, all since the start as a histogram, the longest with who waited.

    All collections count: Python's own and requested ones, by Millpond or a person.
    """

    recent: list[Pause]
    bounds: list[float] = Field(description="Upper bounds of the histogram's buckets in seconds; one more is above all")
    histogram: dict[int, list[int]] = Field(description="Counts per bucket by generation")
    total_seconds: dict[int, float] = Field(description="Sum of all pauses since the start by generation")
    longest: list[PauseImpact]


class CollectorOut(Projection):
    """The state of the collector."""

    settings: GCSettings
    kept: GCSettings | None = Field(description="What a restart comes up with; null: Python's own")
    defaults: Thresholds
    counts: Thresholds
    collections: Thresholds
    frozen: int
    uncollectable: int
    tracked: int
    pending: int | None = Field(description="Objects promoted since the last full collection, if Python tells")
    long_lived: int | None = Field(description="Objects left by the last full collection, if Python tells")
    trial: TrialOut | None
    last_trial: TrialOut | None
    policy: str = Field(description="What Millpond's own policy does, in words")
    explanations: list[Explanation]


_Threshold = Annotated[
    int,
    Field(ge=0, le=MAX_THRESHOLD0, json_schema_extra={"anyOf": [{"const": 0}, {"minimum": MIN_THRESHOLD0}]}),
]
_Runs = Annotated[int, Field(ge=0, le=MAX_RUNS)]


class SettingsIn(JsonBody):
    """Settings to use; fields that are left out stay as they are."""

    # A list in JSON is a tuple here.
    thresholds: Annotated[tuple[_Threshold, _Runs, _Runs], Field(strict=False)] | None = Field(
        None, description="As of gc.set_threshold"
    )
    automatic: bool | None = None
    policy: bool | None = None
    trial_seconds: float | None = Field(
        None,
        ge=MIN_TRIAL_SECONDS,
        le=MAX_TRIAL_SECONDS,
        description="Revert automatically after so long; null: keep, also after a restart",
    )


class CollectIn(JsonBody):
    """What to collect."""

    generation: int = Field(2, ge=0, le=2)


class OwnerChangeOut(BaseModel):
    """An owner of RSS before and after."""

    owner: str
    bytes_before: int
    bytes_after: int


class EffectOut(Projection):
    """The effect of an action on memory."""

    action: str
    actor: str
    time: float
    seconds: float = Field(description="The action itself: for a collection the pause of all threads")
    rss_before_bytes: int
    rss_after_bytes: int
    found: int | None = Field(description="Garbage objects that a collection found")
    uncollectable: int | None
    detail: str
    owners: list[OwnerChangeOut] = Field(description="Every owner that has or had bytes")


class EffectsOut(BaseModel):
    """Recent effects of actions, whoever requested them: the newest first."""

    effects: list[EffectOut]


class OffersOut(BaseModel):
    """Everything that can be reclaimed; `bytes` is what that would free, measured, null: unknown."""

    offers: list[ReclaimOffer]


def _effect_out(effect: Effect) -> EffectOut:
    owners = [
        OwnerChangeOut(owner=owner, bytes_before=before, bytes_after=after)
        for owner in sorted({*effect.owners_before, *effect.owners_after})
        if (before := effect.owners_before.get(owner, 0)) | (after := effect.owners_after.get(owner, 0))
    ]
    return EffectOut.of(effect, owners=owners)


@router.get("", dependencies=needs(Permission.OPERATE, visitors=True), summary="State of the collector")
async def state(context: Context) -> CollectorOut:
    """Return settings, counts, trial, and what they mean under the rules of this Python version."""
    return await context.threads.call(_state, context)


@router.put("", dependencies=needs(Permission.OPERATE), summary="Change the settings", responses=_ADMIN)
async def change(body: SettingsIn, context: Context, actor: Caller) -> CollectorOut:
    """Use other settings: for `trial_seconds`, or from now on and after restarts. Administrators only."""
    return await context.threads.call(_change, context, actor, body)


@router.post("/keep", dependencies=needs(Permission.OPERATE), summary="Keep the settings on trial", responses=_TRIAL)
async def keep(context: Context, actor: Caller) -> CollectorOut:
    """Keep the trial's settings, also after restarts. Administrators only."""
    await context.threads.call(context.platform.memory.collector.keep, actor)
    return await state(context)


@router.post("/revert", dependencies=needs(Permission.OPERATE), summary="End the trial", responses=_TRIAL)
async def revert(context: Context, actor: Caller) -> CollectorOut:
    """Return to the settings before the trial. Administrators only."""
    await context.threads.call(context.platform.memory.collector.revert, actor)
    return await state(context)


@router.post(
    "/freeze", dependencies=needs(Permission.OPERATE), summary="Hide all objects from the collector", responses=_ADMIN
)
async def freeze(context: Context, actor: Caller) -> EffectOut:
    """Run a full collection, then freeze all remaining objects. Administrators only."""
    return _effect_out(await context.threads.call(context.platform.memory.collector.freeze, actor))


@router.post("/unfreeze", dependencies=needs(Permission.OPERATE), summary="Show them again", responses=_ADMIN)
async def unfreeze(context: Context, actor: Caller) -> EffectOut:
    """Make frozen objects visible to the collector again. Administrators only."""
    return _effect_out(await context.threads.call(context.platform.memory.collector.unfreeze, actor))


@router.post("/collect", dependencies=needs(Permission.OPERATE), summary="Collect now", responses=_ADMIN)
async def collect(context: Context, actor: Caller, body: CollectIn | None = None) -> EffectOut:
    """Collect a generation and those below it; all threads pause meanwhile. Administrators only."""
    wanted = body or CollectIn()
    return _effect_out(await context.threads.call(context.platform.memory.collector.collect, actor, wanted.generation))


@router.get("/effects", dependencies=needs(Permission.OPERATE, visitors=True), summary="Recent effects of actions")
async def effects(context: Context) -> EffectsOut:
    """Return the recent effects of collections, freezing and reclaiming, whoever requested them."""
    return EffectsOut(effects=[_effect_out(effect) for effect in context.platform.memory.effects.latest()])


@router.get("/pauses", dependencies=needs(Permission.OPERATE, visitors=True), summary="Pauses by the collector")
async def pauses(context: Context) -> PausesOut:
    """Return the recorded pauses, the histogram of all, and the longest with who was waiting."""
    return await context.threads.call(_pauses, context)


@reclaim_router.get("", dependencies=needs(Permission.OPERATE, visitors=True), summary="What can be reclaimed")
async def offers(context: Context) -> OffersOut:
    """Return each reclaimer with what it would free now."""
    return OffersOut(offers=await context.threads.call(context.platform.memory.reclaimers.available))


@reclaim_router.post(
    "/{name}", dependencies=needs(Permission.OPERATE), summary="Reclaim", responses=problem_responses(403, 404)
)
async def release(name: PathName, context: Context, actor: Caller) -> EffectOut:
    """Release something and return the effect. Administrators only."""
    return _effect_out(await context.threads.call(context.platform.memory.reclaimers.release, actor, name))


def _state(context: ApiContext) -> CollectorOut:
    collector = context.platform.memory.collector
    state = context.platform.memory.collector_state()
    return CollectorOut.of(
        state,
        trial=collector.trial,
        last_trial=collector.last_trial,
        policy=context.platform.gc_policy.state().description,
        explanations=explain(state),
    )


def _change(context: ApiContext, actor: Actor, body: SettingsIn) -> CollectorOut:
    collector = context.platform.memory.collector
    now = collector.settings
    wanted = GCSettings(
        now.thresholds if body.thresholds is None else body.thresholds,
        now.automatic if body.automatic is None else body.automatic,
        now.policy if body.policy is None else body.policy,
    )
    collector.change(actor, wanted, body.trial_seconds)
    return _state(context)


def _pauses(context: ApiContext) -> PausesOut:
    platform = context.platform
    recorder = platform.memory.pauses
    recent, by_generation = recorder.recent(), platform.memory.pause_totals()
    longest = pause_impacts(
        longest_pauses(recent, _MAX_LONGEST),
        platform.request_log.latest(),
        platform.requests.running(),
        speed=platform.memory.clock.speed,
    )
    return PausesOut(
        recent=recent,
        bounds=list(recorder.bounds),
        histogram={generation: list(counts) for generation, (counts, _total) in by_generation.items()},
        total_seconds={generation: total for generation, (_counts, total) in by_generation.items()},
        longest=longest,
    )
