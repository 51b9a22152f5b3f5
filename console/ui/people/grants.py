"""Rights on the page "People": collections by people, groups and everyone, with a level where one is granted."""

from __future__ import annotations

import streamlit as st

from console.ui.current_actor import page_actor
from console.ui.session_state import Key
from console.ui.shared.formatting import plain, shorten
from console.ui.shared.sharing import grantee_name, level_word, open_sharing
from services.app.container import Services
from services.core.i18n import _
from services.identity.types import Grant

_MOST_COLUMNS = 40
_MOST_ROWS = 200


def grants_view(services: Services) -> None:
    """Draw the choice of a collection to share, and the table of all grants."""
    actor = page_actor(services)
    collections = {each.id: each for each in services.library.collections(actor)}
    with st.container(horizontal=True, vertical_alignment="center"):
        chosen = st.selectbox(
            _("Collection"),
            list(collections),
            format_func=lambda i: shorten(collections[i].name, 60),
            key=Key.GRANTS_COLLECTION,
            label_visibility="collapsed",
            width=280,
        )
        if st.button(_("Sharing"), icon=":material/group_add:", key="grants-share"):
            open_sharing(services, collections[chosen])
    shown = list(collections.values())[:_MOST_ROWS]
    grants = {each.id: services.identity.sharing.grants(actor, each.id) for each in shown}
    columns = _columns([grant for found in grants.values() for grant in found])
    if not columns:
        st.info(
            _("Administrators alone reach the collections. Choose one above to share it."),
            title=_("Nothing is shared yet"),
            icon=":material/lock:",
        )
        return
    import pandas as pd

    frame = pd.DataFrame(
        {"collection": [plain(each.name) for each in shown]}
        | {
            str(key): [
                next((level_word(grant.level) for grant in grants[each.id] if grant.grantee.key == key), "")
                for each in shown
            ]
            for key in columns
        }
    )
    column = st.column_config
    st.dataframe(
        frame,
        key="grants-table",
        hide_index=True,
        height="content" if len(shown) <= 16 else 600,
        alt=_("Rights on collections"),
        placeholder="",
        column_config={"collection": column.TextColumn(_("Collection"), width=200, pinned=True)}
        | {str(key): column.TextColumn(name, width=110) for key, name in columns.items()},
    )
    st.caption(_("An empty cell: nothing is granted. Administrators manage every collection."))


def _columns(grants: list[Grant]) -> dict[int, str]:
    """Return whom anything is granted, by key: everyone, then groups, then people."""
    found = {grant.grantee.key: plain(grantee_name(grant)) for grant in grants}
    order = sorted(found, key=lambda key: (key > 0, key < 0, found[key].casefold()))
    return {key: found[key] for key in order[:_MOST_COLUMNS]}
