"""One line, file or traceback: its source, and the calls that led there."""

from __future__ import annotations

import streamlit as st

from console.components.formatting import count, escape, signed_size, size
from services.memory.tracing.exporting import said
from services.memory.tracing.source import source_lines
from services.memory.tracing.tracer import Tracer
from services.memory.tracing.types import Comparison, Filters, GroupBy, Row
from services.texts import _

_WAYS = 5


def allocation_detail(tracer: Tracer, found: Comparison, row: Row, filters: Filters) -> None:
    """Draw the chosen row: how it changed, and up to five ways to it, those that changed most first."""
    with st.container(border=True):
        st.markdown(f"**{escape(said(row.place))}**")
        now = _("{bytes} in {blocks} blocks").format(bytes=size(row.bytes), blocks=count(row.blocks))
        if found.old is not None:
            now = _("{change}, now {now}").format(change=signed_size(row.bytes_diff), now=now)
        st.caption(escape(now))
        if found.by is GroupBy.TRACEBACK:
            _way(row)
            return
        if row.source:
            st.code(row.source, language="python")
        ways = tracer.compare(
            found.old.id if found.old else "",
            found.new.id,
            GroupBy.TRACEBACK,
            Filters(ours=filters.ours, hide_imports=filters.hide_imports),
            limit=_WAYS,
            at=row.place,
        )
        if found.new.frames < 2:
            st.caption(_("Only the line itself was remembered. Trace with more calls to see who called it."))
            return
        st.caption(
            _("Calls that led here, most recent last")
            if ways.row_count <= _WAYS
            else _("The {shown} of {count} ways here that changed most, most recent call last").format(
                shown=_WAYS, count=ways.row_count
            )
        )
        for way in ways.rows:
            difference = signed_size(way.bytes_diff) if found.old else size(way.bytes)
            with st.expander(escape(f"{difference} · {said(way.frames[0])} … {said(way.place)}")):
                _way(way)


def _way(row: Row) -> None:
    """Draw a traceback as Python prints it."""
    sources = source_lines(row.frames)
    lines = []
    for place in row.frames:
        lines.append(said(place))
        if text := sources.get(place):
            lines.append(f"    {text}")
    st.code("\n".join(lines), language=None, wrap_lines=True)
