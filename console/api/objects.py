"""The living objects: types, growth, what holds them."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(prefix="/api/objects", tags=["objects"])
