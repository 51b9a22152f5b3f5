"""The garbage collector: settings on trial or kept, freezing, collections, pauses.

The bodies of questions and answers about the garbage collector.

What an action did to the memory, as a body. Bytes, seconds, times in seconds since the epoch.

Giving memory back: what could be, and doing it.

The bodies of answers about what can be given back.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from console.api.context import ApiContext, Caller, Context
from console.api.schemas import ProblemOut
from services.app.gc_pause_impact import who_waited
from services.core.access import Actor
from services.memory.effects import Effect
from services.memory.gc.explain import explain
from services.memory.gc.types import GCSettings
from services.memory.sampling.gc_pauses import longest_pauses

Thresholds = tuple[int, int, int]
router = APIRouter(prefix="/api/collector", tags=["collector"])
_ADMIN: dict[int | str, dict[str, Any]] = {403: {"model": ProblemOut}}
_TRIAL: dict[int | str, dict[str, Any]] = {**_ADMIN, 409: {"model": ProblemOut}}
_LONGEST = 20
reclaim_router = APIRouter(prefix="/api/reclaim", tags=["reclaim"])
_REFUSED: dict[int | str, dict[str, Any]] = {403: {"model": ProblemOut}, 404: {"model": ProblemOut}}


class _Out(BaseModel):
    """Built from the frozen values of the services."""

    model_config = ConfigDict(from_attributes=True)


class SettingsOut(_Out):
    """Settings of the collector."""

    thresholds: Thresholds
    automatic: bool = Field(description="Python collects by itself")
    policy: bool = Field(description="Millpond's own policy collects at good moments")


class TrialOut(_Out):
    """A change that goes back by itself. Times in seconds since the epoch, durations in seconds."""

    began: float
    until: float
    actor: str
    tried: SettingsOut
    before: SettingsOut
    before_p95: float | None = Field(description="Of the pauses; null while there are too few")
    now_p95: float | None
    verdict: str


class ExplanationOut(_Out):
    """Something that one should know before changing a setting."""

    title: str
    text: str


class PauseOut(_Out):
    """One run of the collector."""

    time: float
    generation: int
    seconds: float
    collected: int
    uncollectable: int
    asked: bool = Field(description="Our own code called for it")


class StoppedOut(BaseModel):
    """A pause, and how many requests, pages and answers stood still meanwhile, by kind."""

    pause: PauseOut
    waiting: dict[str, int]


class PausesOut(BaseModel):
    """The pauses: recorded ones oldest first, all since the start as a histogram, the longest with who waited."""

    recent: list[PauseOut]
    bounds: list[float] = Field(description="Upper bounds of the histogram's buckets in seconds; one more is above all")
    histogram: dict[int, list[int]] = Field(description="Counts per bucket by generation")
    total_seconds: dict[int, float] = Field(description="Sum of all pauses by generation")
    longest: list[StoppedOut]


class CollectorOut(BaseModel):
    """How the collector stands."""

    settings: SettingsOut
    kept: SettingsOut | None = Field(description="What a restart comes up with; null: Python's own")
    defaults: Thresholds
    counts: Thresholds
    collections: Thresholds
    frozen: int
    uncollectable: int
    tracked: int
    pending: int | None = Field(description="Objects that grew old since the last full collection, where Python tells")
    long_lived: int | None = Field(description="Objects that the last full collection left, where Python tells")
    trial: TrialOut | None
    last_trial: TrialOut | None
    policy: str = Field(description="What Millpond's own policy does, in words")
    explanations: list[ExplanationOut]


class SettingsIn(BaseModel):
    """Settings to use; what is left out stays as it is."""

    thresholds: Thresholds | None = Field(None, description="As of gc.set_threshold")
    automatic: bool | None = None
    policy: bool | None = None
    trial_seconds: float | None = Field(
        None, gt=0, le=86_400, description="Go back by itself after so long; null: keep, also after a restart"
    )


class CollectIn(BaseModel):
    """What to collect."""

    generation: int = Field(2, ge=0, le=2)


class OwnerChangeOut(BaseModel):
    """An owner of RSS before and after."""

    owner: str
    bytes_before: int
    bytes_after: int


class EffectOut(BaseModel):
    """What an action did."""

    action: str
    actor: str
    time: float
    seconds: float = Field(description="The action itself: for a collection the pause of all threads")
    rss_before_bytes: int
    rss_after_bytes: int
    found: int | None = Field(description="Objects that a collection found to be garbage")
    uncollectable: int | None
    detail: str
    owners: list[OwnerChangeOut] = Field(description="Every owner that has or had bytes")


class EffectsOut(BaseModel):
    """What was done of late, by whomever: the newest first."""

    effects: list[EffectOut]


def effect_out(effect: Effect) -> EffectOut:
    """Return an effect as a body."""
    owners = sorted({*effect.owners_before, *effect.owners_after})
    changes = [
        OwnerChangeOut(
            owner=owner,
            bytes_before=effect.owners_before.get(owner, 0),
            bytes_after=effect.owners_after.get(owner, 0),
        )
        for owner in owners
    ]
    return EffectOut(
        action=effect.action,
        actor=effect.actor,
        time=effect.time,
        seconds=effect.seconds,
        rss_before_bytes=effect.rss_before,
        rss_after_bytes=effect.rss_after,
        found=effect.found,
        uncollectable=effect.uncollectable,
        detail=effect.detail,
        owners=[change for change in changes if change.bytes_before or change.bytes_after],
    )


@router.get("", summary="How the collector stands")
async def state(context: Context) -> CollectorOut:
    """Return settings, counts, trial and what this Python's rules mean for them."""
    return await context.threads.call(_state, context)


@router.put("", summary="Change the collector", responses=_ADMIN)
async def change(body: SettingsIn, context: Context, actor: Caller) -> CollectorOut:
    """Use other settings: for `trial_seconds`, or from now on and after restarts. Administrators only."""
    return await context.threads.call(_change, context, actor, body)


@router.post("/keep", summary="Keep what is on trial", responses=_TRIAL)
async def keep(context: Context, actor: Caller) -> CollectorOut:
    """Keep the trial's settings, also after restarts. Administrators only."""
    await context.threads.call(context.runtime.memory.collector.keep, actor)
    return await state(context)


@router.post("/revert", summary="End the trial", responses=_TRIAL)
async def revert(context: Context, actor: Caller) -> CollectorOut:
    """Go back to what was before the trial. Administrators only."""
    await context.threads.call(context.runtime.memory.collector.revert, actor)
    return await state(context)


@router.post("/freeze", summary="Hide all objects from the collector", responses=_ADMIN)
async def freeze(context: Context, actor: Caller) -> EffectOut:
    """Hide all present objects, after a last full collection. Administrators only."""
    return effect_out(await context.threads.call(context.runtime.memory.collector.freeze, actor))


@router.post("/unfreeze", summary="Show them again", responses=_ADMIN)
async def unfreeze(context: Context, actor: Caller) -> EffectOut:
    """Show the hidden objects to the collector again. Administrators only."""
    return effect_out(await context.threads.call(context.runtime.memory.collector.unfreeze, actor))


@router.post("/collect", summary="Collect now", responses=_ADMIN)
async def collect(context: Context, actor: Caller, body: CollectIn | None = None) -> EffectOut:
    """Collect a generation and those below it; all threads stand still meanwhile. Administrators only."""
    wanted = body or CollectIn()
    return effect_out(await context.threads.call(context.runtime.memory.collector.collect, actor, wanted.generation))


@router.get("/effects", summary="What actions did of late")
async def effects(context: Context) -> EffectsOut:
    """Return the last effects of collections, freezing and giving memory back, whoever asked for them."""
    return EffectsOut(effects=[effect_out(effect) for effect in context.runtime.memory.effects.latest()])


@router.get("/pauses", summary="How long the collector stopped everything")
async def pauses(context: Context) -> PausesOut:
    """Return the recorded pauses, the histogram of all, and the longest with who was waiting."""
    return await context.threads.call(_pauses, context)


def _state(context: ApiContext) -> CollectorOut:
    collector = context.runtime.memory.collector
    found, trial, last = collector.state(), collector.trial, collector.last_trial
    return CollectorOut(
        settings=SettingsOut.model_validate(found.settings),
        kept=None if found.kept is None else SettingsOut.model_validate(found.kept),
        defaults=found.defaults,
        counts=found.counts,
        collections=found.collections,
        frozen=found.frozen,
        uncollectable=found.uncollectable,
        tracked=found.tracked,
        pending=found.pending,
        long_lived=found.long_lived,
        trial=None if trial is None else TrialOut.model_validate(trial),
        last_trial=None if last is None else TrialOut.model_validate(last),
        policy=context.runtime.policy.state().told,
        explanations=[ExplanationOut.model_validate(part) for part in explain(found)],
    )


def _change(context: ApiContext, actor: Actor, body: SettingsIn) -> CollectorOut:
    collector = context.runtime.memory.collector
    now = collector.settings
    wanted = GCSettings(
        now.thresholds if body.thresholds is None else body.thresholds,
        now.automatic if body.automatic is None else body.automatic,
        now.policy if body.policy is None else body.policy,
    )
    collector.change(actor, wanted, body.trial_seconds)
    return _state(context)


def _pauses(context: ApiContext) -> PausesOut:
    runtime = context.runtime
    recorder = runtime.memory.pauses
    recent, everything = recorder.recent(), recorder.pauses()
    stopped = who_waited(
        longest_pauses(recent, _LONGEST),
        runtime.requests.latest(),
        runtime.scopes.running(),
        speed=runtime.memory.clock.speed,
    )
    return PausesOut(
        recent=[PauseOut.model_validate(pause) for pause in recent],
        bounds=list(recorder.bounds),
        histogram={generation: list(counts) for generation, (counts, _total) in everything.items()},
        total_seconds={generation: total for generation, (_counts, total) in everything.items()},
        longest=[StoppedOut(pause=PauseOut.model_validate(one.pause), waiting=dict(one.waiting)) for one in stopped],
    )


class OfferOut(BaseModel):
    """Something that can be given back."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    label: str
    cost: str = Field(description="What is lost by it, in words")
    bytes: int | None = Field(description="What it would free, measured; null: unknown")


class OffersOut(BaseModel):
    """All of them."""

    offers: list[OfferOut]


@reclaim_router.get("", summary="What can be given back")
async def offers(context: Context) -> OffersOut:
    """Return each with what it would free now."""
    found = await context.threads.call(context.runtime.memory.reclaimers.offers)
    return OffersOut(offers=[OfferOut.model_validate(offer) for offer in found])


@reclaim_router.post("/{name}", summary="Give it back", responses=_REFUSED)
async def release(name: str, context: Context, actor: Caller) -> EffectOut:
    """Give something back, and return what that did. Administrators only."""
    return effect_out(await context.threads.call(context.runtime.memory.reclaimers.release, actor, name))
