"""What the bodies of several subjects share: ids, projections of domain values, problem documents."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MAX_ID = 2**63 - 1  # the largest integer that the database can look for
Id = Annotated[int, Field(ge=1, le=MAX_ID)]


class Projection(BaseModel):
    """A body that is read from a domain value's attributes and leaves some out, renames or computes some.

    Where a body repeats a domain type field by field there is none: the frozen dataclass itself is served.
    """

    model_config = ConfigDict(from_attributes=True)


class ProblemOut(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    hint: str
    request_id: str


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of a route's expected failures, for its `responses`."""
    return {status: {"model": ProblemOut} for status in statuses}
