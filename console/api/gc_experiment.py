"""The threshold experiment: start, watch, cancel, and read what was found.

The bodies of requests and answers about threshold experiments.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from console.api.context import ApiContext, Caller, Context
from console.api.schemas import ProblemOut
from services.memory.gc_experiment.analysis import Analysis, Ratio, analyze
from services.memory.gc_experiment.messages import headline, recommendation
from services.memory.gc_experiment.runner import OPERATIONS, ROUNDS
from services.memory.gc_experiment.types import ExperimentPhase, ExperimentResult, ExperimentState, Setting
from services.memory.gc_experiment.workload import (
    MAX_OPERATIONS,
    MAX_ROUNDS,
    MAX_SETTINGS,
    MIN_OPERATIONS,
    MIN_ROUNDS,
    label,
)

router = APIRouter(prefix="/api/experiment", tags=["experiment"])
_ADMIN: dict[int | str, dict[str, Any]] = {403: {"model": ProblemOut}}
_START: dict[int | str, dict[str, Any]] = {**_ADMIN, 409: {"model": ProblemOut}, 503: {"model": ProblemOut}}


class SettingIn(BaseModel):
    """Settings of the collector. Without thresholds this Python's own; `control`: those once more."""

    model_config = ConfigDict(extra="forbid")

    thresholds: tuple[int, int, int] | None = None
    automatic: bool = True
    frozen: bool = Field(False, description="Hide what lives after the start from the collector")
    control: bool = Field(False, description="The defaults a second time, to see how much equal runs differ")

    def setting(self) -> Setting:
        """Return it as the services know it."""
        return Setting(self.thresholds, self.automatic, self.frozen, self.control)


class ExperimentIn(BaseModel):
    """What to try. The defaults are always part of it: the others are compared with them."""

    model_config = ConfigDict(extra="forbid")

    settings: list[SettingIn] = Field(min_length=1, max_length=MAX_SETTINGS)
    rounds: int = Field(ROUNDS, ge=MIN_ROUNDS, le=MAX_ROUNDS)
    operations: int = Field(OPERATIONS, ge=MIN_OPERATIONS, le=MAX_OPERATIONS, description="In each run")
    seed: int = Field(1, ge=0, le=2**31 - 1)


class SettingOut(BaseModel):
    """A setting with its name."""

    name: str
    thresholds: tuple[int, int, int] | None
    automatic: bool
    frozen: bool
    control: bool


class StateOut(BaseModel):
    """How the present or last experiment stands. `run` of `runs` is at work; `progress` is from 0 to 1; `remaining` is
    estimated, in seconds; `result` is the id of what was found, "" while there is nothing."""

    phase: ExperimentPhase
    settings: list[SettingOut]
    run: int
    runs: int
    progress: float
    actor: str
    began: float
    remaining: float | None
    message: str
    hint: str
    result: str


class RunOut(BaseModel):
    """What one run measured. Bytes and seconds; `pause` and the percentiles are processor time of the thread that
    collected, `throughput` is operations per second of processor time."""

    setting: int
    round: int
    pause: float
    pause_wall: float
    p50: float
    p95: float
    p99: float
    longest: float
    collections: tuple[int, int, int]
    collected: int
    base: int
    peak: int
    floor: int
    operations: int
    seconds: float
    cpu_seconds: float
    throughput: float


class RatioOut(BaseModel):
    """How many times as much as with the defaults, with its interval and the p of an exact test; an end of the interval
    is None where nothing is known."""

    value: float
    low: float | None
    high: float | None
    p: float
    certain: bool


class ResultOut(BaseModel):
    """A finished experiment. `ratios[i]` compares `settings[i + 1]` with `settings[0]`, the defaults; `advised` is a
    place in `settings`, 0: none."""

    id: str
    began: float
    took: float
    actor: str
    python: str
    defaults: tuple[int, int, int]
    settings: list[SettingOut]
    rounds: int
    recorded: bool
    seed: int
    counts: dict[str, int]
    advice: str
    advised: int
    headline: str
    recommendation: str
    ratios: list[dict[str, RatioOut]]
    runs: list[RunOut]


class ResultsOut(BaseModel):
    """Finished experiments, newest first."""

    results: list[ResultOut]


def setting_out(setting: Setting) -> SettingOut:
    """Return a setting with its name."""
    return SettingOut(
        name=label(setting),
        thresholds=setting.thresholds,
        automatic=setting.automatic,
        frozen=setting.frozen,
        control=setting.control,
    )


def state_out(state: ExperimentState) -> StateOut:
    """Return how an experiment stands."""
    return StateOut(
        phase=state.phase,
        settings=[setting_out(setting) for setting in state.settings],
        run=state.run,
        runs=state.runs,
        progress=1.0 if state.phase is ExperimentPhase.FINISHED else state.progress,
        actor=state.actor,
        began=state.began,
        remaining=state.remaining,
        message=state.message,
        hint=state.hint,
        result=state.result,
    )


def result_out(result: ExperimentResult) -> ResultOut:
    """Return a finished experiment with what it says."""
    judgement: Analysis = analyze(result)
    return ResultOut(
        id=result.id,
        began=result.began,
        took=result.took,
        actor=result.actor,
        python=result.python,
        defaults=result.defaults,
        settings=[setting_out(setting) for setting in result.settings],
        rounds=result.rounds,
        recorded=result.recorded,
        seed=result.seed,
        counts=result.counts,
        advice=judgement.advice.value,
        advised=judgement.setting,
        headline=headline(judgement, result),
        recommendation=recommendation(judgement, result),
        ratios=[{figure.value: _ratio(ratio) for figure, ratio in each.items()} for each in judgement.ratios],
        runs=[_run(result, place) for place in range(len(result.runs))],
    )


def _ratio(ratio: Ratio) -> RatioOut:
    known = ratio.low > 0
    return RatioOut(
        value=ratio.value,
        low=ratio.low if known else None,
        high=ratio.high if known else None,
        p=ratio.p,
        certain=ratio.told,
    )


def _run(result: ExperimentResult, place: int) -> RunOut:
    run, figures = result.runs[place], result.runs[place].figures
    return RunOut(
        setting=run.setting,
        round=run.round,
        pause=figures.pause,
        pause_wall=figures.pause_wall,
        p50=figures.p50,
        p95=figures.p95,
        p99=figures.p99,
        longest=figures.longest,
        collections=figures.collections,
        collected=figures.collected,
        base=figures.base,
        peak=figures.peak,
        floor=figures.floor,
        operations=figures.operations,
        seconds=figures.seconds,
        cpu_seconds=figures.cpu_seconds,
        throughput=figures.throughput,
    )


@router.post("", status_code=202, summary="Start an experiment", responses=_START)
async def start(body: ExperimentIn, context: Context, actor: Caller) -> StateOut:
    """Do the same work under several settings, each in fresh processes, one at a time. Administrators only."""
    settings = [setting.setting() for setting in body.settings]
    experiments = context.runtime.experiments
    return state_out(
        await context.threads.call(experiments.start, actor, settings, body.rounds, body.operations, body.seed)
    )


@router.get("", summary="How the experiment stands")
async def state(context: Context) -> StateOut:
    """Return the present or last experiment's progress."""
    return state_out(context.runtime.experiments.state())


@router.delete("", summary="Cancel the experiment", responses=_ADMIN)
async def cancel(context: Context, actor: Caller) -> StateOut:
    """End it, and answer when nothing is left of it; fine if none runs. Administrators only."""
    return state_out(await context.threads.call(context.runtime.experiments.cancel, actor))


@router.get("/results", summary="What was found")
async def results(context: Context) -> ResultsOut:
    """Return the experiments that are kept, newest first."""
    return await context.threads.call(_results, context)


def _results(context: ApiContext) -> ResultsOut:
    return ResultsOut(results=[result_out(result) for result in context.runtime.experiments.results()])


@router.get("/results/{result_id}", summary="One experiment's result", responses={404: {"model": ProblemOut}})
async def result(result_id: str, context: Context) -> ResultOut:
    """Return what each run measured, the comparison with the defaults, and the recommendation."""
    return await context.threads.call(_result, context, result_id)


def _result(context: ApiContext, result_id: str) -> ResultOut:
    return result_out(context.runtime.experiments.result(result_id))
