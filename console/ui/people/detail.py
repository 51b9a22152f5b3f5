"""One person on the page "People": role, state, password, second factor, sessions, API tokens, deletion."""

from __future__ import annotations

from functools import partial
from typing import NoReturn

import streamlit as st

from console.ui.current_actor import page_actor, role_word
from console.ui.people.table import role_help, state_word
from console.ui.session_state import Key, Query, notify, set_query
from console.ui.shared.dialogs import close_dialog, confirm, open_dialog
from console.ui.shared.formatting import escape, size
from console.ui.shared.page_heading import page_heading
from console.ui.shared.secret_fields import empty_secret_fields, new_password_fields, same_twice
from console.ui.shared.session_rows import moment, session_rows, since, token_rows
from services.app.container import Services
from services.core.actor import Role
from services.core.i18n import _, listed, plural
from services.identity.types import Person, SessionInfo


def person_view(services: Services, person: Person) -> None:
    """Draw one account with all that can be done to it."""
    st.button(
        _("All people"),
        icon=":material/arrow_back:",
        type="tertiary",
        key="person-back",
        on_click=set_query,
        args=(Query.PERSON, None),
    )
    page_heading(person.display_name or person.name)
    st.markdown(_facts(services, person))
    _role(services, person)
    _actions(services, person)
    _sessions(services, person)
    _tokens(services, person)


def _facts(services: Services, person: Person) -> str:
    groups = services.identity.groups.of_people(page_actor(services)).get(person.id, ())
    used = services.identity.usage.of_people(page_actor(services))[person.id]
    seen = (
        _("last sign-in {ago}").format(ago=since(person.last_sign_in)) if person.last_sign_in else _("never signed in")
    )
    parts = [
        person.name,
        role_word(person.role),
        state_word(person),
        seen,
        _("in {groups}").format(groups=listed(groups)) if groups else _("in no group"),
        _("second factor since {time}").format(time=moment(person.second_factor_since))
        if person.second_factor_since
        else _("no second factor"),
    ]
    usage = _("In the last 30 days: {questions}, {tokens}, {documents}, {size}.").format(
        questions=plural("{count} question", "{count} questions", used.questions),
        tokens=plural("{count} token", "{count} tokens", used.tokens),
        documents=plural("{count} document", "{count} documents", used.documents),
        size=size(used.bytes),
    )
    return f"{escape(listed(parts))}  \n:gray[{escape(usage)}]"


def _role(services: Services, person: Person) -> None:
    roles = list(Role)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            _("Role"),
            roles,
            index=roles.index(person.role),
            format_func=role_help,
            key=f"{Key.PERSON_ROLE}-{person.id}-{person.role}",
            width=440,
        )
    if chosen is not person.role:
        services.identity.accounts.set_role(page_actor(services), person.id, chosen)
        notify(_("{name}: {role} from now on.").format(name=person.name, role=role_word(chosen)))
        st.rerun()


def _actions(services: Services, person: Person) -> None:
    own = person.id == page_actor(services).person_id
    why_not = _("It is your own account: another administrator can do this.") if own else None
    with st.container(horizontal=True):
        if st.button(_("Set password"), key="person-password", icon=":material/password:"):
            open_dialog(_("Set a password"), partial(_password_form, services, person))
        if st.button(
            _("Remove second factor"),
            key="person-factor",
            icon=":material/phonelink_erase:",
            disabled=person.second_factor_since is None,
            help=_("There is none.") if person.second_factor_since is None else None,
        ):
            confirm(
                _("Remove the second factor of {name}?").format(name=person.name),
                [
                    _("The password alone will be enough; recovery codes are deleted, sessions end."),
                    _("Make sure that it is really {name} who asks.").format(name=person.name),
                ],
                _("Remove"),
                partial(_reset_factor, services, person),
                undone_by=_("{name} can set up a new one on My account.").format(name=person.name),
            )
        if person.disabled_at is not None:
            if st.button(_("Enable"), key="person-enable", icon=":material/person_check:"):
                services.identity.accounts.set_disabled(page_actor(services), person.id, disabled=False)
                notify(_("{name} can sign in again.").format(name=person.name))
                st.rerun()
        elif st.button(_("Disable"), key="person-disable", icon=":material/person_off:", disabled=own, help=why_not):
            confirm(
                _("Disable {name}?").format(name=person.name),
                [_("Sessions end at once; API tokens are refused. Conversations, rights and documents stay.")],
                _("Disable"),
                partial(_disable, services, person),
                undone_by=_("The account can be enabled again."),
            )
        if st.button(_("Delete"), key="person-delete", icon=":material/delete:", disabled=own, help=why_not):
            _ask_deletion(services, person)


def _ask_deletion(services: Services, person: Person) -> NoReturn:
    actor = page_actor(services)
    sessions = len(services.identity.sessions.of_person(actor, person.id))
    tokens = sum(each.revoked_at is None for each in services.identity.tokens.of_person(actor, person.id))
    confirm(
        _("Delete {name}?").format(name=person.name),
        [
            _("Removes the account, {sessions}, {tokens}, memberships, rights, and all conversations.").format(
                sessions=plural("{count} session", "{count} sessions", sessions),
                tokens=plural("{count} API token", "{count} API tokens", tokens),
            ),
            _("Documents and collections stay, and what the audit log says."),
            _(
                "Nobody else can read the conversations, not even you. To keep them, cancel and have "
                "{name} download them first: My account, Conversations."
            ).format(name=person.name),
        ],
        _("Delete"),
        partial(_delete, services, person),
    )


def _password_form(services: Services, person: Person) -> None:
    st.markdown(escape(_("{name} is signed out everywhere, and signs in with the new one.").format(name=person.name)))
    with st.form("person-password-form", border=False):
        fields = new_password_fields("person-set")
        if st.form_submit_button(_("Set password"), type="primary", key="person-password-save"):
            services.identity.accounts.set_password(page_actor(services), person.id, same_twice(fields))
            empty_secret_fields()
            notify(_("The password of {name} was set; their sessions ended.").format(name=person.name))
            close_dialog()


def _sessions(services: Services, person: Person) -> None:
    actor = page_actor(services)
    sessions = services.identity.sessions.of_person(actor, person.id)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(_("Sessions"), anchor=False, width="content")
        if len(sessions) > 1 and st.button(_("End all"), key="sessions-end-all", type="tertiary"):
            confirm(
                _("End all sessions of {name}?").format(name=person.name),
                [_("Open tabs go to the sign-in page; running answers and uploads end.")],
                _("End all"),
                partial(_end_all, services, person),
                undone_by=_("{name} can sign in again.").format(name=person.name),
            )
    if not sessions:
        st.caption(_("Not signed in anywhere."))
    session_rows(sessions, partial(_end, services, person), actor.session_id)


def _tokens(services: Services, person: Person) -> None:
    st.subheader(_("API tokens"), anchor=False)
    tokens = services.identity.tokens.of_person(page_actor(services), person.id)
    if not tokens:
        st.caption(_("None. People create them under My account."))
    token_rows(services, tokens)


def _end(services: Services, person: Person, session: SessionInfo) -> None:
    services.identity.sessions.end(page_actor(services), session.id, person.id)
    notify(_("The session ended."))
    st.rerun()


def _end_all(services: Services, person: Person) -> str:
    ended = services.identity.sessions.end_all(page_actor(services), person.id)
    return plural("{count} session ended.", "{count} sessions ended.", ended)


def _reset_factor(services: Services, person: Person) -> str:
    services.identity.accounts.reset_second_factor(page_actor(services), person.id)
    return _("The second factor of {name} was removed.").format(name=person.name)


def _disable(services: Services, person: Person) -> str:
    services.identity.accounts.set_disabled(page_actor(services), person.id, disabled=True)
    return _("{name} is disabled and signed out everywhere.").format(name=person.name)


def _delete(services: Services, person: Person) -> str:
    services.identity.accounts.delete(page_actor(services), person.id)
    set_query(Query.PERSON, None)
    return _("{name} was deleted, with sessions, tokens, rights and conversations.").format(name=person.name)
