"""What the page "People" shows: one of its parts, or one person; a link opens the same."""

from __future__ import annotations

from enum import StrEnum

import streamlit as st

from console.ui.session_state import Key, Query, query_number, set_query
from console.ui.shared.view_choice import view_choice
from services.core.actor import Actor
from services.core.errors import NotFoundError
from services.core.i18n import _
from services.identity.identity import Identity
from services.identity.types import Person


class PeopleView(StrEnum):
    """The parts of the page; the value is in the address bar."""

    PEOPLE = "people"
    GROUPS = "groups"
    GRANTS = "grants"


def people_view() -> PeopleView:
    """Draw the choice of the page's part and return it."""
    labels = {
        PeopleView.PEOPLE: _("Accounts"),
        PeopleView.GROUPS: _("Groups"),
        PeopleView.GRANTS: _("Rights on collections"),
    }
    return view_choice(labels, Key.PEOPLE_VIEW, _choose_view, usual=PeopleView.PEOPLE)


def chosen_person(identity: Identity, actor: Actor) -> Person | None:
    """Return the person whom the address names, None for the table; say so where there is none of that id."""
    person_id = query_number(Query.PERSON)
    if person_id is None:
        return None
    try:
        return identity.accounts.get(actor, person_id)
    except NotFoundError:
        st.warning(
            _("The account was deleted, or the link is wrong."),
            title=_("There is no such person."),
            icon=":material/person_off:",
        )
        return None


def _choose_view() -> None:
    set_query(Query.VIEW, st.session_state[Key.PEOPLE_VIEW])
    set_query(Query.PERSON, None)
    set_query(Query.GROUP, None)
