"""The memory of the process: ledger, verdict, history."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(prefix="/api/memory", tags=["memory"])
