"""Membership: this node's heartbeat, joining again after it was taken over, and taking over those that fell silent."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from services.core.database import Database
from services.core.errors import ConflictError, MillpondError, UnavailableError
from services.core.events import EventKind, EventSink, NullEventSink
from services.core.i18n import _
from services.nodes.store.node_store import NodeStore
from services.nodes.types import BEAT_SECONDS, NodeState

log = structlog.get_logger(__name__)

_DELETE_EACH = 3  # beats: names of what was deleted are to be gone within 10 s


class Membership:
    """This process as a node. Thread-safe.

    Args:
        database: what the nodes share; its transactions are those of this node from `join` on.
        store: the nodes in it.
        name: this node's own, which it keeps over restarts.
        url: where its pages are.
        version: of the program.
        agreed: what all nodes must have alike, by name, as hashes.
    """

    def __init__(
        self,
        database: Database,
        store: NodeStore,
        *,
        name: str,
        url: str,
        version: str,
        agreed: Mapping[str, str],
    ) -> None:
        self._database = database
        self._store = store
        self.name = name
        self._identity = {"url": url, "version": version}
        self._agreed = dict(agreed)
        self._report: Callable[[], Mapping[str, Any]] = dict
        self._reporter: EventSink = NullEventSink()
        self._state = NodeState.STARTING
        self._applied: Callable[[], int] = lambda: 0
        self._on_rejoined: list[Callable[[], object]] = []
        self._on_taken: list[Callable[[], object]] = []
        self._on_round: list[Callable[[], object]] = []
        self._changing = threading.RLock()
        self._closing = threading.Event()
        # Taking over, and what follows, may take a while, in which this node must go on to beat.
        self._due = threading.Event()
        self._rejoined = False
        self._threads: list[threading.Thread] = []
        self.number = self.epoch = 0

    def join(self) -> int:
        """Become a node; return the newest change at that moment.

        Raises:
            ConflictError: a node of this name is running, or what all nodes must have alike differs.
            UnavailableError: the database does not answer.
        """
        with self._changing:
            joined = self._store.join(self.name, agreed=self._agreed, **self._identity)
            self.number, self.epoch = joined.number, joined.epoch
            self._database.join(joined.number, joined.epoch)
        log.info("joined as a node", node=self.name, number=self.number, epoch=self.epoch)
        return joined.change

    def start(self, applied: Callable[[], int], report: Callable[[], Mapping[str, Any]], reporter: EventSink) -> None:
        """Begin to beat.

        Args:
            applied: returns the last change of others that was followed.
            report: returns what the node tells of itself.
            reporter: hears of nodes that were taken over.
        """
        self._applied, self._report, self._reporter = applied, report, reporter
        for name, run in (("node-heartbeat", self._beat_always), ("node-watch", self._watch_others)):
            thread = threading.Thread(target=run, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def set_state(self, state: NodeState) -> None:
        """Tell the others how far this node is, with the next heartbeat."""
        with self._changing:
            self._state = state

    def change_state(self, before: NodeState, after: NodeState) -> bool:
        """Set the state where it is `before`; return whether it was."""
        with self._changing:
            if self._state is not before:
                return False
            self._state = after
            return True

    def agree(self, what: str, value: str) -> None:
        """Add to what all nodes must have alike.

        Raises:
            ConflictError: a node that is running has another one.
        """
        with self._changing:
            self._store.agree(self.number, what, value)
            self._agreed[what] = value

    def on_rejoined(self, listener: Callable[[], object]) -> None:
        """Have `listener` called when this node has been taken over and joined again: what it knew may be wrong."""
        self._on_rejoined.append(listener)

    def on_taken(self, listener: Callable[[], object]) -> None:
        """Have `listener` called when this node has taken over another one: its work waits."""
        self._on_taken.append(listener)

    def on_round(self, listener: Callable[[], object]) -> None:
        """Have `listener` called about once a second, apart from the heartbeat."""
        self._on_round.append(listener)

    def take_over(self, number: int) -> None:
        """Take over a node because a person asks for it, silent or not.

        Raises:
            ConflictError: it is this one, or has ended.
        """
        if not self._take_over(number, silent_only=False):
            raise ConflictError(_("This node has ended, or is the one that you asked; nothing was changed."))

    def close(self) -> None:
        """Stop to beat, and leave."""
        self._closing.set()
        self._due.set()
        for thread in self._threads:
            thread.join()
        if self.number:
            try:
                self._store.leave(self.number, self.epoch)
            except MillpondError as error:  # the others find out by themselves, or have already
                log.warning("node not signed off", reason=error.message)

    def _beat_always(self) -> None:
        while not self._closing.wait(BEAT_SECONDS):
            try:
                self._beat()
            except UnavailableError as error:
                log.warning("no heartbeat", reason=error.message)
            except MillpondError as error:
                log.warning("node cannot join again", reason=error.message)

    def _beat(self) -> None:
        alive = self._store.beat(
            self.number, self.epoch, state=self._state, applied=self._applied(), report=self._report()
        )
        if not alive:
            log.error("this node was taken over", node=self.name, epoch=self.epoch)
            self.join()
            self._rejoined = True
            self._due.set()

    def _watch_others(self) -> None:
        for beat in itertools.count(1):
            if self._closing.is_set():
                return
            try:
                if self._rejoined:
                    self._rejoined = False
                    self._reporter.event(EventKind.NODE, _("this node was taken over; it has joined again"))
                    _call(self._on_rejoined)
                for number in self._store.silent():
                    self._take_over(number, silent_only=True)
                _call(self._on_round)
                if beat % _DELETE_EACH == 0:
                    self._store.delete_followed()
            except MillpondError as error:
                log.warning("nodes that are silent not taken over", reason=error.message)
            self._due.wait(BEAT_SECONDS)
            self._due.clear()

    def _take_over(self, number: int, *, silent_only: bool) -> bool:
        if number == self.number or not self._store.take_over(number, silent_only=silent_only):
            return False
        name = next((node.name for node in self._store.all() if node.number == number), str(number))
        log.warning("took over a node", node=name)
        told = _("took over the node {name}, which was silent") if silent_only else _("was told to take over {name}")
        self._reporter.event(EventKind.NODE, told.format(name=name))
        _call(self._on_taken)
        return True


def _call(listeners: Sequence[Callable[[], object]]) -> None:
    for listener in listeners:
        try:
            listener()
        except Exception:  # the others must hear of it, and this node must go on to watch
            log.exception("what follows from a take-over not done")
