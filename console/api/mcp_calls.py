"""The calls of tools at /mcp that are under way, so that a client can cancel its own by a message of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from services.core.actor import Actor

SESSION_ID = "mcp-session-id"  # the header
CallKey = tuple[str, str, str, str]


class RunningCalls:
    """The calls that a client may cancel, each by who calls, the client's session id and the id of the call."""

    def __init__(self) -> None:
        self._running: dict[CallKey, anyio.CancelScope] = {}

    @contextmanager
    def cancellable(self, key: CallKey) -> Iterator[anyio.CancelScope]:
        """Run the body until it ends or is cancelled."""
        with anyio.CancelScope() as ending:
            if key[2]:  # without a session id anybody could be meant
                self._running[key] = ending
            try:
                yield ending
            finally:
                if self._running.get(key) is ending:
                    del self._running[key]

    def cancel(self, key: CallKey) -> bool:
        """Cancel a call; return whether there was one."""
        ending = self._running.get(key)
        if ending is not None:
            ending.cancel()
        return ending is not None


CALLS = RunningCalls()


def call_key(actor: Actor, session: str, request_id: object) -> CallKey:
    """Return the key of a call."""
    return (actor.name, actor.session_id, session, str(request_id))
