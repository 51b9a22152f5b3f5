"""Comparison of two tracing snapshots: chart and table of what grew, and the tracebacks of the selected row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from urllib.parse import urlencode

import streamlit as st

from console.ui.allocations.charts import changes_chart, flame_chart
from console.ui.allocations.snapshot_table import snapshot_label
from console.ui.charts.chart import EncodedChart, draw_chart
from console.ui.error_boundary import guarded
from console.ui.session_state import Key, Query, query, set_query
from console.ui.shared.formatting import count, escape, plain, signed_size, size, size_unit
from services.core.i18n import _, plural
from services.memory.tracing.profiles import ProfileFormat
from services.memory.tracing.source import place_text, source_lines
from services.memory.tracing.tracer import Tracer
from services.memory.tracing.types import ComparisonRow, GroupBy, RowChange, SnapshotInfo, TraceComparison, TraceFilters

_ROWS = 100
_NONE = "none"  # in place of the older snapshot: show the newer one alone
_MOST_TRACEBACKS = 5
_NARROWEST = 400  # pixels in which a place, its bar and its label find room


@st.fragment
@guarded
def allocations_comparison(tracer: Tracer) -> None:
    """Draw the choice of two snapshots and what changed between them, or how to take some."""
    snapshots = tracer.snapshots()
    if not snapshots:
        _no_snapshots(on=tracer.status().on)
        return
    st.subheader(_("What grew"), anchor=False)
    _removed({info.id for info in snapshots})
    old, new = _pair(snapshots)
    by, filters = _filters()
    found = tracer.compare(old, new, by, filters, limit=_ROWS)
    if not any(info.run == found.new.run and info.time < found.new.time for info in snapshots) and found.old is None:
        st.info(
            _("Let the service do what you suspect, then take another snapshot: the difference shows what remained."),
            title=_("One snapshot shows what is allocated, two show what grew"),
            icon=":material/compare:",
        )
    elif not found.same_run:
        st.warning(
            _("Snapshots lack what was allocated before their run started, so differences say little."),
            title=_("These snapshots belong to different tracing runs"),
            icon=":material/sync_problem:",
        )
    _totals(found)
    _watching(found, included=filters.watching)
    if not any(row.bytes_diff if found.old else row.bytes for row in found.rows):
        _no_rows(found, filters)
        return
    row = _chart_and_table(found)
    _exports(found, filters)
    if row is not None:
        allocation_detail(tracer, found, row, filters)
    _flame_graph(tracer, found.new, filters)


def _no_snapshots(*, on: bool) -> None:
    if on:
        st.info(
            _("Take one, let the service do what you suspect, and take another: the difference shows what remained."),
            title=_("No snapshots yet"),
            icon=":material/photo_camera:",
        )
    else:
        st.info(
            _("Start tracing, take snapshots before and after what you suspect, and see which lines hold more memory."),
            title=_("Allocations have not been traced yet"),
            icon=":material/data_object:",
        )


def _removed(known: Collection[str]) -> None:
    """Say that snapshots which the address names are not there any more."""
    named = {query(Query.OLDER_SNAPSHOT), query(Query.NEWER_SNAPSHOT)} - {"", _NONE}
    if named.difference(known):
        st.warning(
            _("It was deleted, or removed to make room for newer ones. Others are compared instead."),
            title=_("A snapshot in this link no longer exists"),
            icon=":material/auto_delete:",
        )


def _pair(snapshots: Sequence[SnapshotInfo]) -> tuple[str, str]:
    """Return the ids of the older and the newer snapshot: those in the address, else first and last of the newest run.

    Automatic ones are the default only where there are no others.
    """
    known = {info.id: info for info in snapshots}
    new = query(Query.NEWER_SNAPSHOT)
    if new not in known:
        new = next((info.id for info in snapshots if not info.automatic), snapshots[0].id)
    before = [info for info in snapshots if info.time < known[new].time]
    same = [info for info in before if info.run == known[new].run]
    same = [info for info in same if not info.automatic] or same
    older = [_NONE, *(info.id for info in before)]
    old = query(Query.OLDER_SNAPSHOT)
    if old not in older:
        old = same[-1].id if same else _NONE
    names = {_NONE: _("None: what the newer one holds")} | _names(snapshots)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        old = _choice(_("Older"), Query.OLDER_SNAPSHOT, {i: names[i] for i in older}, old)
        new = _choice(_("Newer"), Query.NEWER_SNAPSHOT, {i: names[i] for i in known}, new)
    return ("" if old == _NONE else old), new


def _names(snapshots: Sequence[SnapshotInfo]) -> dict[str, str]:
    """Return the label of each by id; unique, because a selection is identified by its label."""
    names: dict[str, str] = {}
    for info in reversed(snapshots):
        name, number = snapshot_label(info), 1
        while name in names.values():
            number += 1
            name = _("{label} ({number})").format(label=snapshot_label(info), number=number)
        names[info.id] = name
    return names


def _choice(title: str, parameter: Query, names: dict[str, str], chosen: str) -> str:
    """Draw the choice of one of `names`, by id; a new choice is stored in the address and redraws the page."""
    picked = st.selectbox(
        title,
        list(names),
        index=list(names).index(chosen),
        key=f"allocations-{parameter}-{chosen}",
        format_func=lambda choice: names[choice],
        width=340,
    )
    # Not in a callback: Streamlit also calls it when a widget reappears after an interrupted run.
    if picked is not None and picked != chosen:
        set_query(parameter, picked)
        st.rerun()
    return chosen


def _filters() -> tuple[GroupBy, TraceFilters]:
    names = {GroupBy.LINE: _("By line"), GroupBy.FILE: _("By file"), GroupBy.TRACEBACK: _("By traceback")}
    with st.container(horizontal=True, vertical_alignment="center"):
        by = st.segmented_control(
            _("Grouped"),
            list(GroupBy),
            key=Key.TRACING_BY,
            default=GroupBy.LINE,
            required=True,
            format_func=lambda choice: names[choice],
            label_visibility="collapsed",
        )
        ours = st.toggle(
            _("Millpond's code"),
            key=Key.TRACING_OURS,
            help=_(
                "Assigns each block to the most recent call in Millpond's own code; blocks without one are left out."
            ),
        )
        hidden = st.toggle(_("Without imports and tracing"), value=True, key=Key.TRACING_IMPORTS)
        watching = st.toggle(_("Include what watching holds"), key=Key.TRACING_WATCHING)
        # A suspect's name is "file:line" or "file:line, called by ...".
        text = st.text_input(
            _("Find by path"),
            value=query(Query.LINE).partition(",")[0],
            key=Key.TRACING_SEARCH,
            type="search",
            placeholder=_("Find by path"),
            label_visibility="collapsed",
            live=True,
            width=220,
        )
    return GroupBy(by or GroupBy.LINE), TraceFilters(
        ours=ours, hide_imports=hidden, text=(text or "").strip(), watching=watching
    )


def _totals(found: TraceComparison) -> None:
    holds = plural("{bytes} in {count} block", "{bytes} in {count} blocks", found.blocks, bytes=size(found.bytes))
    if found.old is None:
        st.caption(escape(_("Holds {holds}.").format(holds=holds)))
        return
    seconds = found.new.time - found.old.time
    st.caption(
        escape(
            _("{bytes}, {blocks} in blocks, in {seconds:.0f} s; the newer one holds {holds}.").format(
                bytes=signed_size(found.bytes_diff), blocks=f"{found.blocks_diff:+,}", seconds=seconds, holds=holds
            )
        )
    )


def _watching(found: TraceComparison, *, included: bool) -> None:
    """Draw what the watching of memory itself has allocated, in one line."""
    held = plural(
        "{bytes} in {count} block", "{bytes} in {count} blocks", found.watching_blocks, bytes=size(found.watching_bytes)
    )
    if found.old is not None:
        held = _("{change}, now {now}").format(change=signed_size(found.watching_bytes_diff), now=held)
    text = _("Watching: {held}, included below.") if included else _("Watching: {held}, left out below.")
    st.caption(escape(text.format(held=held)))


def _no_rows(found: TraceComparison, filters: TraceFilters) -> None:
    if filters.text or filters.ours:
        st.info(_("Change the filters to see more."), title=_("No matching rows"), icon=":material/search_off:")
    elif found.old is None:
        st.info(
            _("Nothing was allocated since tracing began."), title=_("The snapshot is empty"), icon=":material/inbox:"
        )
    else:
        st.success(_("The same lines hold the same bytes."), title=_("Nothing grew"), icon=":material/check_circle:")


def _chart_and_table(found: TraceComparison) -> ComparisonRow | None:
    with st.grid(2, min_column_width=_NARROWEST, gap="medium"):
        with st.container(gap="xsmall"):
            draw_chart(EncodedChart.of(changes_chart(found)), key="allocations-chart")
        with st.container(gap="xsmall"):
            return _table(found)


def _table(found: TraceComparison) -> ComparisonRow | None:
    import pandas as pd

    words = {
        RowChange.NEW: _("New"),
        RowChange.GROWN: _("Grown"),
        RowChange.SAME: _("Same"),
        RowChange.SHRUNK: _("Shrunk"),
        RowChange.GONE: _("Gone"),
    }
    colours = ["red", "orange", "gray", "green", "green"]
    rows = found.rows
    changed, now = size_unit([row.bytes_diff for row in rows]), size_unit([row.bytes for row in rows])
    values: dict[str, object] = {
        "change": [[words[row.change]] for row in rows],
        "where": [plain(place_text(row.place)) for row in rows],
        "bytes_diff": changed.column(row.bytes_diff for row in rows),
        "blocks_diff": [row.blocks_diff for row in rows],
        "bytes": now.column(row.bytes for row in rows),
        "source": [plain(row.source) for row in rows],
    }
    hidden = {"change", "bytes_diff", "blocks_diff"} if found.old is None else set()
    column = st.column_config
    st.markdown(f"**{_('Rows')}**" if found.row_count <= _ROWS else _shown(found))
    state = st.dataframe(
        pd.DataFrame({name: value for name, value in values.items() if name not in hidden}),
        key=f"allocations-rows-{found.new.id}-{found.old.id if found.old else ''}-{found.by}",
        hide_index=True,
        height=390,
        alt=_("Allocations"),
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [0]}},
        column_config={
            "change": column.MultiselectColumn(_("What"), options=list(words.values()), color=colours, width=72),
            "where": column.TextColumn(_("Where"), width=265),
            "bytes_diff": column.NumberColumn(
                _("Change, {unit}").format(unit=changed.name), format=changed.change, width=88
            ),
            "blocks_diff": column.NumberColumn(_("Blocks"), format="%+d", width=70),
            "bytes": column.NumberColumn(_("Now, {unit}").format(unit=now.name), format=now.number, width=76),
            "source": column.TextColumn(_("Line"), width=260),
        },
    )
    picked = state.selection.rows
    return rows[picked[0]] if picked and picked[0] < len(rows) else None


def _shown(found: TraceComparison) -> str:
    return "**" + _("The first {shown} rows of {count}").format(shown=_ROWS, count=count(found.row_count)) + "**"


def _exports(found: TraceComparison, filters: TraceFilters) -> None:
    parameters = {
        "new": found.new.id,
        "old": found.old.id if found.old else "",
        "by": found.by,
        "ours": str(filters.ours).lower(),
        "hide_imports": str(filters.hide_imports).lower(),
        "text": filters.text,
        "watching": str(filters.watching).lower(),
    }
    whole = f"./api/tracing/snapshots/{found.new.id}/profile?format="
    with st.container(horizontal=True, vertical_alignment="center"):
        for kind in ("csv", "json"):
            address = "./api/tracing/export?" + urlencode({**parameters, "format": kind})
            st.link_button(kind.upper(), address, icon=":material/download:", help=_("The rows as a file"))
        for form in ProfileFormat:
            st.link_button(
                form.value,
                f"{whole}{form.value}",
                icon=":material/download:",
                help=_("The whole newer snapshot, whatever the filters, as a profile in bytes for that program"),
            )
        st.caption(_("The chart's menu saves it as an image or an HTML page."), width="content")


def _flame_graph(tracer: Tracer, info: SnapshotInfo, filters: TraceFilters) -> None:
    """Draw the calls that hold memory in a snapshot, where callers were recorded."""
    if info.frames < 2 or info.damaged:
        return
    tree = tracer.call_tree(info.id, filters)
    if tree.nodes[0].bytes <= 0:
        return  # said above: no rows
    st.subheader(_("Which calls hold it"), anchor=False)
    st.caption(
        _(
            "All that passes the filters in the newer snapshot: the wider, the more bytes. A call stands below its "
            "caller, the oldest recorded calls at the top. Green is Millpond's code, blue are libraries; grey is the "
            "rest, and what is too small to be shown by itself. Click a call to see what it holds; click it again to "
            "go back."
        )
    )
    draw_chart(EncodedChart.of(flame_chart(tree, f"{info.id} {filters}")), key="allocations-flame-graph", titled=False)


def allocation_detail(tracer: Tracer, found: TraceComparison, row: ComparisonRow, filters: TraceFilters) -> None:
    """Draw the selected row: its change, its source, and up to five tracebacks, those that changed most first."""
    with st.container(border=True):
        st.markdown(f"**{escape(place_text(row.place))}**")
        now = plural("{bytes} in {count} block", "{bytes} in {count} blocks", row.blocks, bytes=size(row.bytes))
        if found.old is not None:
            now = _("{change}, now {now}").format(change=signed_size(row.bytes_diff), now=now)
        st.caption(escape(now))
        if found.by is GroupBy.TRACEBACK:
            _traceback(row)
            return
        if row.source:
            st.code(row.source, language="python")
        tracebacks = tracer.compare(
            found.old.id if found.old else "",
            found.new.id,
            GroupBy.TRACEBACK,
            TraceFilters(ours=filters.ours, hide_imports=filters.hide_imports, watching=filters.watching),
            limit=_MOST_TRACEBACKS,
            at=row.place,
        )
        if found.new.frames < 2:
            st.caption(_("Only the line itself was recorded. Trace with a greater depth to see its callers."))
            return
        st.caption(
            _("Tracebacks, most recent call last")
            if tracebacks.row_count <= _MOST_TRACEBACKS
            else _("The {shown} tracebacks, of {count}, that changed most, most recent call last").format(
                shown=_MOST_TRACEBACKS, count=tracebacks.row_count
            )
        )
        for traceback in tracebacks.rows:
            difference = signed_size(traceback.bytes_diff) if found.old else size(traceback.bytes)
            with st.expander(
                escape(f"{difference} · {place_text(traceback.frames[0])} … {place_text(traceback.place)}")
            ):
                _traceback(traceback)


def _traceback(row: ComparisonRow) -> None:
    """Draw a traceback as Python prints it."""
    sources = source_lines(row.frames)
    lines = []
    for place in row.frames:
        lines.append(place_text(place))
        if text := sources.get(place):
            lines.append(f"    {text}")
    st.code("\n".join(lines), language=None, wrap_lines=True)
