"""Tables of a snapshot: types by count and bytes, the largest containers by name, compared with another snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import streamlit as st

from console.ui.objects.toolbar import ShownSnapshot
from console.ui.session_state import Key, ObjectsState, Query, query, query_number, set_query, state_of
from console.ui.shared.exports import export_buttons
from console.ui.shared.formatting import plain, size_unit
from services.core.i18n import _, plural
from services.memory.objects.inspector import Inspector
from services.memory.objects.types import Amount, ContainerCount

_TYPE_ROWS = 300
OURS = ("services.", "console.", "pages.", "__main__.")
Row = dict[str, Any]
_CONTAINER_ROWS = 400


def types_view(inspector: Inspector, shown: ShownSnapshot) -> None:
    """Draw the table of types; a selected row opens instances of its type."""
    rows = _compared(inspector, shown) if shown.since else _plain(shown)
    with st.container(horizontal=True, vertical_alignment="center"):
        text = st.text_input(
            _("Find a type"),
            key=Key.OBJECTS_SEARCH,
            type="search",
            placeholder=_("Find a type"),
            label_visibility="collapsed",
            live=True,
            width=260,
        )
        ours = st.toggle(_("Only Millpond's types"), key=Key.OBJECTS_OURS)
        changed = shown.since is not None and st.toggle(_("Only changes"), key="objects-changed", value=True)
        held = shown.census.watching
        own = [] if shown.watching else [{"type": _("Watching"), "count": held.count, "bytes": held.bytes}]
        export_buttons([*rows, *own], "types")
    wanted = (text or "").strip().lower()
    rows = [row for row in rows if wanted in row["type"].lower() and (not ours or row["type"].startswith(OURS))]
    if changed:
        rows = [
            row for row in rows if row["delta_count"] or row["delta_bytes"] or row["new_count"] or row["gone_count"]
        ]
    if not rows:
        st.info(
            _("Change the filter to see more."),
            title=_("No changes") if changed and not wanted else _("No matching types"),
            icon=":material/search_off:",
        )
        return
    _type_table(rows[:_TYPE_ROWS], compared=shown.since is not None)
    text = plural("{count} type", "{count} types", len(rows))
    if len(rows) > _TYPE_ROWS:
        text = _("{types}, the first {rows} shown").format(types=text, rows=_TYPE_ROWS)
    if shown.since is not None and shown.since.run != shown.snapshot.run:
        text += ". " + _("The other snapshot is of another run: only counts are comparable, not single objects")
    st.caption(_("{types}. Select a row to see some objects and what holds them.").format(types=text))


def _plain(shown: ShownSnapshot) -> list[Row]:
    rows = [
        {"type": name, "count": found.count, "bytes": found.bytes, "native": found.native}
        for name, found in shown.census.shown_types(watching=shown.watching).items()
    ]
    return sorted(rows, key=lambda row: -int(str(row["bytes"])))


def _compared(inspector: Inspector, shown: ShownSnapshot) -> list[Row]:
    assert shown.since is not None  # noqa: S101 - the caller checked
    with st.spinner(_("Comparing")):
        changes = inspector.compare(shown.since.name, shown.snapshot.name, watching=shown.watching)
    rows: list[Row] = []
    for change in changes:
        row: Row = {
            "type": change.type,
            "count": change.after.count,
            "bytes": change.after.bytes,
            "delta_count": change.delta.count,
            "delta_bytes": change.delta.bytes,
        }
        for name in ("survived", "new", "gone"):
            amount: Amount | None = getattr(change, name)
            row[f"{name}_count"] = amount.count if amount else None
        row["new_bytes"] = change.new.bytes if change.new else None
        rows.append(row)
    return sorted(rows, key=lambda row: -row["delta_bytes"])


def _type_table(rows: Sequence[Row], *, compared: bool) -> None:
    import pandas as pd

    column = st.column_config
    held, added, native = (size_unit([row.get(name) for row in rows]) for name in ("bytes", "delta_bytes", "native"))
    columns: dict[str, Any] = {
        "type": column.TextColumn(_("Type"), width=330),
        "count": column.NumberColumn(_("Objects"), format="localized", width=90),
        "bytes": column.NumberColumn(held.name, format=held.number, width=90),
    }
    if compared:
        columns |= {
            "delta_count": column.NumberColumn(_("Objects added"), format="%+d", width=110),
            "delta_bytes": column.NumberColumn(
                _("{unit} added").format(unit=added.name), format=added.change, width=100
            ),
            "new_count": column.NumberColumn(_("New"), format="localized", width=80),
            "gone_count": column.NumberColumn(_("Gone"), format="localized", width=80),
            "survived_count": column.NumberColumn(
                _("Survived"),
                format="localized",
                width=90,
                help=_("Same address and type in both snapshots; addresses can be reused."),
            ),
        }
    else:
        columns["native"] = column.NumberColumn(
            _("Native {unit} of these").format(unit=native.name),
            format=native.number,
            width=140,
            help=_("Data of arrays and tensors, outside of Python"),
        )
    shown = [
        {
            **row,
            "type": plain(row["type"]),
            "bytes": held.of(row["bytes"]),
            "native": native.of(row.get("native") or None),
            "delta_bytes": added.of(row.get("delta_bytes")),
        }
        for row in rows
    ]
    names = [row["type"] for row in rows]
    key = f"objects-types-{hash((tuple(names), compared)) & 0xFFFFFFFF:08x}"
    chosen = query(Query.TYPE)
    st.dataframe(
        pd.DataFrame(shown)[list(columns)],
        key=key,
        hide_index=True,
        placeholder="–",
        height="content" if len(rows) <= 12 else 460,
        alt=_("Types of objects"),
        on_select=partial(_type_selected, key, names),
        selection_mode="single-row",
        selection_default={"selection": {"rows": [names.index(chosen)] if chosen in names else []}},
        column_config=columns,
    )


def _type_selected(key: str, names: list[str]) -> None:
    rows = st.session_state[key].selection.rows
    set_query(Query.TYPE, names[rows[0]] if rows else None)
    set_query(Query.OBJECT, None)
    set_query(Query.EVIDENCE, None)
    state_of(ObjectsState).holders = None


def containers_view(inspector: Inspector, shown: ShownSnapshot) -> None:
    """Draw the table of containers; a selected row shows what holds the container."""
    before = inspector.snapshot(shown.since.name).containers if shown.since else ()
    found = list(shown.census.shown_containers(watching=shown.watching))
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
        export_buttons([asdict(entry) for entry in found], "containers")
    wanted = (text or "").strip().lower()
    fitting = [entry for entry in found if wanted in entry.name.lower()]
    if not fitting:
        st.info(
            _("It may be smaller than those listed, or deleted. Take a new snapshot, or change the filter."),
            title=_("No container of this name"),
            icon=":material/search_off:",
        )
        return
    _container_table(fitting[:_CONTAINER_ROWS], before, compared=shown.since is not None)
    st.caption(
        _("{containers}. Contents count for the container with the shortest path from a module. Select a row.").format(
            containers=plural("{count} container", "{count} containers", len(fitting))
        )
    )


def _container_table(found: list[ContainerCount], before: tuple[ContainerCount, ...], *, compared: bool) -> None:
    import pandas as pd

    lengths = {entry.name: entry.length for entry in before}
    unit = size_unit([entry.held_bytes for entry in found])
    column = st.column_config
    columns = {
        "name": column.TextColumn(_("Container"), width=470),
        "type": column.TextColumn(_("Type"), width=150),
        "length": column.NumberColumn(_("Entries"), format="localized", width=90),
        "held": column.NumberColumn(_("Holds, {unit}").format(unit=unit.name), format=unit.number, width=100),
    }
    if compared:
        columns["added"] = column.NumberColumn(_("Entries added"), format="%+d", width=110)
    rows = [
        {
            "name": plain(entry.name),
            "type": plain(entry.type),
            "length": entry.length,
            "held": unit.of(entry.held_bytes),
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
        on_select=partial(_container_selected, key, found),
        selection_mode="single-row",
        selection_default={"selection": {"rows": [addresses.index(chosen)] if chosen in addresses else []}},
        column_config=columns,
    )


def _container_selected(key: str, found: list[ContainerCount]) -> None:
    rows = st.session_state[key].selection.rows
    chosen = found[rows[0]] if rows else None
    set_query(Query.TYPE, chosen.type if chosen else None)
    set_query(Query.OBJECT, chosen.address if chosen else None)
    set_query(Query.EVIDENCE, chosen.evidence if chosen else None)
    state_of(ObjectsState).holders = None
