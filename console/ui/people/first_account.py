"""Before there are accounts: what the first one changes, and the form that makes it."""

from __future__ import annotations

import streamlit as st

from console.ui.current_actor import page_actor
from console.ui.session_state import Key
from console.ui.shared.secret_fields import empty_secret_fields, new_password_fields, same_twice
from services.app.container import Services
from services.core.actor import Role
from services.core.i18n import _


def first_account_view(services: Services) -> None:
    """Draw the offer to make the first account, an administrator's."""
    st.subheader(_("There are no accounts yet"), anchor=False)
    st.markdown(_("Whoever reaches this console may do everything. That changes with the first account:"))
    st.markdown(
        "\n".join(
            f"- {line}"
            for line in (
                _("Nobody passes without signing in: pages, API and the OpenAI interface ask for it, in this tab too."),
                _("The first account is an administrator and creates the others here."),
                _("It gets the existing conversations; what others ask afterwards is their own."),
                _("The existing collections stay open to everyone who signs in, until they are shared otherwise."),
            )
        )
    )
    with st.container(width=440), st.form("first-account", border=True):
        name = st.text_input(_("Name"), key="first-name", max_chars=100, autocomplete="username")
        fields = new_password_fields("first")
        if st.form_submit_button(
            _("Create the account and sign in"), type="primary", icon=":material/lock:", key=Key.PERSON_ADD
        ):
            password = same_twice(fields)
            services.identity.accounts.add(page_actor(services), name.strip(), Role.ADMIN, password=password)
            empty_secret_fields()
            st.rerun()  # nobody is signed in here now: the browser goes to the sign-in page
