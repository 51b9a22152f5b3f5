"""Giving memory back: what could be, and doing it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from console.api.context import Asker, Context
from console.api.effect_schemas import EffectOut, effect_out
from console.api.reclaim_schemas import OfferOut, OffersOut
from console.api.schemas import ProblemOut

router = APIRouter(prefix="/api/reclaim", tags=["reclaim"])
_REFUSED: dict[int | str, dict[str, Any]] = {403: {"model": ProblemOut}, 404: {"model": ProblemOut}}


@router.get("", summary="What can be given back")
async def offers(context: Context) -> OffersOut:
    """Return each with what it would free now."""
    found = await context.threads.call(context.runtime.memory.reclaimers.offers)
    return OffersOut(offers=[OfferOut.model_validate(offer) for offer in found])


@router.post("/{name}", summary="Give it back", responses=_REFUSED)
async def release(name: str, context: Context, asker: Asker) -> EffectOut:
    """Give something back, and return what that did. Administrators only."""
    return effect_out(await context.threads.call(context.runtime.memory.reclaimers.release, asker, name))
