"""What an action did to the memory, as a body. Bytes, seconds, times in seconds since the epoch."""

from __future__ import annotations

from pydantic import BaseModel, Field

from services.memory.effects import Effect


class OwnerChangeOut(BaseModel):
    """An owner of RSS before and after."""

    owner: str
    bytes_before: int
    bytes_after: int


class EffectOut(BaseModel):
    """What an action did."""

    action: str
    actor: str
    time: float
    seconds: float = Field(description="The action itself: for a collection the pause of all threads")
    rss_before_bytes: int
    rss_after_bytes: int
    found: int | None = Field(description="Objects that a collection found to be garbage")
    uncollectable: int | None
    detail: str
    owners: list[OwnerChangeOut] = Field(description="Every owner that has or had bytes")


class EffectsOut(BaseModel):
    """What was done of late, by whomever: the newest first."""

    effects: list[EffectOut]


def effect_out(effect: Effect) -> EffectOut:
    """Return an effect as a body."""
    owners = sorted({*effect.owners_before, *effect.owners_after})
    changes = [
        OwnerChangeOut(
            owner=owner,
            bytes_before=effect.owners_before.get(owner, 0),
            bytes_after=effect.owners_after.get(owner, 0),
        )
        for owner in owners
    ]
    return EffectOut(
        action=effect.action,
        actor=effect.actor,
        time=effect.time,
        seconds=effect.seconds,
        rss_before_bytes=effect.rss_before,
        rss_after_bytes=effect.rss_after,
        found=effect.found,
        uncollectable=effect.uncollectable,
        detail=effect.detail,
        owners=[change for change in changes if change.bytes_before or change.bytes_after],
    )
