"""Every request runs in a scope: it takes a slot, has a time limit, can be cancelled, and cleans up after itself.

Who the present request is for, carried along by the context into threads and tasks.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from uuid import uuid4

import structlog

from services.core.access import Actor
from services.core.errors import BusyError
from services.core.events import EventKind, EventSink, NullEventSink
from services.core.i18n import _
from services.core.requests.concurrency import ConcurrencyLimit
from services.core.requests.request import Cancellation, RequestRecord, RequestScope
from services.core.requests.types import FinishedRequest, Outcome, RequestKind, RequestLimits, RunningRequest
from services.core.settings import Settings

log = structlog.get_logger(__name__)

DETAIL_CHARACTERS = 120
RECENT = 200
NOBODY = "local"
_user: ContextVar[str] = ContextVar("millpond_user", default=NOBODY)


def policies(settings: Settings) -> dict[RequestKind, RequestLimits]:
    """Return what the settings allow of each kind."""
    s = settings
    return {
        RequestKind.ANSWER: RequestLimits(s.answers_per_user, s.answers_total, s.answers_waiting, s.answer_seconds),
        RequestKind.SEARCH: RequestLimits(s.searches_per_user, s.searches_total, s.searches_waiting, s.search_seconds),
        RequestKind.UPLOAD: RequestLimits(s.uploads_per_user, s.uploads_total, s.uploads_waiting, s.upload_seconds),
        RequestKind.DIAGNOSTIC: RequestLimits(
            s.diagnostics_per_user, s.diagnostics_total, s.diagnostics_waiting, s.diagnostics_seconds
        ),
    }


class RequestRegistry:
    """All scopes of the process: who runs, who waits, and how to end one. Thread-safe, bounded."""

    def __init__(
        self,
        settings: Mapping[RequestKind, RequestLimits] | Settings,
        rss: Callable[[], int] = lambda: 0,
        *,
        now: Callable[[], float] = time.time,
        reporter: Callable[[], EventSink] = NullEventSink,
    ) -> None:
        """Take the limits from `settings`; `rss` returns the process's resident bytes, `now` seconds since the
        epoch."""
        self._policies = policies(settings) if isinstance(settings, Settings) else dict(settings)
        self._rss = rss
        self._now = now
        self._reporter = reporter
        self._slots = {
            kind: ConcurrencyLimit(p.per_user, p.total, p.waiting, kind) for kind, p in self._policies.items()
        }
        # Reentrant: the garbage collector may end a dropped scope at any moment, also while its thread holds this.
        self._lock = threading.RLock()
        self._open: dict[str, RequestRecord] = {}
        self._recent: deque[FinishedRequest] = deque(maxlen=RECENT)
        self._ended = {kind: dict.fromkeys(Outcome, 0) for kind in RequestKind}
        self._prefix = uuid4().hex[:6]
        self._numbers = count(1)

    def open(
        self, kind: RequestKind, detail: str = "", *, user: str = "", cancellation: Cancellation | None = None
    ) -> RequestScope:
        """Open a scope: it has a slot or a place in the queue. Use it as a context manager, or close it.

        Args:
            kind: what it is for.
            detail: what people are told about it.
            user: whose slot it takes; who the present request is for when left out.
            cancellation: what cancels it, when that is older than the scope.

        Raises:
            BusyError: the queue is full.
        """
        user = user or current_user()
        policy, slots = self._policies[kind], self._slots[kind]
        asked, entered = self._now(), time.monotonic()
        detail = detail[:DETAIL_CHARACTERS]
        scope_id = f"{self._prefix}-{next(self._numbers)}"
        try:
            slot = slots.enter(user)
        except BusyError:
            rss = self._rss()
            self._note(FinishedRequest(scope_id, kind, user, detail, asked, 0.0, 0.0, Outcome.REFUSED, rss, rss))
            raise
        record = RequestRecord(
            scope_id,
            kind,
            user,
            detail,
            asked,
            entered,
            policy,
            slots,
            slot,
            cancellation or Cancellation(),
            self._rss(),
        )
        scope = RequestScope(self, record)
        with self._lock:
            self._open[record.id] = record
        record.cancellation.on_cancel(slots.wake)
        return scope

    def running(self) -> list[RunningRequest]:
        """Return the scopes that run or wait, the oldest first."""
        with self._lock:
            records = list(self._open.values())
        return [_running(record) for record in records]

    def recent(self, limit: int = RECENT) -> list[FinishedRequest]:
        """Return the scopes that ended of late, the newest first."""
        with self._lock:
            kept = list(self._recent)
        return kept[::-1][:limit]

    def counts(self, kind: RequestKind) -> tuple[int, int]:
        """Return how many of a kind run and how many wait."""
        return self._slots[kind].counts()

    def ended(self, kind: RequestKind) -> dict[Outcome, int]:
        """Return how many of a kind have ended, by how."""
        with self._lock:
            return dict(self._ended[kind])

    def policy(self, kind: RequestKind) -> RequestLimits:
        """Return the limits of a kind."""
        return self._policies[kind]

    def cancel(self, actor: Actor, scope_id: str) -> bool:
        """End a scope; return whether it was there. Everybody may end their own: those of `current_user`.

        Raises:
            ForbiddenError: it is somebody else's, and `actor` no administrator.
        """
        with self._lock:
            record = self._open.get(scope_id)
        if record is None or record.user not in {actor.name, current_user()}:
            # Whether there is one with this id is nobody else's business.
            actor.require_admin(_("Cancel a request of somebody else"))
        if record is None:
            return False
        record.cancellation.cancel()
        self._reporter().action(
            actor.name,
            EventKind.RELEASE,
            _("cancelled: {kind} of {user}").format(kind=record.kind.value, user=record.user),
        )
        return True

    def begin(self, record: RequestRecord) -> None:
        """Start the clock of a scope that has its slot."""
        record.began, record.began_at, record.rss_before = time.monotonic(), self._now(), self._rss()

    def finish(self, record: RequestRecord) -> None:
        """Forget a scope and give its slot back; called once, by the scope."""
        with self._lock:
            self._open.pop(record.id, None)
        record.slots.leave(record.slot)
        record.cancellation.forget()
        now = time.monotonic()
        ended = FinishedRequest(
            id=record.id,
            kind=record.kind,
            user=record.user,
            detail=record.detail,
            asked=record.asked,
            waited=(record.began or now) - record.entered,
            seconds=now - record.began if record.began else 0.0,
            outcome=record.outcome,
            rss_before=record.rss_before,
            rss_after=self._rss(),
        )
        self._note(ended)

    def _note(self, ended: FinishedRequest) -> None:
        with self._lock:
            self._recent.append(ended)
            self._ended[ended.kind][ended.outcome] += 1
        log.info(
            "scope",
            kind=ended.kind.value,
            id=ended.id,
            user=ended.user,
            outcome=ended.outcome.value,
            waited_ms=round(ended.waited * 1000, 1),
            ms=round(ended.seconds * 1000, 1),
            rss_before=ended.rss_before,
            rss_after=ended.rss_after,
        )


def _running(record: RequestRecord) -> RunningRequest:
    began = record.began_at
    return RunningRequest(
        id=record.id,
        kind=record.kind,
        user=record.user,
        detail=record.detail,
        asked=record.asked,
        began=began,
        position=record.slots.position(record.slot),
        deadline=None if began is None else began + record.policy.seconds,
        rss_before=None if began is None else record.rss_before,
        cancelled=record.cancellation.event.is_set(),
    )


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
