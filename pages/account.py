"""My account: name, password, second factor, sessions, API tokens, one's own conversations."""

from __future__ import annotations

import streamlit as st

from console.navigation import PageName, may_open, page
from console.ui.account.own_sessions import own_sessions_view
from console.ui.account.own_tokens import own_tokens_view
from console.ui.account.profile import conversations_view, name_form, password_form, profile_view, provider_view
from console.ui.account.second_factor import second_factor_view
from console.ui.current_actor import page_actor
from console.ui.reader import language_choice
from console.ui.runtime_access import ready_services
from services.core.i18n import _

services = ready_services()
actor = page_actor(services)
if actor.person_id is None:
    st.info(
        _("Nobody signs in here yet: whoever reaches this console uses it."),
        title=_("There are no accounts"),
        icon=":material/account_circle:",
    )
    if may_open(actor, PageName.PEOPLE):
        st.page_link(page(PageName.PEOPLE), label=_("Create the first account"))
else:
    person = services.identity.account.person(actor)
    profile_view(person)
    name_form(services, person)
    language_choice()
    st.subheader(_("Password"), anchor=False)
    password_form(services, person)
    provider_view(services, person)
    st.subheader(_("Second factor"), anchor=False)
    second_factor_view(services, person)
    st.subheader(_("Sessions"), anchor=False)
    own_sessions_view(services, person)
    st.subheader(_("API tokens"), anchor=False)
    own_tokens_view(services, person)
    st.subheader(_("Conversations"), anchor=False)
    conversations_view(services)
