"""The exposition for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["metrics"])
