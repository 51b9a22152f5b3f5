"""Who asks, and what they may do: checked where the work is done, not where the buttons are."""

from __future__ import annotations

import hmac
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from services.core.errors import BusyError, ForbiddenError
from services.core.events import EventKind, EventSink
from services.core.i18n import _
from services.core.settings import Settings

WRONG_TOKENS = 5  # so many wrong ones from one place, then nothing is looked at
WRONG_SECONDS = 60.0  # for so long
_PLACES = 1000  # places that are remembered, and refusals
_TOLD_SECONDS = 10.0  # the same refusal is put on the time line once in so long


class Role(StrEnum):
    """What somebody may do: a user asks, uploads and looks; an administrator also acts on the process."""

    ADMIN = "admin"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who asks for something; `name` is what events say, `refused` is told when they may not."""

    name: str
    role: Role
    refused: Callable[[str], None] | None = field(default=None, repr=False, compare=False)

    def require_admin(self, action: str) -> None:
        """Let an administrator pass.

        Raises:
            ForbiddenError: this is none; `action` says in words what was refused.
        """
        if self.role is Role.ADMIN:
            return
        if self.refused is not None:
            self.refused(action)
        raise ForbiddenError(
            _("{action}: only an administrator may do that; nothing was changed.").format(action=action),
            _("Give the administrator's token, or ask somebody who has it."),
        )


# The service itself: its budget, its policy, its timers.
SERVICE = Actor("millpond", Role.ADMIN)


def visitor(settings: Settings, token: str = "", name: str = "local") -> Actor:
    """Return who somebody is who gives `token`, or none: without sign-in every visitor has the configured role."""
    if _right(settings, token):
        return Actor(_("administrator"), Role.ADMIN)
    return Actor(name, Role(settings.visitors))


def _right(settings: Settings, token: str) -> bool:
    wanted = settings.admin_token.get_secret_value()
    return bool(wanted and token) and hmac.compare_digest(token.encode(), wanted.encode())


class AccessControl:
    """Tells visitors apart, refuses wrong tokens, and puts every refusal on the time line. Thread-safe, bounded."""

    def __init__(self, settings: Settings, reporter: EventSink, now: Callable[[], float]) -> None:
        self._settings = settings
        self._reporter = reporter
        self._now = now
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()  # when, by where they came from
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()

    @property
    def guarded(self) -> bool:
        """Whether visitors may only look unless they give the token."""
        return Role(self._settings.visitors) is Role.USER

    @property
    def can_admit(self) -> bool:
        """Whether there is a token at all."""
        return bool(self._settings.admin_token.get_secret_value())

    def actor(self, token: str = "", name: str = "local") -> Actor:
        """Return who has given `token` before, or who gives none."""
        known = visitor(self._settings, token, name)
        if known.role is Role.ADMIN:
            return known
        return Actor(name, known.role, lambda action: self._tell(name, _("refused: {action}").format(action=action)))

    def admit(self, token: str, name: str = "local", place: str = "") -> Actor:
        """Look at a token that somebody gives; `place` is where they come from (an address).

        Raises:
            ForbiddenError: it is wrong, or there is none to compare with.
            BusyError: too many wrong ones came from that place; this one was not looked at.
        """
        if not self.guarded:
            return visitor(self._settings, token, name)
        with self._lock:
            wrong = self._wrong.setdefault(place, deque(maxlen=WRONG_TOKENS))
            self._wrong.move_to_end(place)
            while len(self._wrong) > _PLACES:
                self._wrong.popitem(last=False)
            now = self._now()
            too_many = len(wrong) == WRONG_TOKENS and now - wrong[0] < WRONG_SECONDS
            right = not too_many and _right(self._settings, token)
            if not right and not too_many:
                wrong.append(now)
        if too_many:
            self._tell(name, _("more wrong tokens, not looked at"))
            raise BusyError(
                _("Too many wrong tokens were given; this one was not looked at."), _("Try again in a minute.")
            )
        if not right:
            self._tell(name, _("wrong token refused"))
            raise ForbiddenError(
                _("This is not the administrator's token; nothing was changed."),
                _("It is in the setting admin_token (MILLPOND_ADMIN_TOKEN).")
                if self.can_admit
                else _("No token is set: set admin_token (MILLPOND_ADMIN_TOKEN) and restart."),
            )
        return self.actor(token, name)

    def enter(self, token: str, name: str = "local", place: str = "") -> Actor:
        """Look at a token that is to count from now on, and say on the time line that it does.

        Raises:
            ForbiddenError, BusyError: as for `admit`.
        """
        admitted = self.admit(token, name, place)
        self._reporter.action(admitted.name, EventKind.ACCESS, _("administrator's token accepted"))
        return admitted

    def _tell(self, name: str, detail: str) -> None:
        now = self._now()
        with self._lock:
            if now - self._told.get((name, detail), -_TOLD_SECONDS) < _TOLD_SECONDS:
                return
            self._told[name, detail] = now
            while len(self._told) > _PLACES:
                self._told.popitem(last=False)
        self._reporter.action(name, EventKind.ACCESS, detail)
