"""Fields for passwords and codes: what was typed does not outlive its use, and never is in the address."""

from __future__ import annotations

import streamlit as st

from console.ui.session_state import SecretFields, state_of
from services.core.errors import BadInputError
from services.core.i18n import _
from services.identity.passwords import LONGEST, SHORTEST


def password_field(label: str, key: str, *, new: bool = False) -> str:
    """Draw a field for a password and return what is in it; `new` is told to the browser's keeper of passwords."""
    return st.text_input(
        label,
        type="password",
        key=_key(key),
        max_chars=4 * LONGEST,
        autocomplete="new-password" if new else "current-password",
    )


def code_field(label: str, key: str) -> str:
    """Draw a field for the code of an authenticator and return what is in it."""
    return st.text_input(label, key=_key(key), max_chars=40, autocomplete="one-time-code", width=220)


def new_password_fields(key: str) -> tuple[str, str]:
    """Draw the two fields for a new password and return what is in them, for `same_twice`."""
    first = password_field(_("New password"), f"{key}-new", new=True)
    second = password_field(_("New password once more"), f"{key}-again", new=True)
    st.caption(_("At least {count} characters; several unrelated words work well.").format(count=SHORTEST))
    return first, second


def same_twice(fields: tuple[str, str]) -> str:
    """Return the password that was typed twice.

    Raises:
        BadInputError: the fields differ.
    """
    if fields[0] != fields[1]:
        raise BadInputError(_("The two passwords differ; nothing was changed."), _("Type the same one twice."))
    return fields[0]


def empty_secret_fields() -> None:
    """Empty all these fields: they are new ones from the next run on, and what was typed is dropped."""
    state_of(SecretFields).emptied += 1


def _key(name: str) -> str:
    return f"{name}-{state_of(SecretFields).emptied}"
