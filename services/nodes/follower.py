"""Follows what other nodes change: woken by a message of PostgreSQL, and once a second when that fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from services.core.database import Database
from services.core.database.change_log import Change, Topic, newest, read_after
from services.core.errors import DatabaseAwayError, MillpondError
from services.nodes.store.listening import Listener

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
_RETRY_SECONDS = 0.5

Handler = Callable[[Sequence[Any]], object]


class Follower:
    """Applies the changes of other nodes in their order, by topic; thread-safe.

    A handler gets the contents of changes that follow each other, and may be given some a second time. `on_gap` is
    called in place of all handlers where changes are not there any more: everything has to be read anew.
    """

    def __init__(self, database: Database, *, after: int) -> None:
        self._database = database
        self._handlers: dict[Topic, list[Handler]] = {}
        self._on_gap: list[Callable[[], object]] = []
        self._applied = after
        self._closing = threading.Event()
        self._listener = Listener(database)
        self._thread: threading.Thread | None = None

    @property
    def applied(self) -> int:
        """The last change that was followed."""
        return self._applied

    def on(self, topic: Topic, handler: Handler) -> None:
        """Have `handler` called for changes of a topic."""
        self._handlers.setdefault(topic, []).append(handler)

    def on_gap(self, listener: Callable[[], object]) -> None:
        """Have `listener` called when changes were missed."""
        self._on_gap.append(listener)

    def start(self) -> None:
        """Begin to follow."""
        self._thread = threading.Thread(target=self._run, name="node-follower", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Have it end within a second; `close` waits for that."""
        self._closing.set()

    def close(self) -> None:
        """Stop."""
        self.stop()
        if self._thread is not None:
            self._thread.join()
        self._listener.close()

    def follow(self) -> bool:
        """Apply what is new; return whether there was something. Raises UnavailableError."""
        with self._database.read() as connection:
            changes = read_after(connection, self._applied)
        if changes is None:
            self._miss()
            return True
        if not changes:
            return False
        for topic, contents in _runs(changes, self._database.node):
            for handler in self._handlers.get(topic, ()):
                try:
                    handler(contents)
                except DatabaseAwayError:
                    raise  # all of it comes again
                except Exception:  # the others must hear of theirs
                    log.exception("change of another node not followed", topic=topic.value)
        self._applied = changes[-1].id
        return True

    def _miss(self) -> None:
        log.warning("changes of other nodes were missed; everything is read anew")
        with self._database.read() as connection:
            last = newest(connection)
        for listener in self._on_gap:
            listener()
        self._applied = last

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                while self.follow() and not self._closing.is_set():
                    pass
            except MillpondError as error:
                log.warning("changes of other nodes not read", reason=error.message)
                self._closing.wait(_RETRY_SECONDS)
            self._listener.wait(POLL_SECONDS)


def _runs(changes: Sequence[Change], own: int) -> list[tuple[Topic, list[Any]]]:
    """Return the contents of the changes of others, those of one topic that follow each other together."""
    runs: list[tuple[Topic, list[Any]]] = []
    for change in changes:
        if change.node == own or change.topic is None:
            continue
        if not runs or runs[-1][0] is not change.topic:
            runs.append((change.topic, []))
        runs[-1][1].append(change.content)
    return runs
