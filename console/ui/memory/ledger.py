"""The newest ledger: owners with their shares, memory reports by name, and what this system cannot measure."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from console.ui.charts.chart import EncodedChart, draw_chart
from console.ui.charts.palette import owner_name
from console.ui.error_boundary import guarded
from console.ui.memory.charts import encoded_owners_chart
from console.ui.memory.sections import MemorySection
from console.ui.memory.verdict import ShownMemory
from console.ui.session_state import Key
from console.ui.shared.formatting import escape, milliseconds, plain, signed_size, size, size_unit, time_of_day
from console.ui.shared.heartbeat import heartbeat
from services.app.container import Services
from services.core.i18n import _, listed
from services.core.memory_report import MemoryReport, Region
from services.memory.ledger.ledger import Ledger

_PERIOD_SECONDS = 5.0
_MOST_ROWS = 200


@st.fragment
@guarded
def ledger_view(services: Services) -> None:
    """Draw the newest ledger and keep it up to date."""
    shown = services.memory.snapshot()
    ledger = shown.ledger if shown is not None else None
    drawn = encoded_owners_chart(services, ledger) if ledger is not None else None
    st.subheader(_("The ledger now"), anchor=MemorySection.LEDGER)
    if shown is None or ledger is None or drawn is None:
        st.info(
            _("The first one follows within half a minute of the start."),
            title=_("No ledger yet"),
            icon=":material/hourglass_top:",
        )
        heartbeat("memory-ledger", 1.0)
        return
    draw_ledger(shown, ledger, drawn, key="chart-owners")
    heartbeat("memory-ledger", 0.0 if st.session_state.get(Key.MEMORY_PAUSE) else _PERIOD_SECONDS)


def draw_ledger(shown: ShownMemory, ledger: Ledger, drawn: EncodedChart, *, key: str) -> None:
    """Draw a ledger: when it was made, its owners as the chart `drawn` by the name `key`, and the memory reports."""
    st.caption(
        _(
            "Every byte of RSS at {moment} ({then}) assigned to one owner, in {took}. RSS at {time}: {now}, "
            "{change} since."
        ).format(
            moment=time_of_day(ledger.time),
            then=escape(size(ledger.rss)),
            took=milliseconds(1000 * ledger.took),
            time=time_of_day(shown.time),
            now=escape(size(shown.rss)),
            change=escape(signed_size(shown.rss - ledger.rss)),
        )
    )
    left, right = st.columns(2, gap="medium")
    with left:
        draw_chart(drawn, key=key, titled=False)
    with right:
        _held(ledger)
        _unknown(ledger.unknown)


def _held(ledger: Ledger) -> None:
    import pandas as pd

    held = sorted(ledger.held, key=lambda resource: resource.bytes, reverse=True)
    if not held:
        st.caption(_("No memory reports yet."))
        return
    column = st.column_config
    unit = size_unit([resource.bytes for resource in held[:_MOST_ROWS]])
    frame = pd.DataFrame(
        {
            "what": [plain(resource.name) for resource in held[:_MOST_ROWS]],
            "detail": [_detail(resource) for resource in held[:_MOST_ROWS]],
            "owner": [owner_name(resource.owner) for resource in held[:_MOST_ROWS]],
            "bytes": unit.column(resource.bytes for resource in held[:_MOST_ROWS]),
            "loads": [resource.loads for resource in held[:_MOST_ROWS]],
        }
    )
    st.dataframe(
        frame,
        hide_index=True,
        alt=_("Memory reports"),
        height="content" if len(held) <= 12 else 460,
        column_config={
            "what": column.TextColumn(_("Component"), width=130),
            "detail": column.TextColumn(_("Detail"), width=200),
            "owner": column.TextColumn(_("Owner"), width=110),
            "bytes": column.NumberColumn(unit.name, format=unit.number, width=70),
            "loads": column.NumberColumn(_("Loaded"), format="%d", width=62, help=_("How often it was loaded")),
        },
    )
    if len(held) > _MOST_ROWS:
        st.caption(_("{count} smaller ones are not shown.").format(count=len(held) - _MOST_ROWS))


def _detail(resource: MemoryReport) -> str:
    parts = [resource.detail, *(f"{name}: {value}" for name, value in resource.attributes.items())]
    if resource.region is Region.ELSEWHERE:
        parts.append(_("not in RSS"))
    return plain(listed(part for part in parts if part))


def _unknown(unknown: Sequence[str]) -> None:
    if unknown:
        st.info(
            "\n".join(f"- {escape(line)}" for line in unknown),
            title=_("What this system cannot measure"),
            icon=":material/help:",
        )
