"""Groups on the page "People": made, renamed, deleted, and who is in them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from console.ui.current_actor import page_actor
from console.ui.session_state import Key, Query, notify, query_number, set_query
from console.ui.shared.dialogs import confirm, prompt_for_name
from console.ui.shared.formatting import shorten
from services.app.container import Services
from services.core.i18n import _, plural
from services.identity.types import GroupInfo


def groups_view(services: Services) -> None:
    """Draw the choice of a group, and its members."""
    groups = {group.id: group for group in services.identity.groups.all(page_actor(services))}
    ids = list(groups)
    wanted = query_number(Query.GROUP)
    with st.container(horizontal=True, vertical_alignment="center"):
        if groups:
            chosen = st.selectbox(
                _("Group"),
                ids,
                index=ids.index(wanted) if wanted in groups else 0,
                format_func=lambda i: f"{shorten(groups[i].name, 60)} ({groups[i].members})",
                key=f"group-{wanted}-{len(groups)}",
                label_visibility="collapsed",
                width=280,
            )
        if st.button(_("New group"), icon=":material/group_add:", key=Key.GROUP_ADD):
            prompt_for_name(_("New group"), _("Name"), "", partial(_add, services))
        if groups:
            group = groups[chosen]
            if st.button(_("Rename"), type="tertiary", key="group-rename"):
                prompt_for_name(_("Rename group"), _("Name"), group.name, partial(_rename, services, group))
            if st.button(_("Delete"), type="tertiary", key="group-delete"):
                _ask_deletion(services, group)
    if not groups:
        st.info(
            _("A group is granted rights on collections for all its members at once."),
            title=_("No groups yet"),
            icon=":material/groups:",
        )
        return
    set_query(Query.GROUP, chosen)
    _members(services, groups[chosen])


def _members(services: Services, group: GroupInfo) -> None:
    actor = page_actor(services)
    members = dict(services.identity.groups.members(actor, group.id))
    people = {person.id: person.name for person in services.identity.accounts.all(actor)} | members
    chosen = st.multiselect(
        _("Members"),
        list(people),
        default=list(members),
        format_func=lambda i: shorten(people[i], 60),
        placeholder=_("Nobody yet: choose who belongs to it"),
        key=f"{Key.GROUP_MEMBERS}-{group.id}-{hash(tuple(members))}",
    )
    if set(chosen) != set(members):
        _set_members(services, group, list(members), chosen)
        st.rerun()


def _set_members(services: Services, group: GroupInfo, before: Sequence[int], after: Sequence[int]) -> None:
    actor = page_actor(services)
    for person_id in sorted(set(after) - set(before)):
        services.identity.groups.add_member(actor, group.id, person_id)
    for person_id in sorted(set(before) - set(after)):
        services.identity.groups.remove_member(actor, group.id, person_id)
    notify(
        _("{group} has {members} now.").format(
            group=shorten(group.name, 60), members=plural("{count} member", "{count} members", len(set(after)))
        )
    )


def _ask_deletion(services: Services, group: GroupInfo) -> None:
    confirm(
        _("Delete the group {name}?").format(name=shorten(group.name, 60)),
        [
            _("Removes the group and the rights on collections that it has."),
            plural(
                "Its {count} member stays, without what came by this group alone.",
                "Its {count} members stay, without what came by this group alone.",
                group.members,
            ),
        ],
        _("Delete"),
        partial(_delete, services, group),
    )


def _add(services: Services, name: str) -> str:
    set_query(Query.GROUP, services.identity.groups.add(page_actor(services), name).id)
    return _("The group {name} was created.").format(name=shorten(name, 60))


def _rename(services: Services, group: GroupInfo, name: str) -> str:
    services.identity.groups.rename(page_actor(services), group.id, name)
    return _("Renamed to {name}.").format(name=shorten(name, 60))


def _delete(services: Services, group: GroupInfo) -> str:
    services.identity.groups.delete(page_actor(services), group.id)
    set_query(Query.GROUP, None)
    return _("The group {name} was deleted.").format(name=shorten(group.name, 60))
