"""The table of the page "People": who there is, with a filter, pages, and the way to make an account."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NoReturn

import streamlit as st

from console.ui.current_actor import page_actor, role_word
from console.ui.session_state import Key, PeopleState, Query, notify, set_query, state_of
from console.ui.shared.dialogs import close_dialog, open_dialog
from console.ui.shared.formatting import local_time, plain, size_unit
from console.ui.shared.secret_fields import empty_secret_fields, new_password_fields, same_twice
from services.app.container import Services
from services.core.actor import Role
from services.core.i18n import _, plural
from services.identity.name_rules import name_key
from services.identity.types import Person

_ROWS = 50
_COLOURS = {Role.ADMIN: "orange", Role.OPERATOR: "blue", Role.AUDITOR: "violet", Role.USER: "gray"}


def people_table(services: Services) -> None:
    """Draw filter, table and pages."""
    people = services.identity.accounts.all(page_actor(services))
    with st.container(horizontal=True, vertical_alignment="center"):
        text = st.text_input(
            _("Find by name"),
            key=Key.PEOPLE_SEARCH,
            type="search",
            placeholder=_("Find by name"),
            label_visibility="collapsed",
            width=260,
        )
        if st.button(_("New account"), icon=":material/person_add:", key=Key.PERSON_ADD):
            _ask_for_account(services)
    wanted = name_key(text or "")
    found = [person for person in people if wanted in name_key(f"{person.name} {person.display_name}")]
    if not found:
        st.info(_("Change the filter to see more."), title=_("No matching people"), icon=":material/search_off:")
        return
    pages = -(-len(found) // _ROWS)
    number = 1
    if pages > 1:
        number = int(st.number_input(_("Page"), 1, pages, key=Key.PEOPLE_PAGE, width=130))
    _table(services, found[(number - 1) * _ROWS : number * _ROWS])
    shown = plural("{count} person", "{count} people", len(found))
    st.caption(_("{people}. Choose a row to change an account.").format(people=shown))


def state_word(person: Person) -> str:
    """Return whether somebody can sign in."""
    return _("enabled") if person.disabled_at is None else _("disabled")


def _table(services: Services, people: Sequence[Person]) -> None:
    import pandas as pd

    actor = page_actor(services)
    groups = services.identity.groups.of_people(actor)
    sessions = [len(services.identity.sessions.of_person(actor, person.id)) for person in people]
    usage = services.identity.usage.of_people(actor)
    used = [usage[person.id] for person in people]
    state_of(PeopleState).shown = tuple(person.id for person in people)
    unit = size_unit([each.bytes for each in used])
    frame = pd.DataFrame(
        {
            "name": [plain(person.name) for person in people],
            "shown": [plain(person.display_name) for person in people],
            "role": [[role_word(person.role)] for person in people],
            "groups": [", ".join(plain(name) for name in groups.get(person.id, ())) for person in people],
            "state": [state_word(person) for person in people],
            "seen": [local_time(person.last_sign_in) if person.last_sign_in else None for person in people],
            "factor": [person.second_factor_since is not None for person in people],
            "sessions": sessions,
            "questions": [each.questions for each in used],
            "tokens": [each.tokens for each in used],
            "documents": [each.documents for each in used],
            "bytes": unit.column(each.bytes for each in used),
        }
    )
    column = st.column_config
    days = _("in the last 30 days")
    st.dataframe(
        frame,
        key="people-table",
        hide_index=True,
        height="content" if len(people) <= 16 else 600,
        alt=_("People"),
        on_select=_open,
        selection_mode="single-row",
        placeholder="",
        column_config={
            "name": column.TextColumn(_("Name"), width=130, pinned=True),
            "shown": column.TextColumn(_("Display name"), width=130),
            "role": column.MultiselectColumn(
                _("Role"),
                options=[role_word(role) for role in _COLOURS],
                color=list(_COLOURS.values()),
                width=110,
            ),
            "groups": column.TextColumn(_("Groups"), width=150),
            "state": column.TextColumn(_("State"), width=80),
            "seen": column.DatetimeColumn(_("Last sign-in"), format="YYYY-MM-DD HH:mm", width=130),
            "factor": column.CheckboxColumn(_("Second factor"), width=100),
            "sessions": column.NumberColumn(_("Sessions"), format="localized", width=76),
            "questions": column.NumberColumn(_("Questions"), format="localized", width=82, help=days),
            "tokens": column.NumberColumn(
                _("Tokens"),
                format="localized",
                width=80,
                help=_("Read and written by chat models, in the last 30 days"),
            ),
            "documents": column.NumberColumn(_("Documents"), format="localized", width=90, help=days),
            "bytes": column.NumberColumn(
                _("Uploaded, {unit}").format(unit=unit.name),
                format=unit.number,
                width=100,
                help=_("Size of the files, in the last 30 days"),
            ),
        },
    )


def _open() -> None:
    rows = st.session_state["people-table"].selection.rows
    shown = state_of(PeopleState).shown
    if rows and rows[0] < len(shown):
        set_query(Query.PERSON, shown[rows[0]])


def _ask_for_account(services: Services) -> NoReturn:
    open_dialog(_("New account"), partial(_account_form, services))


def _account_form(services: Services) -> None:
    with st.form("person-form", border=False):
        name = st.text_input(_("Name"), key="person-name", max_chars=100, autocomplete="off")
        display_name = st.text_input(
            _("Display name (optional)"), key="person-shown", max_chars=200, autocomplete="off"
        )
        role = st.selectbox(_("Role"), list(_COLOURS), index=3, format_func=role_help, key="person-role-new")
        fields = new_password_fields("person")
        st.caption(
            _(
                "Hand it over in person. Without a password the account can be used only through an "
                "identity provider or API tokens."
            )
        )
        if st.form_submit_button(_("Create account"), type="primary", key="person-save"):
            password = same_twice(fields) or None
            made = services.identity.accounts.add(
                page_actor(services), name.strip(), role, password=password, display_name=display_name.strip()
            )
            empty_secret_fields()
            notify(_("{name} can sign in now.").format(name=made.name) if password else _("The account was created."))
            close_dialog()


def role_help(role: Role) -> str:
    """Return a role with what it may do."""
    return {
        Role.USER: _("user: asks, reads and uploads where granted"),
        Role.OPERATOR: _("operator: as a user; sees and steers memory"),
        Role.AUDITOR: _("auditor: as a user; reads the audit log"),
        Role.ADMIN: _("administrator: everything, also accounts and rights"),
    }[role]
