"""Ingestion jobs: what is waiting, running, failed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from console.api.context import Context
from console.api.schemas import Id, JobOut, JobsOut

router = APIRouter(prefix="/api/jobs", tags=["jobs"])


@router.get("", summary="List jobs")
async def jobs(
    context: Context, *, unfinished: bool = False, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> JobsOut:
    """Return the newest jobs, or only those that are not finished."""
    found = await context.threads.call(context.runtime.library.jobs, unfinished_only=unfinished, limit=limit)
    return JobsOut(jobs=[JobOut.model_validate(job) for job in found])


@router.post("/{job_id}/cancel", status_code=204, summary="Cancel a job")
async def cancel(job_id: Id, context: Context) -> Response:
    """Stop a job; what it had done is dropped, what was searchable before stays so."""
    await context.threads.call(context.runtime.library.cancel, job_id)
    return Response(status_code=204)


@router.delete("/{job_id}", status_code=204, summary="Remove a job")
async def remove(job_id: Id, context: Context) -> Response:
    """Take a job out of the list, cancelling it first if it is not finished."""
    await context.threads.call(context.runtime.library.remove, job_id)
    return Response(status_code=204)


@router.post("/{job_id}/retry", status_code=202, summary="Try a job again")
async def retry(job_id: Id, context: Context) -> JobOut:
    """Queue a failed or cancelled job once more."""
    return JobOut.model_validate(await context.threads.call(context.runtime.library.retry, job_id))
