"""Is it alive, is it ready: for probes and fronts."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from console.api.context import Context
from services.operations.health import Check, Readiness

router = APIRouter(tags=["health"])


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", summary="Alive")
async def healthz() -> dict[str, str]:
    """Answer at once, also while models are loading."""
    return {"status": "alive"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Ready", responses={503: {"description": "A part is missing; see its check"}})
async def readyz(context: Context) -> Response:
    """Answer 200 when every part can do its work, else 503; one check per part."""
    runtime = context.runtime
    readiness = await context.threads.call(runtime.health.ready)
    if not runtime.ready:
        detail = runtime.failure.message if runtime.failure else runtime.stage
        readiness = Readiness((*readiness.checks, Check("start", ok=False, detail=detail)))
    body: dict[str, Any] = readiness.as_dict()
    if runtime.ready and runtime.restarts.draining:
        body["status"] = "draining"
    return JSONResponse(body, status_code=200 if readiness.ok else 503, headers={"Cache-Control": "no-store"})
