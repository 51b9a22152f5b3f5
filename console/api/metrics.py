"""The exposition for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from console.api.context import Context

router = APIRouter(tags=["metrics"])


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}, "application/openmetrics-text": {}}}},
)
async def metrics(request: Request, context: Context) -> Response:
    """Return all metrics in Prometheus's text format, or in OpenMetrics if `Accept` asks for it; also at the start."""
    accept = ",".join(request.headers.getlist("accept"))
    body, content_type = await context.threads.call(context.runtime.metrics.render, accept)
    return Response(body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})
