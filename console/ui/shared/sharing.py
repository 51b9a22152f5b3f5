"""A collection's sharing: who may read, change or manage it. On the pages "Documents" and "People"."""

from __future__ import annotations

from functools import partial
from typing import NoReturn

import streamlit as st

from console.ui.current_actor import page_actor
from console.ui.session_state import Key, notify
from console.ui.shared.dialogs import close_dialog, open_dialog
from console.ui.shared.formatting import escape, shorten
from services.app.container import Services
from services.core.actor import AccessLevel, Permission
from services.core.i18n import _
from services.identity.types import EVERYONE, Grant, Grantee, GranteeKind
from services.knowledge.types import Collection

_ICONS = {
    GranteeKind.PERSON: ":material/person:",
    GranteeKind.GROUP: ":material/group:",
    GranteeKind.EVERYONE: ":material/public:",
}
_GRANTED = (AccessLevel.READ, AccessLevel.WRITE, AccessLevel.MANAGE)


def level_word(level: AccessLevel) -> str:
    """Return what a level is called."""
    return {
        AccessLevel.NONE: _("no access"),
        AccessLevel.READ: _("read"),
        AccessLevel.WRITE: _("write"),
        AccessLevel.MANAGE: _("manage"),
    }[level]


def grantee_name(grant: Grant) -> str:
    """Return whom a grant is for."""
    return grant.name if grant.grantee.kind is not GranteeKind.EVERYONE else _("Everyone")


def sharing_mark(services: Services, collection: Collection) -> None:
    """Draw with how many a collection is shared: a button for who manages it, for others why there is none.

    Nothing while there are no accounts.
    """
    if services.identity.open_mode:
        return
    actor = page_actor(services)
    if actor.level(collection.id) < AccessLevel.MANAGE:
        st.markdown(
            f":material/group: {level_word(actor.level(collection.id))}",
            width="content",
            help=_("What you may do here. Whoever manages the collection can share, rename and delete it."),
        )
        return
    grants = services.identity.sharing.grants(actor, collection.id)
    others = [grant for grant in grants if grant.grantee != Grantee(GranteeKind.PERSON, actor.person_id or 0)]
    label = _("Shared with {count}").format(count=len(others)) if others else _("Share")
    if any(grant.grantee.kind is GranteeKind.EVERYONE for grant in others):
        label = _("Shared with everyone")
    icon = ":material/group:" if others else ":material/group_add:"
    if st.button(label, icon=icon, type="tertiary", key="collection-share"):
        open_sharing(services, collection)


def open_sharing(services: Services, collection: Collection) -> NoReturn:
    """Open the dialog in which a collection is shared."""
    title = _("Who may use {name}").format(name=shorten(collection.name, 60))
    open_dialog(title, partial(_body, services, collection.id))


def _body(services: Services, collection_id: int) -> None:
    grants = services.identity.sharing.grants(page_actor(services), collection_id)
    if not grants:
        st.caption(_("Nobody but administrators."))
    for grant in grants:
        _row(services, grant)
    st.divider()
    _form(services, collection_id)
    st.caption(
        _("Read: search, ask, read. Write: also add, change, delete documents. Manage: also rename, delete, share.")
    )
    st.caption(_("Administrators manage every collection. What is taken away counts at once."))
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button(_("Done"), key="share-done"):
            close_dialog()


def _row(services: Services, grant: Grant) -> None:
    levels = [*_GRANTED, AccessLevel.NONE]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        name = escape(shorten(grantee_name(grant), 40))
        st.markdown(f"{_ICONS[grant.grantee.kind]} {name}", width="stretch")
        chosen = st.selectbox(
            _("What {name} may do").format(name=grantee_name(grant)),
            levels,
            index=levels.index(grant.level),
            format_func=level_word,
            key=f"grant-{grant.collection_id}-{grant.grantee.key}-{grant.level}",
            label_visibility="collapsed",
            width=150,
        )
    if chosen is not grant.level:
        _share(services, grant.collection_id, grant.grantee, chosen, grantee_name(grant))


def _form(services: Services, collection_id: int) -> None:
    labels = {
        GranteeKind.PERSON: _("Person"),
        GranteeKind.GROUP: _("Group"),
        GranteeKind.EVERYONE: _("Everyone"),
    }
    kind = st.segmented_control(
        _("Share with"),
        list(labels),
        default=GranteeKind.PERSON,
        required=True,
        format_func=lambda each: labels[each],
        key=Key.SHARE_KIND,
    )
    kind = kind or GranteeKind.PERSON
    with st.form("share-form", border=False, clear_on_submit=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            name = _name_field(services, kind)
            level = st.selectbox(_("May"), _GRANTED, format_func=level_word, key=Key.SHARE_LEVEL, width=130)
            sent = st.form_submit_button(_("Share"), type="primary", key=Key.SHARE)
        if sent:
            sharing, actor = services.identity.sharing, page_actor(services)
            if kind is GranteeKind.EVERYONE:
                _share(services, collection_id, EVERYONE, level, _("Everyone"))
            _share(services, collection_id, sharing.find_grantee(actor, collection_id, kind, name), level, name)


def _name_field(services: Services, kind: GranteeKind) -> str:
    """Draw the choice of a person or group; only those who manage people see who there is."""
    actor = page_actor(services)
    if kind is GranteeKind.EVERYONE:
        st.markdown(_("Everyone who signs in"), width=220)
        return ""
    if kind is GranteeKind.GROUP:
        names = [group.name for group in services.identity.groups.all(actor)]
    elif actor.may(Permission.PEOPLE):
        names = [person.name for person in services.identity.accounts.all(actor)]
    else:
        return st.text_input(_("Name"), key="share-person", max_chars=100, width=220, placeholder=_("as they sign in"))
    chosen = st.selectbox(
        _("Name"), names, index=None, key=f"share-name-{kind}", width=220, placeholder=_("Choose a name")
    )
    return chosen or ""


def _share(services: Services, collection_id: int, grantee: Grantee, level: AccessLevel, name: str) -> NoReturn:
    actor = page_actor(services)
    services.identity.sharing.set(actor, collection_id, grantee, level)
    notify(_("{name}: {level} from now on.").format(name=shorten(name, 60), level=level_word(level)))
    if page_actor(services).level(collection_id) < AccessLevel.MANAGE:  # one has taken it from oneself
        close_dialog()
    st.rerun()
    raise AssertionError("st.rerun returned")
