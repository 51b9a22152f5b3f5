"""The garbage collector: settings on trial or kept, freezing, collections, pauses."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from console.api.collector_schemas import (
    CollectIn,
    CollectorOut,
    ExplanationOut,
    PauseOut,
    PausesOut,
    SettingsIn,
    SettingsOut,
    StoppedOut,
    TrialOut,
)
from console.api.context import ApiContext, Asker, Context
from console.api.effect_schemas import EffectOut, EffectsOut, effect_out
from console.api.schemas import ProblemOut
from services.access import Actor
from services.memory.collector.explaining import explain
from services.memory.collector.types import CollectorSettings
from services.memory.sampling.pausing import longest
from services.wiring.waiting import who_waited

router = APIRouter(prefix="/api/collector", tags=["collector"])
_ADMIN: dict[int | str, dict[str, Any]] = {403: {"model": ProblemOut}}
_TRIAL: dict[int | str, dict[str, Any]] = {**_ADMIN, 409: {"model": ProblemOut}}
_LONGEST = 20


@router.get("", summary="How the collector stands")
async def state(context: Context) -> CollectorOut:
    """Return settings, counts, trial and what this Python's rules mean for them."""
    return await context.threads.call(_state, context)


@router.put("", summary="Change the collector", responses=_ADMIN)
async def change(body: SettingsIn, context: Context, asker: Asker) -> CollectorOut:
    """Use other settings: for `trial_seconds`, or from now on and after restarts. Administrators only."""
    return await context.threads.call(_change, context, asker, body)


@router.post("/keep", summary="Keep what is on trial", responses=_TRIAL)
async def keep(context: Context, asker: Asker) -> CollectorOut:
    """Keep the trial's settings, also after restarts. Administrators only."""
    await context.threads.call(context.runtime.memory.collector.keep, asker)
    return await state(context)


@router.post("/revert", summary="End the trial", responses=_TRIAL)
async def revert(context: Context, asker: Asker) -> CollectorOut:
    """Go back to what was before the trial. Administrators only."""
    await context.threads.call(context.runtime.memory.collector.revert, asker)
    return await state(context)


@router.post("/freeze", summary="Hide all objects from the collector", responses=_ADMIN)
async def freeze(context: Context, asker: Asker) -> EffectOut:
    """Hide all present objects, after a last full collection. Administrators only."""
    return effect_out(await context.threads.call(context.runtime.memory.collector.freeze, asker))


@router.post("/unfreeze", summary="Show them again", responses=_ADMIN)
async def unfreeze(context: Context, asker: Asker) -> EffectOut:
    """Show the hidden objects to the collector again. Administrators only."""
    return effect_out(await context.threads.call(context.runtime.memory.collector.unfreeze, asker))


@router.post("/collect", summary="Collect now", responses=_ADMIN)
async def collect(context: Context, asker: Asker, body: CollectIn | None = None) -> EffectOut:
    """Collect a generation and those below it; all threads stand still meanwhile. Administrators only."""
    wanted = body or CollectIn()
    return effect_out(await context.threads.call(context.runtime.memory.collector.collect, asker, wanted.generation))


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


def _change(context: ApiContext, asker: Actor, body: SettingsIn) -> CollectorOut:
    collector = context.runtime.memory.collector
    now = collector.settings
    wanted = CollectorSettings(
        now.thresholds if body.thresholds is None else body.thresholds,
        now.automatic if body.automatic is None else body.automatic,
        now.policy if body.policy is None else body.policy,
    )
    collector.change(asker, wanted, body.trial_seconds)
    return _state(context)


def _pauses(context: ApiContext) -> PausesOut:
    runtime = context.runtime
    recorder = runtime.memory.pauses
    recent, everything = recorder.recent(), recorder.pauses()
    stopped = who_waited(
        longest(recent, _LONGEST),
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
