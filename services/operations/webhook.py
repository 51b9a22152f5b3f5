"""Sends alerts to an address that somebody configured: never in the way of anybody, never more than it can bear.

What alerts say, and how they are written for the server that takes them.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import structlog

from services.core.access import Actor
from services.core.errors import BadInputError, UnavailableError
from services.core.i18n import _

if TYPE_CHECKING:
    import httpx

log = structlog.get_logger(__name__)

WAITING = 100  # alerts; the oldest are dropped and counted
TOGETHER = 20  # alerts in one delivery
GATHER_SECONDS = 1.0  # a flood goes out as one delivery
TIMEOUT_SECONDS = 5.0
BACK_OFF_SECONDS = (1.0, 5.0, 20.0)  # before the second, third and fourth try
CLOSE_SECONDS = 3.0
_TRY_AGAIN = frozenset({408, 425, 429})  # and everything from 500 on
SIGNATURE_HEADER = "X-Millpond-Signature"
_LONGEST_TEXT = 500


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the last delivery ended; `problem` in words, "" if it arrived. Time in seconds since the epoch."""

    time: float
    alerts: int
    tries: int
    problem: str

    @property
    def arrived(self) -> bool:
        """Whether the server took it."""
        return not self.problem


@dataclass(frozen=True, slots=True)
class WebhookState:
    """How the webhook stands: `address` is host and port ("": none is configured), counts are of alerts."""

    address: str
    signed: bool
    waiting: int
    delivered: int
    failed: int
    dropped: int
    last: Delivery | None


class Webhook:
    """POSTs alerts from a thread of its own. Without an address it takes them and does nothing.

    A delivery that does not arrive is tried again a few times, then dropped. Redirects are not followed: they would
    carry the alerts to a host that nobody chose.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        instance: str,
        now: Callable[[], float],
        gather: float = GATHER_SECONDS,
        timeout: float = TIMEOUT_SECONDS,
        back_off: Sequence[float] = BACK_OFF_SECONDS,
    ) -> None:
        """Send to `url` ("": nowhere), signed if there is a `secret`; `instance` says who sends.

        Raises:
            BadInputError: `url` is no http(s) address.
        """
        self._url = checked_address(url) if url else ""
        self._secret = secret
        self._instance = instance
        self._now = now
        self._gather = gather
        self._timeout = timeout
        self._back_off = tuple(back_off)
        self._changed = threading.Condition()
        self._waiting: deque[Alert] = deque(maxlen=WAITING)
        self._stopping = threading.Event()
        self._delivered = self._failed = self._dropped = self._untold = 0
        self._last: Delivery | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send."""
        if self._url and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Try what waits once more and end; waits a few seconds at most. Safe to call twice."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
            self._thread = None

    def send(self, alert: Alert) -> None:
        """Have an alert sent soon; returns at once, never raises."""
        if not self._url or self._stopping.is_set():
            return
        with self._changed:
            if len(self._waiting) == WAITING:
                self._dropped += 1
                self._untold += 1
            self._waiting.append(alert)
            self._changed.notify_all()

    def send_test(self, actor: Actor) -> Delivery:
        """Send a test now, once, and return how that ended (takes up to the timeout).

        Raises:
            ForbiddenError: `actor` may only look.
            BadInputError: no address is configured.
            UnavailableError: it did not arrive; the message says why.
        """
        actor.require_admin(_("Send a test"))
        if not self._url:
            raise BadInputError(_("No address for alerts is configured."), _("Set MILLPOND_WEBHOOK_URL."))
        text = _("A test of the alerts, sent by {name}").format(name=actor.name)
        body = self._body([Alert(AlertKind.TEST, text, self._now())], 0)
        problem, _again = self._post(body)
        self._last = delivery = Delivery(self._now(), 1, 1, problem)
        if problem:
            raise UnavailableError(
                _("The test did not arrive at {address}: {problem}.").format(
                    address=shown_address(self._url), problem=problem
                ),
                _("Check the address and the server behind it."),
            )
        return delivery

    def state(self) -> WebhookState:
        """Return how the webhook stands."""
        with self._changed:
            return WebhookState(
                shown_address(self._url) if self._url else "",
                bool(self._secret),
                len(self._waiting),
                self._delivered,
                self._failed,
                self._dropped,
                self._last,
            )

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            alerts, dropped = batch
            try:
                self._deliver(alerts, dropped)
            except Exception:
                # Alerts are not worth the thread's end: the next ones may arrive.
                log.exception("alerts could not be sent")

    def _next(self) -> tuple[list[Alert], int] | None:
        """Wait for alerts and for those that follow at once; None: the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping.is_set())
            if not self._waiting:
                return None
        self._stopping.wait(self._gather)
        with self._changed:
            alerts = [self._waiting.popleft() for _number in range(min(TOGETHER, len(self._waiting)))]
            dropped, self._untold = self._untold, 0
            return alerts, dropped

    def _deliver(self, alerts: list[Alert], dropped: int) -> None:
        body = self._body(alerts, dropped)
        problem, tries = "", 0
        for pause in (*self._back_off, None):
            problem, again = self._post(body)
            tries += 1
            if not problem or not again or pause is None or self._stopping.wait(pause):
                break
        with self._changed:
            self._last = Delivery(self._now(), len(alerts), tries, problem)
            if problem:
                self._failed += len(alerts)
            else:
                self._delivered += len(alerts)
        if problem:
            log.warning("alerts did not arrive", address=shown_address(self._url), problem=problem, tries=tries)

    def _body(self, alerts: Sequence[Alert], dropped: int) -> bytes:
        return body_of(alerts, instance=self._instance, delivery=uuid4().hex, time=self._now(), dropped=dropped)

    def _post(self, body: bytes) -> tuple[str, bool]:
        """Send once; return what went wrong ("": nothing) and whether it is worth another try."""
        import httpx

        headers = {"Content-Type": "application/json", "User-Agent": "millpond"}
        if self._secret:
            headers[SIGNATURE_HEADER] = signature(self._secret, body)
        timeout = min(self._timeout, CLOSE_SECONDS / 2) if self._stopping.is_set() else self._timeout
        try:
            with (
                httpx.Client(timeout=timeout, follow_redirects=False, trust_env=not _is_loopback(self._url)) as client,
                client.stream("POST", self._url, content=body, headers=headers) as answer,
            ):
                return _judged(answer)  # the answer's body is nobody's concern and stays unread
        except httpx.TimeoutException:
            return _("no answer within {seconds:.0f} s").format(seconds=timeout), True
        except httpx.HTTPError as error:
            return _("no connection ({kind})").format(kind=type(error).__name__), True
        except httpx.InvalidURL:
            return _("the address is none"), False


def _judged(answer: httpx.Response) -> tuple[str, bool]:
    status = answer.status_code
    if 200 <= status < 300:
        return "", False
    if answer.is_redirect:
        return _("the server answered {status}, a redirect, which is not followed").format(status=status), False
    return _("the server answered {status}").format(status=status), status >= 500 or status in _TRY_AGAIN


def _is_loopback(url: str) -> bool:
    """Return whether the server is on this machine; such a request never goes through a proxy."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class AlertKind(StrEnum):
    """What an alert is about."""

    LEVEL_UP = "level_up"
    LEVEL_DOWN = "level_down"
    REFUSALS = "refusals"  # they began or ended
    RESTART = "restart"
    VERDICT = "verdict"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that somebody should hear of; `figures` by name: bytes and seconds as the name says."""

    kind: AlertKind
    text: str
    time: float
    figures: Mapping[str, float] = field(default_factory=dict)


def checked_address(url: str) -> str:
    """Return the address of a webhook if it can be one.

    Raises:
        BadInputError: it is no http(s) address with a host.
    """
    url = url.strip()
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets or a port that are none
        fits = False
    if not fits or any(character.isspace() or ord(character) < 32 for character in url):
        raise BadInputError(
            _("The address for alerts is none."), _("It looks like https://alerts.example.org/millpond.")
        )
    return url


def shown_address(url: str) -> str:
    """Return the host and port of a webhook: the rest of its address may be a secret."""
    return urlsplit(url).netloc.rpartition("@")[2]


def body_of(alerts: Sequence[Alert], *, instance: str, delivery: str, time: float, dropped: int) -> bytes:
    """Return the JSON of one delivery.

    `text` sums up the alerts, as chat servers show it; `id` is the same each time that the delivery is tried.
    """
    lines = [alert.text[:_LONGEST_TEXT] for alert in alerts]
    if dropped:
        lines.append(_("{count} older alerts were dropped.").format(count=dropped))
    value = {
        "id": delivery,
        "service": "millpond",
        "instance": instance,
        "time": time,
        "text": "\n".join(lines),
        "dropped": dropped,
        "alerts": [
            {
                "kind": alert.kind.value,
                "text": alert.text[:_LONGEST_TEXT],
                "time": alert.time,
                "figures": dict(alert.figures),
            }
            for alert in alerts
        ],
    }
    return json.dumps(value, ensure_ascii=False).encode()


def signature(secret: str, body: bytes) -> str:
    """Return the value of `SIGNATURE_HEADER`: HMAC-SHA256 (RFC 2104) of the body, which carries its own time."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
