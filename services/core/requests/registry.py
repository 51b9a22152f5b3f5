"""Registry of all requests: those that run, wait and have ended; and whose request the present context serves."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from uuid import uuid4

import structlog

from services.core.actor import Actor, Permission
from services.core.auditing import Action, Target, TargetKind
from services.core.errors import BusyError
from services.core.events import EventKind, EventSink, NullEventSink
from services.core.i18n import _
from services.core.masking import mask
from services.core.requests.concurrency import (
    ConcurrencyLimit,
    FinishedRequest,
    Outcome,
    RequestKind,
    RequestLimits,
    RunningRequest,
)
from services.core.requests.request import Cancellation, RequestRecord, RequestScope
from services.core.settings import Settings

log = structlog.get_logger(__name__)

DETAIL_CHARACTERS = 120
RECENT = 200
DEFAULT_USER = "local"
_user: ContextVar[str] = ContextVar("millpond_user", default=DEFAULT_USER)
_session: ContextVar[str] = ContextVar("millpond_session", default="")


def request_limits(settings: Settings) -> dict[RequestKind, RequestLimits]:
    """Return the limits of each kind by the settings."""
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
    """All requests of the process, and how to cancel one. Thread-safe, bounded."""

    def __init__(
        self,
        settings: Mapping[RequestKind, RequestLimits] | Settings,
        rss: Callable[[], int] = lambda: 0,
        *,
        now: Callable[[], float] = time.time,
        reporter: Callable[[], EventSink] = NullEventSink,
    ) -> None:
        """Take limits from `settings`; `rss` returns the process's resident bytes, `now` seconds since the epoch."""
        self._limits = request_limits(settings) if isinstance(settings, Settings) else dict(settings)
        self._rss = rss
        self._now = now
        self._reporter = reporter
        self._slots = {
            kind: ConcurrencyLimit(limits.per_user, limits.total, limits.waiting, kind)
            for kind, limits in self._limits.items()
        }
        # Reentrant: the garbage collector may end a dropped scope at any moment, also while its thread holds this.
        self._lock = threading.RLock()
        self._open: dict[str, RequestRecord] = {}
        self._recent: deque[FinishedRequest] = deque(maxlen=RECENT)
        self._ended = {kind: dict.fromkeys(Outcome, 0) for kind in RequestKind}
        self._prefix = uuid4().hex[:6]
        self._numbers = count(1)

    def open(
        self,
        kind: RequestKind,
        detail: str = "",
        *,
        user: str = "",
        session: str = "",
        cancellation: Cancellation | None = None,
    ) -> RequestScope:
        """Open a scope with a slot or a place in the queue. Use it as a context manager, or close it.

        Args:
            kind: which limits apply.
            detail: description for people.
            user: whose slots count; by default the user of the present context.
            session: by which session or API token they came; by default that of the present context.
            cancellation: what cancels it, when that exists before the scope.

        Raises:
            BusyError: the queue is full.
        """
        user = user or current_user()
        limits, slots = self._limits[kind], self._slots[kind]
        asked, entered = self._now(), time.monotonic()
        detail = mask(detail)[:DETAIL_CHARACTERS]  # a file's name may have personal data; operators see it
        scope_id = f"{self._prefix}-{next(self._numbers)}"
        try:
            slot = slots.acquire(user)
        except BusyError:
            rss = self._rss()
            self._record(FinishedRequest(scope_id, kind, user, detail, asked, 0.0, 0.0, Outcome.REFUSED, rss, rss))
            raise
        record = RequestRecord(
            scope_id,
            kind,
            user,
            detail,
            asked,
            entered,
            limits,
            slots,
            slot,
            cancellation or Cancellation(),
            self._rss(),
            session=session or current_session(),
        )
        scope = RequestScope(self, record)
        with self._lock:
            self._open[record.id] = record
        record.cancellation.on_cancel(slots.wake)
        return scope

    def running(self) -> list[RunningRequest]:
        """Return the requests that run or wait, the oldest first."""
        with self._lock:
            records = list(self._open.values())
        return [_running(record) for record in records]

    def recent(self, limit: int = RECENT) -> list[FinishedRequest]:
        """Return the requests that finished last, the newest first."""
        with self._lock:
            kept = list(self._recent)
        return kept[::-1][:limit]

    def counts(self, kind: RequestKind) -> tuple[int, int]:
        """Return how many requests of a kind run and how many wait."""
        return self._slots[kind].counts()

    def outcome_counts(self, kind: RequestKind) -> dict[Outcome, int]:
        """Return how many requests of a kind have ended since the start, by outcome."""
        with self._lock:
            return dict(self._ended[kind])

    def limits(self, kind: RequestKind) -> RequestLimits:
        """Return the limits of a kind."""
        return self._limits[kind]

    def cancel(self, actor: Actor, scope_id: str) -> bool:
        """Cancel a request; return whether it was there, as far as `actor` may know. Everybody may cancel their own:
        those of `current_user`.

        Raises:
            ForbiddenError: it is somebody else's, and `actor` no administrator.
        """
        with self._lock:
            record = self._open.get(scope_id)
        own = record is not None and record.user in {actor.name, current_user()}
        if not own and actor.person_id is not None and not actor.may(Permission.OPERATE):
            return False  # for them there is none
        if not own:
            # Whether there is a request with this id is not for others to know.
            actor.require(Permission.OPERATE, _("Cancel a request of somebody else"))
        if record is None:
            return False
        record.cancellation.cancel()
        self._reporter().audit(
            actor, Action.REQUEST_CANCELLED, Target(TargetKind.REQUEST, record.id), detail=record.kind.value
        )
        self._reporter().action(
            actor.name,
            EventKind.RELEASE,
            _("cancelled: {kind} of {user}").format(kind=record.kind.value, user=record.user),
        )
        return True

    def cancel_all(self, *, users: Collection[str] = (), sessions: Collection[str] = ()) -> int:
        """Cancel all requests of some users and all that came by some sessions; return how many there were."""
        with self._lock:
            found = [each for each in self._open.values() if each.user in users or each.session in sessions]
        for record in found:
            record.cancellation.cancel()
        return len(found)

    def begin(self, record: RequestRecord) -> None:
        """Start the clock of a scope that has its slot."""
        record.began, record.began_at, record.rss_before = time.monotonic(), self._now(), self._rss()

    def finish(self, record: RequestRecord) -> None:
        """Close the record of a scope and release its slot; called once, by the scope."""
        with self._lock:
            self._open.pop(record.id, None)
        record.slots.release(record.slot)
        record.cancellation.clear()
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
        self._record(ended)

    def _record(self, ended: FinishedRequest) -> None:
        with self._lock:
            self._recent.append(ended)
            self._ended[ended.kind][ended.outcome] += 1
        # A search that went well is quick, and its request has a line already.
        quick = ended.kind is RequestKind.SEARCH and ended.outcome is Outcome.DONE
        (log.debug if quick else log.info)(
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
        deadline=None if began is None else began + record.limits.seconds,
        rss_before=None if began is None else record.rss_before,
        cancelled=record.cancellation.event.is_set(),
    )


def current_user() -> str:
    """Return the user of the present context: a browser tab, a client of the API; `DEFAULT_USER` where none was set."""
    return _user.get()


def current_session() -> str:
    """Return the session or API token by which the present context came, "" for none."""
    return _session.get()


@contextmanager
def acting_for(user: str, session: str = "") -> Iterator[None]:
    """Attribute requests opened inside to `user`, who came by that session or API token."""
    token, session_token = _user.set(user), _session.set(session)
    try:
        yield
    finally:
        _user.reset(token)
        _session.reset(session_token)
