"""Types by count and bytes, with what survived, came and went since another look."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from console.components.formatting import kilobytes, plain
from console.components.objects_bar import Shown
from console.components.objects_export import exports
from console.state import Key, ObjectsState, Query, query, set_query, state_of
from services.memory.objects.inspector import Inspector
from services.memory.objects.types import Amount
from services.texts import _, plural

_ROWS = 300
OURS = ("services.", "console.", "pages.", "__main__.")
Row = dict[str, Any]


def types_view(inspector: Inspector, shown: Shown) -> None:
    """Draw the table; a selected row opens some objects of its type."""
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
        ours = st.toggle(_("Only our types"), key=Key.OBJECTS_OURS)
        changed = shown.since is not None and st.toggle(_("Only what changed"), key="objects-changed", value=True)
        exports(rows, "types")
    wanted = (text or "").strip().lower()
    rows = [row for row in rows if wanted in row["type"].lower() and (not ours or row["type"].startswith(OURS))]
    if changed:
        rows = [
            row for row in rows if row["delta_count"] or row["delta_bytes"] or row["new_count"] or row["gone_count"]
        ]
    if not rows:
        st.info(
            _("Change the filter to see more."),
            title=_("Nothing changed") if changed and not wanted else _("No type fits"),
            icon=":material/search_off:",
        )
        return
    _table(rows[:_ROWS], compared=shown.since is not None)
    told = plural("{count} type", "{count} types", len(rows))
    if len(rows) > _ROWS:
        told = _("{told}, the first {rows} shown").format(told=told, rows=_ROWS)
    if shown.since is not None and shown.since.run != shown.snapshot.run:
        told += ". " + _("The other look is of another run: only amounts can be compared, not single objects")
    st.caption(_("{told}. Select a row to see some objects and what holds them.").format(told=told))


def _plain(shown: Shown) -> list[Row]:
    rows = [
        {"type": name, "count": found.count, "bytes": found.bytes, "native": found.native}
        for name, found in shown.census.types.items()
    ]
    return sorted(rows, key=lambda row: -int(str(row["bytes"])))


def _compared(inspector: Inspector, shown: Shown) -> list[Row]:
    assert shown.since is not None  # noqa: S101 - the caller looked
    with st.spinner(_("Comparing")):
        changes = inspector.compare(shown.since.name, shown.snapshot.name)
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


def _table(rows: Sequence[Row], *, compared: bool) -> None:
    import pandas as pd

    column = st.column_config
    columns: dict[str, Any] = {
        "type": column.TextColumn(_("Type"), width=330),
        "count": column.NumberColumn(_("Objects"), format="localized", width=90),
        "kb": column.NumberColumn("KB", format="localized", width=90),
    }
    if compared:
        columns |= {
            "delta_count": column.NumberColumn(_("Objects added"), format="%+d", width=110),
            "delta_kb": column.NumberColumn(_("KB added"), format="localized", width=100),
            "new_count": column.NumberColumn(_("New"), format="localized", width=80),
            "gone_count": column.NumberColumn(_("Gone"), format="localized", width=80),
            "survived_count": column.NumberColumn(
                _("Survived"),
                format="localized",
                width=90,
                help=_("Same address and same type in both looks; an address can be used again."),
            ),
        }
    else:
        columns["native_kb"] = column.NumberColumn(
            _("KB of these native"),
            format="localized",
            width=140,
            help=_("Data of arrays and tensors, outside of Python"),
        )
    shown = [
        {
            **row,
            "type": plain(row["type"]),
            "kb": kilobytes(row["bytes"]),
            "native_kb": kilobytes(row.get("native", 0)) or None,
            "delta_kb": kilobytes(row.get("delta_bytes", 0)),
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
        on_select=partial(_selected, key, names),
        selection_mode="single-row",
        selection_default={"selection": {"rows": [names.index(chosen)] if chosen in names else []}},
        column_config=columns,
    )


def _selected(key: str, names: list[str]) -> None:
    rows = st.session_state[key].selection.rows
    set_query(Query.TYPE, names[rows[0]] if rows else None)
    set_query(Query.OBJECT, None)
    state_of(ObjectsState).holders = None
