"""People: accounts, groups, and rights on collections."""

from __future__ import annotations

from console.ui.current_actor import page_actor
from console.ui.people.detail import person_view
from console.ui.people.first_account import first_account_view
from console.ui.people.grants import grants_view
from console.ui.people.groups import groups_view
from console.ui.people.table import people_table
from console.ui.people.views import PeopleView, chosen_person, people_view
from console.ui.runtime_access import ready_services

services = ready_services()
if services.identity.open_mode:
    first_account_view(services)
else:
    view = people_view()
    if view is PeopleView.GROUPS:
        groups_view(services)
    elif view is PeopleView.GRANTS:
        grants_view(services)
    elif (person := chosen_person(services.identity, page_actor(services))) is not None:
        person_view(services, person)
    else:
        people_table(services)
