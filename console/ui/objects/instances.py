"""Instances of a type, and the retention paths of the selected one as a graph and as text."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import streamlit as st

from console.ui.charts.palette import owner_name
from console.ui.error_boundary import show_error
from console.ui.objects.retention_graph import retention_dot
from console.ui.session_state import Key, ObjectsState, Query, query, query_number, set_query, state_of
from console.ui.shared.exports import export_buttons
from console.ui.shared.formatting import count, escape, milliseconds, plain, size, size_unit
from services.core.errors import ErrorKind, MillpondError, NotFoundError
from services.core.i18n import _, plural
from services.memory.objects.inspector import Inspector
from services.memory.objects.types import (
    Instances,
    ObjectIdentity,
    ObjectView,
    PathRoot,
    PathStep,
    RetentionPaths,
)


def instances_view(inspector: Inspector) -> None:
    """Draw instances of the type in the address bar, and the retention paths of the object in it."""
    kind, address = query(Query.TYPE), query_number(Query.OBJECT)
    if not kind:
        return
    st.divider()
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(escape(kind), anchor=False, width="stretch")
        with st.container(horizontal=True, width="content"):
            st.button(_("Refresh"), key="objects-again", icon=":material/refresh:", on_click=_discard)
            st.button(_("Close"), key="objects-close", icon=":material/close:", type="tertiary", on_click=_close)
    if query(Query.VIEW) != "containers" and not query(Query.CONTAINER):
        _instances(inspector, kind)
    if address is not None:
        _holders(inspector, address, kind)


def _instances(inspector: Inspector, kind: str) -> None:
    state = state_of(ObjectsState)
    since, watching = query(Query.SINCE), bool(st.session_state.get(Key.OBJECTS_WATCHING))
    if state.instances is None or state.asked != (kind, since, watching):
        try:
            with st.spinner(_("Searching for objects of this type in a copy of the process")):
                state.instances = inspector.instances(kind, since=since, watching=watching)
        except MillpondError as error:
            show_error(error)
            return
        state.asked = kind, since, watching
    found = state.instances
    if not found.objects:
        st.info(
            _("None is newer than the snapshot it is compared with.") if since else _("None is alive now."),
            title=_("No such object"),
            icon=":material/search_off:",
        )
        return
    _table(found)
    summary = (
        plural("{count} object since the snapshot", "{count} objects since the snapshot", found.total)
        if since
        else plural("{count} object", "{count} objects", found.total)
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            _("{objects}, the largest are shown; paused for {pause}. Select one to see what holds it.").format(
                objects=summary, pause=milliseconds(found.paused * 1000)
            )
        )
        export_buttons([asdict(entry) for entry in found.objects], "objects")


def _table(found: Instances) -> None:
    import pandas as pd

    column = st.column_config
    own, deep = size_unit([entry.bytes for entry in found.objects]), size_unit([o.deep_bytes for o in found.objects])
    rows = [
        {
            "text": plain(entry.text),
            "bytes": own.of(entry.bytes),
            "deep": deep.text(entry.deep_bytes)
            if entry.deep_complete
            else _("over {size}").format(size=deep.text(entry.deep_bytes)),
            "age": entry.age,
            "owner": owner_name(entry.owner),
            "name": plain(entry.name),
        }
        for entry in found.objects
    ]
    addresses = [entry.address for entry in found.objects]
    listed = [(entry.address, entry.evidence) for entry in found.objects]
    key = f"objects-instances-{hash(tuple(addresses)) & 0xFFFFFFFF:08x}"
    chosen = query_number(Query.OBJECT)
    st.dataframe(
        pd.DataFrame(rows),
        key=key,
        hide_index=True,
        placeholder="–",
        height="content" if len(rows) <= 10 else 390,
        alt=_("Objects"),
        on_select=partial(_store_selection, key, listed),
        selection_mode="single-row",
        selection_default={"selection": {"rows": [addresses.index(chosen)] if chosen in addresses else []}},
        column_config={
            "text": column.TextColumn(_("Object"), width=420),
            "bytes": column.NumberColumn(_("Own size, {unit}").format(unit=own.name), format=own.number, width=90),
            "deep": column.TextColumn(_("Deep size"), width=130, help=_("With everything it refers to")),
            "age": column.NumberColumn(
                _("Age"), width=55, help=_("The number of latest snapshots in a row that contain it")
            ),
            "owner": column.TextColumn(_("Owner"), width=120),
            "name": column.TextColumn(_("Held as"), width=380),
        },
    )


def _store_selection(key: str, listed: list[tuple[int, str]]) -> None:
    rows = st.session_state[key].selection.rows
    address, evidence = listed[rows[0]] if rows else (None, None)
    set_query(Query.OBJECT, address)
    set_query(Query.EVIDENCE, evidence)
    state_of(ObjectsState).holders = None


def _holders(inspector: Inspector, address: int, kind: str) -> None:
    state = state_of(ObjectsState)
    evidence = query(Query.EVIDENCE)
    if state.holders is None or state.listed != (address, evidence):
        try:
            with st.spinner(_("Searching for what holds it in a copy of the process")):
                state.holders = inspector.retention_paths(address, kind, evidence)
            state.listed = address, evidence
        except NotFoundError as error:
            st.warning(escape(error.hint), title=escape(error.message), icon=":material/delete_sweep:")
            return
        except MillpondError as error:
            if error.kind is ErrorKind.BUSY:
                st.info(escape(error.hint), title=escape(error.message), icon=":material/hourglass:")
                return
            show_error(error)
            return
    _graph(state.holders)


def _graph(holders: RetentionPaths) -> None:
    found = holders.found
    st.markdown(
        _("Owner: **{owner}**, through {part}. {root}").format(
            owner=escape(owner_name(found.owner)),
            part=f"`{plain(found.part).replace('`', '')}`",
            root=root_text(holders.root),
        )
    )
    if known := identity_text(holders.identity):
        st.caption(known)
    _sizes(found, holders)
    dark = st.context.theme.type == "dark"
    with st.container(horizontal_alignment="left", key="objects-graph"):
        st.graphviz_chart(
            retention_dot(holders, dark=dark),
            width="content",
            alt=_("Graph of what holds the object: {path}").format(path=found.name),
        )
    st.code(path_text(holders), language=None, wrap_lines=True)
    _facts(found, holders)


def _sizes(found: ObjectView, holders: RetentionPaths) -> None:
    retained = holders.retained
    at_least = _("at least {size}")
    figures = [
        (_("Own size"), size(found.bytes), _("Without what it refers to")),
        (
            _("Retained size"),
            size(retained.bytes) if retained.complete else at_least.format(size=size(retained.bytes)),
            plural(
                "What would be freed if it went: {count} object that nothing else keeps alive",
                "What would be freed if it went: {count} objects that nothing else keeps alive",
                retained.objects,
            ),
        ),
        (
            _("Deep size"),
            size(found.deep_bytes) if found.deep_complete else at_least.format(size=size(found.deep_bytes)),
            _("With everything it refers to"),
        ),
    ]
    with st.grid(3, min_column_width=140, gap="small", key="object-sizes"):
        for label, value, note in figures:
            st.metric(label, value, border=True, help=note)
    if not retained.complete:
        st.caption(
            _("It reaches more than is followed (at most {count} objects, for {seconds} s): more may be freed.").format(
                count=count(retained.most_objects), seconds=f"{retained.most_seconds:g}"
            )
        )


def _facts(found: ObjectView, holders: RetentionPaths) -> None:
    referrers = plural("{count} object refers to it", "{count} objects refer to it", holders.referrers)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            _("{referrers}. The search took {took}.").format(
                referrers=referrers, took=milliseconds(holders.took * 1000)
            )
        )
        export_buttons([asdict(step) for step in holders.path], "path")
    st.code(plain(found.text), language=None, wrap_lines=True)


def _discard() -> None:
    state = state_of(ObjectsState)
    state.instances = state.holders = None


def _close() -> None:
    _discard()
    for name in (Query.TYPE, Query.OBJECT, Query.EVIDENCE, Query.CONTAINER):
        set_query(name, None)


def path_text(holders: RetentionPaths) -> str:
    """Return the shortest path as lines, one per reference."""
    return "\n".join(_line(depth, step) for depth, step in enumerate(holders.path))


def _line(depth: int, step: PathStep) -> str:
    name = plain(step.name)
    return f"{'  ' * depth}{plain(step.label)}  →  {name}" if depth else name


def identity_text(identity: ObjectIdentity) -> str:
    """Return a sentence where an object is not certainly the one that was listed, else ""."""
    return {
        ObjectIdentity.SAME: "",
        ObjectIdentity.UNCHANGED: _(
            "Nothing but its address, type and content identify it: they are those of the list."
        ),
        ObjectIdentity.CHANGED: _(
            "It is held at the same place as the one that was listed, but its content has changed since."
        ),
        ObjectIdentity.UNCHECKED: _("The link does not say which object it means: this one is at its address now."),
    }[identity]


def root_text(root: PathRoot) -> str:
    """Return a sentence about the root of a path."""
    return {
        PathRoot.MODULE: _("Reachable from a module: it lives until that name drops it."),
        PathRoot.THREAD: _("Reachable from a local variable of a running function: it lives until that returns."),
        PathRoot.NATIVE: _(
            "No Python object that can be followed holds it: native code does, or an expression being evaluated."
        ),
        PathRoot.CYCLE: _(
            "Part of a cycle that nothing else refers to: the next collection frees it, unless native code holds it."
        ),
    }[root]
