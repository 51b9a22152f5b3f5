"""Sends alerts to a configured address: in the background, several in one delivery, retried, then dropped."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import structlog

from services.core.actor import Actor, Permission
from services.core.auditing import Action, AuditSink, Target, TargetKind
from services.core.errors import BadInputError, ConflictError, UnavailableError
from services.core.i18n import _
from services.core.outgoing import USUAL_RULES, OutgoingRules, RefusedAddressError
from services.operations.alerts import Alert, AlertKind, delivery_body, signature_headers, standard_signer

if TYPE_CHECKING:
    import httpx
    import tenacity

log = structlog.get_logger(__name__)

MAX_WAITING = 100  # alerts; the oldest are dropped and counted
MAX_PER_DELIVERY = 20
GATHER_SECONDS = 1.0  # a flood goes out as one delivery
TIMEOUT_SECONDS = 5.0
BACK_OFF_SECONDS = (1.0, 5.0, 20.0)  # before the second, third and fourth attempt
CLOSE_SECONDS = 3.0
_TEMPORARY_STATUS = frozenset({408, 425, 429})  # and everything from 500 on


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the last delivery ended; `problem` in words, "" if it arrived. Time in seconds since the epoch."""

    time: float
    alerts: int
    tries: int
    problem: str

    @property
    def arrived(self) -> bool:
        """Whether the server accepted it."""
        return not self.problem


@dataclass(frozen=True, slots=True)
class WebhookState:
    """State of the webhook: `address` is host and port ("": none is configured), counts are of alerts."""

    address: str
    signed: bool
    waiting: int
    delivered: int
    failed: int
    dropped: int
    last: Delivery | None


@dataclass(frozen=True, slots=True)
class _Message:
    """One delivery: `id` and `body` are the same at each attempt, so that a server can tell repetitions."""

    id: str
    body: bytes


class _DeliveryError(Exception):
    """An attempt that did not arrive; `temporary`: another one may."""

    def __init__(self, problem: str, *, temporary: bool) -> None:
        super().__init__(problem)
        self.problem = problem
        self.temporary = temporary


class Webhook:
    """POSTs alerts from a thread of its own. Without an address it accepts them and does nothing.

    A delivery that does not arrive is retried a few times, then dropped. Redirects are not followed: they would carry
    the alerts to a host that is not configured.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        instance: str,
        now: Callable[[], float],
        rules: OutgoingRules = USUAL_RULES,
        gather: float = GATHER_SECONDS,
        timeout: float = TIMEOUT_SECONDS,
        back_off: Sequence[float] = BACK_OFF_SECONDS,
        audit: AuditSink | None = None,
    ) -> None:
        """Send to `url` ("": nowhere), signed if there is a `secret`; `instance` says who sends, `rules` where to.

        Raises:
            BadInputError: `url` is no http(s) address, or `secret` begins with "whsec_" and is no base64.
        """
        self._url = validated_address(url) if url else ""
        self._secret = secret
        if self._url and secret:
            standard_signer(secret)
        self._instance = instance
        self._audit = audit
        self._now = now
        self._rules = rules
        self._gather = gather
        self._timeout = timeout
        self._back_off = tuple(back_off)
        self._changed = threading.Condition()
        self._waiting: deque[Alert] = deque(maxlen=MAX_WAITING)
        self._stopping = threading.Event()
        self._last_try = False
        self._delivered = self._failed = self._dropped = self._unreported = 0
        self._last: Delivery | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send."""
        if self._url and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Try what waits once more and end; waits for `CLOSE_SECONDS` at most. Safe to call twice."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
            self._thread = None

    def send(self, alert: Alert) -> None:
        """Queue an alert; returns at once, never raises."""
        if not self._url or self._stopping.is_set():
            return
        with self._changed:
            if len(self._waiting) == MAX_WAITING:
                self._dropped += 1
                self._unreported += 1
            self._waiting.append(alert)
            self._changed.notify_all()

    def send_test(self, actor: Actor) -> Delivery:
        """Send a test now, in one attempt, and return how that ended (takes up to the timeout).

        Raises:
            ForbiddenError: `actor` is no administrator.
            ConflictError: no address is configured.
            UnavailableError: it did not arrive; the message says why.
        """
        actor.require(Permission.OPERATE, _("Send a test"))
        if not self._url:
            raise ConflictError(_("No address for alerts is configured."), _("Set MILLPOND_WEBHOOK_URL."))
        text = _("A test of the alerts, sent by {name}").format(name=actor.name)
        message = self._message([Alert(AlertKind.TEST, text, self._now())], 0)
        try:
            self._post(message)
        except _DeliveryError as error:
            self._last = Delivery(self._now(), 1, 1, error.problem)
            raise UnavailableError(
                _("The test did not arrive at {address}: {problem}.").format(
                    address=public_address(self._url), problem=error.problem
                ),
                _("Check the address and the server behind it."),
            ) from error
        self._last = delivery = Delivery(self._now(), 1, 1, "")
        if self._audit is not None:
            self._audit.audit(actor, Action.ALERT_TESTED, Target(TargetKind.WEBHOOK))
        return delivery

    def state(self) -> WebhookState:
        """Return address, counts and the last delivery."""
        with self._changed:
            return WebhookState(
                public_address(self._url) if self._url else "",
                bool(self._secret),
                len(self._waiting),
                self._delivered,
                self._failed,
                self._dropped,
                self._last,
            )

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            alerts, dropped = batch
            try:
                self._deliver(alerts, dropped)
            except Exception:
                # Alerts are not worth the thread's end: the next ones may arrive.
                log.exception("alerts could not be sent")

    def _next_batch(self) -> tuple[list[Alert], int] | None:
        """Wait for alerts and for those that follow at once; None: the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping.is_set())
            if not self._waiting:
                return None
        self._stopping.wait(self._gather)
        with self._changed:
            alerts = [self._waiting.popleft() for _number in range(min(MAX_PER_DELIVERY, len(self._waiting)))]
            dropped, self._unreported = self._unreported, 0
            return alerts, dropped

    def _deliver(self, alerts: list[Alert], dropped: int) -> None:
        message = self._message(alerts, dropped)
        problem, tries = "", 0
        try:
            for attempt in self._retrying():
                with attempt:
                    tries = attempt.retry_state.attempt_number
                    self._post(message)
        except _DeliveryError as error:
            problem = error.problem
        with self._changed:
            self._last = Delivery(self._now(), len(alerts), tries, problem)
            if problem:
                self._failed += len(alerts)
            else:
                self._delivered += len(alerts)
        if problem:
            log.warning("alerts did not arrive", address=public_address(self._url), problem=problem, tries=tries)

    def _retrying(self) -> tenacity.Retrying:
        """Return the attempts of one delivery; `close` cuts the pause between two short, and the attempt after it is
        the last one."""
        import tenacity

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, _DeliveryError) and error.temporary),
            stop=lambda state: self._last_try or state.attempt_number > len(self._back_off),
            wait=tenacity.wait_chain(*(tenacity.wait_fixed(seconds) for seconds in (*self._back_off, 0.0))),
            sleep=tenacity.sleep_using_event(self._stopping),
            reraise=True,
        )

    def _message(self, alerts: Sequence[Alert], dropped: int) -> _Message:
        delivery = uuid4().hex
        body = delivery_body(alerts, instance=self._instance, delivery=delivery, time=self._now(), dropped=dropped)
        return _Message(delivery, body)

    def _post(self, message: _Message) -> None:
        """Send once.

        Raises:
            _DeliveryError: it did not arrive.
        """
        import httpx

        from services.core.outgoing_transport import OutgoingTransport

        headers = {
            "Content-Type": "application/json",
            "User-Agent": "millpond",
            **signature_headers(self._secret, message.id, self._now(), message.body),
        }
        # One that was on its way as the end came is tried once more.
        self._last_try = self._stopping.is_set()
        timeout = min(self._timeout, CLOSE_SECONDS / 2) if self._last_try else self._timeout
        try:
            with (
                httpx.Client(
                    timeout=timeout,
                    follow_redirects=False,
                    transport=OutgoingTransport(self._url, self._rules, seconds=2 * timeout),
                ) as client,
                client.stream("POST", self._url, content=message.body, headers=headers) as response,
            ):
                _check_response(response)  # its body is of no interest and stays unread
        except RefusedAddressError as error:
            raise _DeliveryError(error.message, temporary=False) from error
        except httpx.TimeoutException as error:
            raise _DeliveryError(
                _("no answer within {seconds:.0f} s").format(seconds=timeout), temporary=True
            ) from error
        except httpx.HTTPError as error:
            raise _DeliveryError(
                _("no connection ({kind})").format(kind=type(error).__name__), temporary=True
            ) from error
        except httpx.InvalidURL as error:
            raise _DeliveryError(_("the address is not valid"), temporary=False) from error


def validated_address(url: str) -> str:
    """Return the address of a webhook if it can be one.

    Raises:
        BadInputError: it is no http(s) address with a host.
    """
    url = url.strip()
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets or a port that are none
        valid = False
    if not valid or any(character.isspace() or ord(character) < 32 for character in url):
        raise BadInputError(
            _("The address for alerts is not valid."), _("It must look like https://alerts.example.org/millpond.")
        )
    return url


def public_address(url: str) -> str:
    """Return the host and port of a webhook: the rest of its address may be a secret."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _check_response(response: httpx.Response) -> None:
    status = response.status_code
    if 200 <= status < 300:
        return
    if response.is_redirect:
        raise _DeliveryError(
            _("the server answered {status}, a redirect, which is not followed").format(status=status), temporary=False
        )
    raise _DeliveryError(
        _("the server answered {status}").format(status=status),
        temporary=status >= 500 or status in _TEMPORARY_STATUS,
    )
