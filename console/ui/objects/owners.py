"""pympler on demand: the deep size of one component, and a summary of all objects; the cost is shown beforehand."""

from __future__ import annotations

import streamlit as st

from console.ui.objects.toolbar import cost_text
from console.ui.session_state import ObjectsState, state_of
from console.ui.shared.exports import export_buttons
from console.ui.shared.formatting import escape, milliseconds, plain, size, size_unit
from services.core.i18n import _, plural
from services.memory.objects.inspector import Inspector
from services.memory.objects.types import DeepSize, HeapSummary


def owners_view(inspector: Inspector) -> None:
    """Draw deep size and summary side by side."""
    state = state_of(ObjectsState)
    seconds = inspector.expected_pympler_seconds()
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader(_("Deep size of a component"), anchor=False)
        _deep(inspector, state)
    with right:
        st.subheader(_("Summary by pympler"), anchor=False)
        st.caption(
            _("{cost} It takes about {seconds:.0f} s there.").format(cost=cost_text(_("The count")), seconds=seconds)
        )
        if st.button(_("Create the summary"), key="objects-summary", icon=":material/summarize:"):
            with st.spinner(_("Counting in a copy of the process")):
                state.summary = inspector.summary()
        if state.summary is None:
            st.info(_("It lists types as pympler counts them."), title=_("No summary yet"), icon=":material/summarize:")
        else:
            _summary(state.summary)


def _deep(inspector: Inspector, state: ObjectsState) -> None:
    owners = inspector.owners
    st.caption(
        _("{cost} asizeof follows every reference, for milliseconds to minutes; it is stopped after 180 s.").format(
            cost=cost_text(_("The measurement"))
        )
    )
    if not owners:
        st.info(_("Components appear when Millpond has started."), title=_("Nothing to measure yet"))
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        owner = st.selectbox(
            _("Component"), list(owners), format_func=lambda name: owners[name], key="objects-owner", width=260
        )
        pressed = st.button(_("Measure"), key="objects-measure", icon=":material/straighten:")
    if pressed and owner:
        with st.spinner(_("Measuring in a copy of the process")):
            state.size = inspector.deep_size(owner)
    if state.size is None:
        st.info(
            _("Choose a component: its memory is added up by attribute. Native memory is not included."),
            title=_("Not measured yet"),
            icon=":material/straighten:",
        )
        return
    _parts(state.size)


def _parts(found: DeepSize) -> None:
    import pandas as pd

    st.markdown(
        _("**{owner}: {size}** in Python objects, {took} in the copy, paused for {pause}").format(
            owner=escape(found.owner),
            size=escape(size(found.bytes)),
            took=milliseconds(found.took * 1000),
            pause=milliseconds(found.paused * 1000),
        )
    )
    rows = [{"attribute": plain(name), "bytes": part} for name, part in found.parts]
    sizes = [part for _name, part in found.parts]
    unit = size_unit(sizes)
    st.dataframe(
        pd.DataFrame({"attribute": [row["attribute"] for row in rows], "bytes": unit.column(sizes)}),
        hide_index=True,
        placeholder="–",
        alt=_("Deep size by attribute"),
        column_config={
            "attribute": st.column_config.TextColumn(_("Attribute"), width=260),
            "bytes": st.column_config.NumberColumn(unit.name, format=unit.number, width=100),
        },
    )
    if found.failed:
        st.caption(
            _("pympler failed at: {names}. References were followed instead.").format(
                names=escape(", ".join(found.failed))
            )
        )
    st.caption(_("Objects that several attributes share count for the first of them."))
    export_buttons(rows, "deep-size")


def _summary(found: HeapSummary) -> None:
    import pandas as pd

    rows = [{"type": plain(name), "count": number, "bytes": part} for name, number, part in found.rows]
    sizes = [part for _name, _number, part in found.rows]
    unit = size_unit(sizes)
    st.dataframe(
        pd.DataFrame(
            {
                "type": [row["type"] for row in rows],
                "count": [row["count"] for row in rows],
                "bytes": unit.column(sizes),
            }
        ),
        hide_index=True,
        placeholder="–",
        height=420,
        alt=_("Summary by pympler"),
        column_config={
            "type": st.column_config.TextColumn(_("Type"), width=260),
            "count": st.column_config.NumberColumn(_("Objects"), format="localized", width=100),
            "bytes": st.column_config.NumberColumn(unit.name, format=unit.number, width=100),
        },
    )
    st.caption(
        plural(
            "{count} type, {took} in the copy, paused for {pause}",
            "{count} types, {took} in the copy, paused for {pause}",
            len(rows),
            took=milliseconds(found.took * 1000),
            pause=milliseconds(found.paused * 1000),
        )
    )
    export_buttons(rows, "summary")
