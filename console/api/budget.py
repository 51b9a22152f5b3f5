"""The memory budget and planned restarts over HTTP."""

from __future__ import annotations

from fastapi import APIRouter

from console.api.budget_schemas import RestartIn, RestartOut
from console.api.context import Asker, Context
from services.runtime import Runtime
from services.texts import _

router = APIRouter(prefix="/api", tags=["budget"])


@router.post("/restart", status_code=202, summary="Restart as planned")
async def restart(context: Context, asker: Asker, wanted: RestartIn | None = None) -> RestartOut:
    """Load the next process, let work under way end, then change over; answers at once. Administrators only."""
    reason = (wanted.reason if wanted else "").strip() or _("asked for over the API")
    await context.threads.call(context.runtime.restarts.request, asker, reason)
    return restart_out(context.runtime)


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
