"""tracemalloc: on and off, snapshots, comparisons."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(prefix="/api/tracing", tags=["tracing"])
