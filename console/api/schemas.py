"""What the bodies of several subjects share: ids, projections of domain values, problem documents."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

MAX_ID = 2**63 - 1  # the largest integer that the database can look for
Id = Annotated[int, Field(ge=1, le=MAX_ID)]


class Projection(BaseModel):
    """A body that is read from a domain value's attributes and leaves some out, renames or computes some.

    Where a body repeats a domain type field by field there is none: the frozen dataclass itself is served.
    """

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, value: object, **others: Any) -> Self:
        """Return the body for `value`: each field is the attribute of that name, unless it is among `others`."""
        fields = {name: getattr(value, name) for name in cls.model_fields if name not in others}
        return cls.model_validate(fields | others)


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
