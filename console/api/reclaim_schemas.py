"""The bodies of answers about what can be given back."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class OfferOut(BaseModel):
    """Something that can be given back."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    label: str
    cost: str = Field(description="What is lost by it, in words")
    bytes: int | None = Field(description="What it would free, measured; null: unknown")


class OffersOut(BaseModel):
    """All of them."""

    offers: list[OfferOut]
