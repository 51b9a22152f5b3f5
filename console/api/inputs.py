"""What clients send, in a strict form: bodies, and the texts and numbers in them, with limits that hold for every layer
behind the routes.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from services.core.i18n import _

MAX_ID = 2**53 - 1  # the largest integer that every program reads exactly from JSON
MAX_DEPTH = 100  # what is deeper in a body was nested by a program that means harm
MAX_FILTER = 1000  # SQLite refuses patterns of 50,000 bytes; nobody types so many characters to filter a list
MAX_NAME = 400  # ids, names of snapshots, types, owners: longer ones belong to nothing


def _written(value: Any) -> Any:
    """Refuse a bare number, which would be read as seconds or, from 2e10 on, as milliseconds since 1970."""
    if isinstance(value, int | float) or (isinstance(value, str) and _NUMBER.fullmatch(value.strip())):
        raise PydanticCustomError(
            "moment", "{reason}", {"reason": _("Write a date and time, as 2026-11-30T09:00:00Z.")}
        )
    return value


_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
Moment = Annotated[datetime, BeforeValidator(_written)]
Id = Annotated[int, Field(ge=1, le=MAX_ID)]
PathName = Annotated[str, Path(max_length=MAX_NAME)]
QueryName = Annotated[str, Query(max_length=MAX_NAME)]
Whole = Annotated[int, Field(ge=-MAX_ID, le=MAX_ID)]
# What a text must have to mean anything, as JSON Schema says it; the services refuse other ones in words.
VISIBLE: JsonDict = {"pattern": r"[\p{L}\p{M}\p{N}\p{P}\p{S}]"}
WORDS: JsonDict = {"pattern": r"[\p{L}\p{N}]"}


class JsonBody(BaseModel):
    """A body in JSON: nothing is converted ("5" is no number), and no value breaks what comes after.

    Each whole number in it has limits of its own, since those of JSON are endless.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unusable(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        fields = {name: value[name] for name in cls.model_fields if name in value}
        if reason := unusable(fields):  # what is in fields that nobody reads does not matter
            raise PydanticCustomError("unusable", "{reason}", {"reason": reason})
        return value | {name: _whole(each) for name, each in fields.items()}


def _whole(value: Any) -> Any:
    """Return 21.0 as 21, also in a list: in JSON they are the same number."""
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def unusable(value: Any) -> str:
    """Return why a value from JSON cannot be used wherever it goes, "" if it can."""
    level = [value]
    for _depth in range(MAX_DEPTH):
        below: list[Any] = []
        for each in level:
            if reason := _fault(each):
                return reason
            if isinstance(each, dict):
                below += each.keys()
                below += each.values()
            elif isinstance(each, list):
                below += each
        if not below:
            return ""
        level = below
    return _("It is nested more than {most} levels deep.").format(most=MAX_DEPTH)


def _fault(value: Any) -> str:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return _("It has half of a surrogate pair, which is no character.")
    elif isinstance(value, float) and not math.isfinite(value):
        return _("It has a number that is not finite.")
    return ""
