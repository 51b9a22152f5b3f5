"""The administrator's token: who gives it acts as an administrator while there are no accounts."""

from __future__ import annotations

import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable

from services.core.actor import Actor, Role
from services.core.auditing import Action, AuditOutcome
from services.core.errors import ForbiddenError
from services.core.events import EventKind, EventSink
from services.core.i18n import _
from services.core.settings import Settings
from services.core.throttle import SignInThrottle, address_key

_MAX_REMEMBERED = 1000  # refusals
_REPEAT_SECONDS = 10.0  # the same refusal is an event only once in this time


def actor_for_token(settings: Settings, token: str = "", name: str = "local") -> Actor:
    """Return the actor for a token; without the right one, it has the role that the settings give to visitors."""
    if is_admin_token(settings, token):
        return Actor(_("administrator"), Role.ADMIN)
    return Actor(name, Role(settings.visitors))


def is_admin_token(settings: Settings, token: str) -> bool:
    """Return whether this is the administrator's token; without one in the settings none is."""
    wanted = settings.admin_token.get_secret_value()
    return bool(wanted and token) and hmac.compare_digest(token.encode(), wanted.encode())


def sign_in_is_set_up(settings: Settings) -> bool:
    """Return whether nobody changes anything without signing in: there is a provider, or visitors are users, and there
    is a token."""
    return bool(settings.oidc_issuer) or (
        Role(settings.visitors) is Role.USER and bool(settings.admin_token.get_secret_value())
    )


class WrongTokenError(ForbiddenError):
    """A token is wrong; whoever answers holds that back for `seconds`, so that guessing takes long."""

    def __init__(self, message: str, hint: str, seconds: float) -> None:
        super().__init__(message, hint)
        self.seconds = seconds


class AccessControl:
    """Authenticates by token, slows guessing down, and records every refusal as an event. Thread-safe, bounded.

    The right token is accepted at once, whatever came from its address before: nobody locks others out.
    """

    def __init__(self, settings: Settings, reporter: EventSink, now: Callable[[], float]) -> None:
        self._settings = settings
        self._reporter = reporter
        self._now = now
        self._lock = threading.Lock()
        self._throttle = SignInThrottle(now)
        self._reported: OrderedDict[tuple[str, str], float] = OrderedDict()

    @property
    def sign_in_required(self) -> bool:
        """Whether visitors are users until they give the token."""
        return Role(self._settings.visitors) is Role.USER

    @property
    def has_token(self) -> bool:
        """Whether a token is configured."""
        return bool(self._settings.admin_token.get_secret_value())

    def actor(self, token: str = "", name: str = "local") -> Actor:
        """Return the actor for a token that was authenticated before, or for none."""
        known = actor_for_token(self._settings, token, name)
        if known.role is Role.ADMIN:
            return known

        def refused(action: str) -> None:
            self._reporter.audit(known, Action.PERMISSION_REFUSED, outcome=AuditOutcome.REFUSED, detail=action)
            self._report(name, _("refused: {action}").format(action=action))

        return Actor(name, known.role, refused)

    def authenticate(self, token: str, name: str = "local", address: str = "") -> Actor:
        """Return the actor for `token`, checked anew; `address` is the client's: wrong ones from there are slowed down.

        Raises:
            WrongTokenError: the token is wrong, or none is configured.
        """
        if not self.sign_in_required:
            return actor_for_token(self._settings, token, name)
        key = address_key(address)
        if not is_admin_token(self._settings, token):
            seconds = self._throttle.failed(key)
            self._report(name, _("wrong token refused"))
            stranger = Actor(name, Role(self._settings.visitors))
            text = _("wrong administrator's token")
            self._reporter.audit(stranger, Action.SIGN_IN_FAILED, outcome=AuditOutcome.REFUSED, detail=text)
            raise WrongTokenError(
                _("This is not the administrator's token; nothing was changed."),
                _("It is in the setting admin_token (MILLPOND_ADMIN_TOKEN).")
                if self.has_token
                else _("No token is set: set admin_token (MILLPOND_ADMIN_TOKEN) and restart."),
                seconds,
            )
        self._throttle.succeeded(key)
        return self.actor(token, name)

    def sign_in(self, token: str, name: str = "local", address: str = "") -> Actor:
        """Authenticate for a session, and record that as an event.

        Raises:
            WrongTokenError: as for `authenticate`.
        """
        actor = self.authenticate(token, name, address)
        self._reporter.action(actor.name, EventKind.ACCESS, _("administrator's token accepted"))
        self._reporter.audit(actor, Action.SIGN_IN, detail=_("administrator's token"))
        return actor

    def _report(self, name: str, detail: str) -> None:
        now = self._now()
        with self._lock:
            if now - self._reported.get((name, detail), -_REPEAT_SECONDS) < _REPEAT_SECONDS:
                return
            self._reported[name, detail] = now
            while len(self._reported) > _MAX_REMEMBERED:
                self._reported.popitem(last=False)
        self._reporter.action(name, EventKind.ACCESS, detail)
