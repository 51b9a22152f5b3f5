"""Who the present request is for, carried along by the context into threads and tasks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

NOBODY = "local"
_user: ContextVar[str] = ContextVar("millpond_user", default=NOBODY)


def current_user() -> str:
    """Return the user whose request this is: a tab of a browser, a client of the API; `NOBODY` where no shell said."""
    return _user.get()


@contextmanager
def acting_for(user: str) -> Iterator[None]:
    """Have what happens inside count for `user`."""
    token = _user.set(user)
    try:
        yield
    finally:
        _user.reset(token)
