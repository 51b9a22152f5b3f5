"""The threshold experiment: start, watch, cancel, and read what was found."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from console.api.context import ApiContext, Asker, Context
from console.api.experiment_schemas import ExperimentIn, ResultOut, ResultsOut, StateOut, result_out, state_out
from console.api.schemas import ProblemOut

router = APIRouter(prefix="/api/experiment", tags=["experiment"])
_ADMIN: dict[int | str, dict[str, Any]] = {403: {"model": ProblemOut}}
_START: dict[int | str, dict[str, Any]] = {**_ADMIN, 409: {"model": ProblemOut}, 503: {"model": ProblemOut}}


@router.post("", status_code=202, summary="Start an experiment", responses=_START)
async def start(body: ExperimentIn, context: Context, asker: Asker) -> StateOut:
    """Do the same work under several settings, each in fresh processes, one at a time. Administrators only."""
    settings = [setting.setting() for setting in body.settings]
    experiments = context.runtime.experiments
    return state_out(
        await context.threads.call(experiments.start, asker, settings, body.rounds, body.operations, body.seed)
    )


@router.get("", summary="How the experiment stands")
async def state(context: Context) -> StateOut:
    """Return the present or last experiment's progress."""
    return state_out(context.runtime.experiments.state())


@router.delete("", summary="Cancel the experiment", responses=_ADMIN)
async def cancel(context: Context, asker: Asker) -> StateOut:
    """End it, and answer when nothing is left of it; fine if none runs. Administrators only."""
    return state_out(await context.threads.call(context.runtime.experiments.cancel, asker))


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
