"""Why a sign-in does not go on, in words."""

from __future__ import annotations

from services.core.errors import UnauthorizedError
from services.core.i18n import _


class SignInOverError(UnauthorizedError):
    """Name and password are asked for again."""


class SecondFactorNeededError(UnauthorizedError):
    """The password is right, and this account has a second factor: `continue_sign_in` takes its code and `step`."""

    def __init__(self, step: str) -> None:
        super().__init__(
            _("A code of your second factor is needed."),
            _("Enter the one that your authenticator shows, or a recovery code."),
        )
        self.step = step


def disabled() -> UnauthorizedError:
    """Return the error for an account that is disabled."""
    return UnauthorizedError(_("This account is disabled."), _("Ask an administrator."))


def wrong_password() -> UnauthorizedError:
    """Return the error for a wrong name or password."""
    return UnauthorizedError(_("Name or password is wrong."), _("Check both; capitals count in the password alone."))


def wrong_code() -> UnauthorizedError:
    """Return the error for a wrong code."""
    return UnauthorizedError(_("This code is wrong, or was used already."), _("Wait for the next one, then enter it."))
