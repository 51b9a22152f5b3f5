"""One look at the whole: counts, big things held in memory, chat model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from console.api.context import ApiContext, Context
from services.held import HeldResource
from services.memory.process import rss_bytes

router = APIRouter(prefix="/api/status", tags=["status"])


@router.get("", summary="Counts, resources and chat model")
async def status(context: Context) -> dict[str, Any]:
    """Return totals, what the process holds once (bytes, load counts), and the chat model's state."""
    return await context.threads.call(_status, context)


def _status(context: ApiContext) -> dict[str, Any]:
    runtime = context.runtime
    running, waiting = runtime.answering.slots()
    return {
        "ready": runtime.ready,
        "stage": runtime.stage,
        "started_at": runtime.started_at,
        "rss_bytes": rss_bytes(),
        "counts": asdict(runtime.library.counts()),
        "resources": [_shown(held) for held in runtime.resources()],
        "chat_model": asdict(runtime.models.status()),
        "answers": {"running": running, "waiting": waiting},
    }


def _shown(held: HeldResource) -> dict[str, Any]:
    """Return what may be shown of a report: not where in memory things lie, nor in which folder."""
    return {
        "name": held.name,
        "detail": held.detail,
        "bytes": held.bytes,
        "loads": held.loads,
        "attributes": held.attributes,
        "owner": held.owner,
    }
