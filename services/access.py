"""Who asks, and what they may do: checked where the work is done, not where the buttons are."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import StrEnum

from services.errors import ForbiddenError
from services.settings import Settings
from services.texts import _


class Role(StrEnum):
    """What somebody may do: a user asks, uploads and looks; an administrator also acts on the process."""

    ADMIN = "admin"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who asks for something; `name` is what events say."""

    name: str
    role: Role

    def require_admin(self, action: str) -> None:
        """Let an administrator pass.

        Raises:
            ForbiddenError: this is none; `action` says in words what was refused.
        """
        if self.role is not Role.ADMIN:
            raise ForbiddenError(
                _("{action}: only an administrator may do that; nothing was changed.").format(action=action),
                _("Give the administrator's token, or ask somebody who has it."),
            )


# The service itself: its budget, its policy, its timers.
SERVICE = Actor("millpond", Role.ADMIN)


def visitor(settings: Settings, token: str = "", name: str = "local") -> Actor:
    """Return who somebody is who gives `token`, or none: without sign-in every visitor has the configured role."""
    wanted = settings.admin_token.get_secret_value()
    if wanted and token and hmac.compare_digest(token.encode(), wanted.encode()):
        return Actor(_("administrator"), Role.ADMIN)
    return Actor(name, Role(settings.visitors))
