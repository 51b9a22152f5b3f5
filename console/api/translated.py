"""Routes whose results are told in the language of the request: texts that services keep for several readers are said
again for this one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import wraps
from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel

from services.core.i18n import localized

_MARK = "millpond_translated"


class TranslatedRoute(APIRoute):
    """A route of the API; what its endpoint returns is passed through `for_reader`."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, _translated(endpoint), **options)


def _translated(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    if not inspect.iscoroutinefunction(endpoint) or hasattr(endpoint, _MARK):
        return endpoint  # all that return texts are coroutines; FastAPI makes each route anew when it includes a router

    @wraps(endpoint)
    async def call(*args: Any, **kwargs: Any) -> Any:
        return for_reader(await endpoint(*args, **kwargs))

    setattr(call, _MARK, True)
    return call


def for_reader(value: Any) -> Any:
    """Return a value with every text in it in the reader's language; itself, where nothing changes."""
    if isinstance(value, str):
        return localized(value)
    if isinstance(value, (list, tuple)):
        return _sequence(value)
    if isinstance(value, dict):
        changed = {key: new for key, old in value.items() if (new := for_reader(old)) is not old}
        return {**value, **changed} if changed else value
    if is_dataclass(value) and not isinstance(value, type):
        # Frozen ones are shared by readers: a copy is made where a text differs.
        changed = _changed(value, [field.name for field in fields(value) if field.init])
        return replace(value, **changed) if changed else value
    if isinstance(value, BaseModel):
        changed = _changed(value, list(type(value).model_fields))
        return value.model_copy(update=changed) if changed else value
    return value


def _changed(value: object, names: list[str]) -> dict[str, Any]:
    return {name: new for name in names if (new := for_reader(old := getattr(value, name, None))) is not old}


def _sequence(value: list[Any] | tuple[Any, ...]) -> Any:
    if value and isinstance(value[0], (int, float)):
        return value  # figures, perhaps many
    new = [for_reader(each) for each in value]
    if all(one is other for one, other in zip(new, value, strict=True)):
        return value
    if isinstance(value, list):
        return new
    return type(value)(*new) if hasattr(value, "_fields") else tuple(new)
