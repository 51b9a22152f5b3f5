"""The biggest containers with their names: where a program keeps what it keeps."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import streamlit as st

from console.components.formatting import kilobytes, plain
from console.components.objects_bar import Shown
from console.components.objects_export import exports
from console.state import ObjectsState, Query, query, query_number, set_query, state_of
from services.memory.objects.inspector import Inspector
from services.memory.objects.types import ContainerCount
from services.texts import _, plural

_ROWS = 400


def containers_view(inspector: Inspector, shown: Shown) -> None:
    """Draw the table; a selected row shows what holds the container."""
    before = inspector.snapshot(shown.since.name).containers if shown.since else ()
    found = list(shown.census.containers)
    with st.container(horizontal=True, vertical_alignment="center"):
        text = st.text_input(
            _("Find a container"),
            value=query(Query.CONTAINER),
            key="objects-container-search",
            type="search",
            placeholder=_("Find a container"),
            label_visibility="collapsed",
            live=True,
            width=360,
        )
        exports([asdict(entry) for entry in found], "containers")
    wanted = (text or "").strip().lower()
    fitting = [entry for entry in found if wanted in entry.name.lower()]
    if not fitting:
        st.info(
            _("It may have become smaller than what is listed, or gone. Look again, or change the filter."),
            title=_("No container of that name"),
            icon=":material/search_off:",
        )
        return
    _table(fitting[:_ROWS], before, compared=shown.since is not None)
    st.caption(
        _("{told}. What a container holds counts for the shortest way from a module; select a row to see it.").format(
            told=plural("{count} container", "{count} containers", len(fitting))
        )
    )


def _table(found: list[ContainerCount], before: tuple[ContainerCount, ...], *, compared: bool) -> None:
    import pandas as pd

    lengths = {entry.name: entry.length for entry in before}
    column = st.column_config
    columns = {
        "name": column.TextColumn(_("Container"), width=470),
        "type": column.TextColumn(_("Type"), width=150),
        "length": column.NumberColumn(_("Entries"), format="localized", width=90),
        "held": column.NumberColumn(_("Holds, KB"), format="localized", width=100),
    }
    if compared:
        columns["added"] = column.NumberColumn(_("Entries added"), format="%+d", width=110)
    rows = [
        {
            "name": plain(entry.name),
            "type": plain(entry.type),
            "length": entry.length,
            "held": kilobytes(entry.held_bytes),
            "added": entry.length - lengths[entry.name] if entry.name in lengths else None,
        }
        for entry in found
    ]
    addresses = [entry.address for entry in found]
    key = f"objects-containers-{hash(tuple(addresses)) & 0xFFFFFFFF:08x}"
    chosen = query_number(Query.OBJECT)
    st.dataframe(
        pd.DataFrame(rows)[list(columns)],
        key=key,
        hide_index=True,
        placeholder="–",
        height="content" if len(rows) <= 12 else 460,
        alt=_("Containers"),
        on_select=partial(_selected, key, found),
        selection_mode="single-row",
        selection_default={"selection": {"rows": [addresses.index(chosen)] if chosen in addresses else []}},
        column_config=columns,
    )


def _selected(key: str, found: list[ContainerCount]) -> None:
    rows = st.session_state[key].selection.rows
    chosen = found[rows[0]] if rows else None
    set_query(Query.TYPE, chosen.type if chosen else None)
    set_query(Query.OBJECT, chosen.address if chosen else None)
    state_of(ObjectsState).holders = None
