"""The second factor on the page "My account": set up, confirmed, turned off, with recovery codes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NoReturn

import streamlit as st

from console.ui.current_actor import page_actor
from console.ui.session_state import Key, notify
from console.ui.shared.dialogs import close_dialog, open_dialog
from console.ui.shared.secret_fields import code_field, empty_secret_fields, password_field
from console.ui.shared.session_rows import moment
from services.app.container import Services
from services.core.i18n import _, plural
from services.identity.totp import TotpSetup
from services.identity.types import Person


def second_factor_view(services: Services, person: Person) -> None:
    """Draw whether there is a second factor, and what can be done about it."""
    if person.second_factor_since is None:
        st.markdown(_("Off. When it is on, signing in takes a code from an authenticator besides the password."))
        if st.button(_("Set up"), key=Key.SECOND_FACTOR, icon=":material/phonelink_lock:"):
            open_dialog(_("Set up a second factor"), partial(_begin, services, person))
        return
    left = services.identity.account.recovery_codes_left(page_actor(services))
    codes = plural("{count} recovery code is left", "{count} recovery codes are left", left)
    st.markdown(_("On since {time}; {codes}.").format(time=moment(person.second_factor_since), codes=codes))
    with st.container(horizontal=True):
        if st.button(_("New recovery codes"), key="recovery-new", icon=":material/refresh:"):
            open_dialog(_("New recovery codes"), partial(_renew, services, person))
        if st.button(_("Turn off"), key="second-factor-off", icon=":material/phonelink_erase:"):
            open_dialog(_("Turn the second factor off?"), partial(_turn_off, services, person))


def _begin(services: Services, person: Person) -> None:
    with st.form("second-factor-begin", border=False):
        password = _password(person)
        if st.form_submit_button(_("Continue"), type="primary", key="second-factor-begin-save"):
            setup = services.identity.account.begin_second_factor(page_actor(services), password)
            empty_secret_fields()
            # The secret is in the dialog alone, and goes with it.
            open_dialog(_("Set up a second factor"), partial(_confirm, services, setup), dismissible=False)


def _confirm(services: Services, setup: TotpSetup) -> None:
    st.markdown(_("1. Scan this with an authenticator, or enter the secret there."))
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(width=190, key="second-factor-qr"):
            st.image(setup.qr, width=180)
        with st.container(width="stretch"):
            st.code(setup.secret, language=None, wrap_lines=True)
    with st.form("second-factor-confirm", border=False):
        st.markdown(_("2. Enter the code that it shows."))
        code = code_field(_("Verification code"), "second-factor-code")
        with st.container(horizontal=True, horizontal_alignment="right"):
            cancelled = st.form_submit_button(_("Cancel"), key="second-factor-cancel")
            sent = st.form_submit_button(_("Turn on"), type="primary", key="second-factor-save")
    if cancelled:
        close_dialog()
    if sent:
        codes = services.identity.account.confirm_second_factor(page_actor(services), code)
        empty_secret_fields()
        notify(_("The second factor is on."))
        _show_codes(codes)


def _show_codes(codes: Sequence[str]) -> NoReturn:
    open_dialog(_("Your recovery codes"), partial(_codes, tuple(codes)), dismissible=False)


def _codes(codes: Sequence[str]) -> None:
    st.markdown(
        _(
            "Each works once in place of a code, if the authenticator is lost. They are not shown again: "
            "keep them somewhere else."
        )
    )
    text = "\n".join(codes)
    st.code(text, language=None)
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        st.download_button(
            _("Download"),
            data=text + "\n",
            file_name="millpond-recovery-codes.txt",
            mime="text/plain",
            icon=":material/download:",
            key="recovery-download",
            on_click="ignore",
        )
        if st.button(_("I have kept them"), type="primary", key="recovery-kept"):
            close_dialog()


def _renew(services: Services, person: Person) -> None:
    st.markdown(_("The codes you have now will no longer be accepted."))
    with st.form("recovery-form", border=False):
        password = _password(person)
        if st.form_submit_button(_("Create new ones"), type="primary", key="recovery-save"):
            codes = services.identity.account.new_recovery_codes(page_actor(services), password)
            empty_secret_fields()
            _show_codes(codes)


def _turn_off(services: Services, person: Person) -> None:
    st.markdown(_("The password alone will be enough. The recovery codes are deleted."))
    with st.form("second-factor-off-form", border=False):
        password = _password(person)
        if st.form_submit_button(_("Turn off"), type="primary", key="second-factor-off-save"):
            services.identity.account.remove_second_factor(page_actor(services), password)
            empty_secret_fields()
            notify(_("The second factor is off."))
            close_dialog()


def _password(person: Person) -> str:
    """Draw the field for the present password; nothing for those who have none."""
    return password_field(_("Current password"), "second-factor-password") if person.has_password else ""
