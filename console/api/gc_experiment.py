"""The GC threshold experiment over HTTP: start, progress, cancel, results. Bytes and seconds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from console.api.context import ApiContext, Caller, Context
from console.api.inputs import JsonBody, PathName
from console.api.permissions import needs
from console.api.problems import Projection, problem_responses
from console.api.translated import TranslatedRoute
from services.core.actor import Permission
from services.memory.gc_experiment.analysis import Ratio, analyze
from services.memory.gc_experiment.messages import headline, recommendation
from services.memory.gc_experiment.runner import OPERATIONS, ROUNDS
from services.memory.gc_experiment.types import ExperimentPhase, ExperimentResult, ExperimentState, Setting
from services.memory.gc_experiment.workload import (
    MAX_OPERATIONS,
    MAX_ROUNDS,
    MAX_SETTINGS,
    MAX_THRESHOLD,
    MIN_OPERATIONS,
    MIN_ROUNDS,
    label,
)

router = APIRouter(route_class=TranslatedRoute, prefix="/api/experiment", tags=["experiment"])
_ADMIN = problem_responses(403)


_Threshold = Annotated[int, Field(ge=1, le=MAX_THRESHOLD)]


class SettingIn(JsonBody):
    """Settings of the collector; null thresholds: the defaults of this Python version."""

    model_config = ConfigDict(extra="forbid")

    # A list in JSON is a tuple here.
    thresholds: Annotated[tuple[_Threshold, _Threshold, _Threshold], Field(strict=False)] | None = None
    automatic: bool = True
    frozen: bool = Field(False, description="Freeze all objects that are alive after the start")
    control: bool = Field(False, description="Repeat the defaults, to see how much equal runs differ")

    def setting(self) -> Setting:
        """Return it as the services know it."""
        return Setting(self.thresholds, self.automatic, self.frozen, self.control)


class ExperimentIn(JsonBody):
    """The settings to compare. The defaults are always included: the others are compared with them."""

    model_config = ConfigDict(extra="forbid")

    settings: list[SettingIn] = Field(min_length=1, max_length=MAX_SETTINGS)
    # The service refuses fewer in words that say why.
    rounds: int = Field(ROUNDS, ge=1, le=MAX_ROUNDS, json_schema_extra={"minimum": MIN_ROUNDS})
    operations: int = Field(OPERATIONS, ge=MIN_OPERATIONS, le=MAX_OPERATIONS, description="In each run")
    seed: int = Field(1, ge=0, le=2**31 - 1)


class SettingOut(Projection):
    """A setting with its name."""

    name: str
    thresholds: tuple[int, int, int] | None
    automatic: bool
    frozen: bool
    control: bool


class StateOut(Projection):
    """The state of the current or last experiment. `run` of `runs` is in progress; `progress` is from 0 to 1;
    `remaining` is estimated, in seconds; `result` is the id of the result, "" while there is none."""

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


class RunOut(Projection):
    """The figures of one run. Bytes and seconds; `pause` and the percentiles are processor time of the thread that
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


class RatioOut(Projection):
    """The ratio to the defaults with its interval and the p-value of an exact test; ends of the interval are null where
    they are not known."""

    value: float
    low: float | None
    high: float | None
    p: float
    certain: bool


class ResultOut(Projection):
    """A finished experiment. `ratios[i]` compares `settings[i + 1]` with `settings[0]`, the defaults; `advised` is an
    index into `settings`, 0: none."""

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


def _settings_out(settings: Iterable[Setting]) -> list[SettingOut]:
    return [SettingOut.of(setting, name=label(setting)) for setting in settings]


def _state_out(state: ExperimentState) -> StateOut:
    progress = 1.0 if state.phase is ExperimentPhase.FINISHED else state.progress
    return StateOut.of(state, settings=_settings_out(state.settings), progress=progress)


def _result_out(result: ExperimentResult) -> ResultOut:
    analysis = analyze(result)
    return ResultOut.of(
        result,
        settings=_settings_out(result.settings),
        advice=analysis.advice.value,
        advised=analysis.setting,
        headline=headline(analysis, result),
        recommendation=recommendation(analysis, result),
        ratios=[{figure.value: _ratio_out(ratio) for figure, ratio in each.items()} for each in analysis.ratios],
        runs=[RunOut.of(run.figures, setting=run.setting, round=run.round) for run in result.runs],
    )


def _ratio_out(ratio: Ratio) -> RatioOut:
    known = ratio.low > 0
    return RatioOut.of(
        ratio, low=ratio.low if known else None, high=ratio.high if known else None, certain=ratio.significant
    )


@router.post(
    "",
    dependencies=needs(Permission.OPERATE),
    status_code=202,
    summary="Start an experiment",
    responses=problem_responses(403, 409, 503),
)
async def start(body: ExperimentIn, context: Context, actor: Caller) -> StateOut:
    """Run the same workload under several settings, each in fresh processes, one at a time. Administrators only."""
    settings = [setting.setting() for setting in body.settings]
    experiments = context.services.experiments
    return _state_out(
        await context.threads.call(experiments.start, actor, settings, body.rounds, body.operations, body.seed)
    )


@router.get("", dependencies=needs(Permission.OPERATE, visitors=True), summary="Progress of the experiment")
async def state(context: Context) -> StateOut:
    """Return the progress of the current or last experiment."""
    return _state_out(context.services.experiments.state())


@router.delete("", dependencies=needs(Permission.OPERATE), summary="Cancel the experiment", responses=_ADMIN)
async def cancel(context: Context, actor: Caller) -> StateOut:
    """Cancel it and answer once its processes have ended; no error if none runs. Administrators only."""
    return _state_out(await context.threads.call(context.services.experiments.cancel, actor))


@router.get("/results", dependencies=needs(Permission.OPERATE, visitors=True), summary="Results")
async def results(context: Context) -> ResultsOut:
    """Return the stored results, newest first."""
    return await context.threads.call(_results, context)


def _results(context: ApiContext) -> ResultsOut:
    return ResultsOut(results=[_result_out(result) for result in context.services.experiments.results()])


@router.get(
    "/results/{result_id}",
    dependencies=needs(Permission.OPERATE, visitors=True),
    summary="One result",
    responses=problem_responses(404),
)
async def result(result_id: PathName, context: Context) -> ResultOut:
    """Return the figures of each run, the comparison with the defaults, and the recommendation."""
    return await context.threads.call(_result, context, result_id)


def _result(context: ApiContext, result_id: str) -> ResultOut:
    return _result_out(context.services.experiments.result(result_id))
