"""The collector's pauses: over time, as a histogram, and the longest with who was waiting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from console.boundary import guarded
from console.components.chart import Drawn, draw
from console.components.charts.pauses import histogram_chart, pauses_chart
from console.components.heartbeat import heartbeat
from console.components.local_time import moment
from console.components.memory_board import Shared
from services.memory.sampling.pauses import Pause
from services.memory.sampling.pausing import longest
from services.runtime import Runtime
from services.texts import _, plural
from services.wiring.waiting import API, Stopped, who_waited

_PERIOD_SECONDS = 3.0
_LONGEST = 20
_drawn: Shared[tuple[Drawn, Drawn]] = Shared(most=2)


@st.fragment
@guarded
def pauses_view(runtime: Runtime) -> None:
    """Draw the pauses and keep them fresh."""
    recent = runtime.memory.pauses.recent()
    if not recent:
        st.info(
            _("All threads stand still while the collector runs. It has not run since Millpond watches it."),
            title=_("No pause yet"),
            icon=":material/hourglass_top:",
        )
        heartbeat("collector-pauses", _PERIOD_SECONDS)
        return
    over_time, histogram = _drawn.get(id(runtime), _PERIOD_SECONDS / 2, lambda: _charts(runtime, recent))
    with st.grid(2, min_column_width=320, gap="medium"):
        with st.container(gap="xsmall"):
            draw(over_time, key="chart-pauses")
        with st.container(gap="xsmall"):
            draw(histogram, key="chart-pauses-histogram")
    st.caption(
        plural(
            "Over time: the last recorded pause; the histogram counts all since the start.",
            "Over time: the last {count} recorded pauses; the histogram counts all since the start.",
            len(recent),
        )
    )
    st.subheader(_("The longest, and who was waiting"), anchor=False)
    _table(
        who_waited(
            longest(recent, _LONGEST),
            runtime.requests.latest(),
            runtime.scopes.running(),
            speed=runtime.memory.clock.speed,
        )
    )
    heartbeat("collector-pauses", _PERIOD_SECONDS)


def _charts(runtime: Runtime, recent: Sequence[Pause]) -> tuple[Drawn, Drawn]:
    span = recent[0].time, max(runtime.memory.clock.time(), recent[0].time + 10.0)
    over_time = pauses_chart(recent, span)
    return Drawn.of(over_time), Drawn.of(histogram_chart(runtime.memory.pauses.bounds, runtime.memory.pauses.pauses()))


def _table(stopped: Sequence[Stopped]) -> None:
    import pandas as pd

    column = st.column_config
    st.dataframe(
        pd.DataFrame(
            {
                "time": [moment(one.pause.time) for one in stopped],
                "generation": [f"gen{one.pause.generation}" for one in stopped],
                "ms": [1000 * one.pause.seconds for one in stopped],
                "who": [waiting_words(one.waiting) for one in stopped],
                "asked": [one.pause.asked for one in stopped],
                "freed": [one.pause.collected for one in stopped],
                "uncollectable": [one.pause.uncollectable for one in stopped],
            }
        ),
        hide_index=True,
        alt=_("The longest pauses"),
        height="content",
        column_config={
            "time": column.DatetimeColumn(_("When"), format="YYYY-MM-DD HH:mm:ss", width=150),
            "generation": column.TextColumn(_("Generation"), width=90),
            "ms": column.NumberColumn(_("Pause, ms"), format="%.2f", width=90),
            "who": column.TextColumn(_("Who was waiting"), width=300),
            "asked": column.CheckboxColumn(_("Asked for"), width=80, help=_("Millpond or a person called for it")),
            "freed": column.NumberColumn(_("Objects freed"), format="localized", width=110),
            "uncollectable": column.NumberColumn(_("Could not be freed"), format="localized", width=130),
        },
    )


def waiting_words(waiting: Mapping[str, int]) -> str:
    """Return who was waiting, in words."""
    if not waiting:
        return _("nobody")
    words = {
        "PAGE": lambda n: plural("{count} page", "{count} pages", n),
        "ANSWER": lambda n: plural("{count} answer for a page", "{count} answers for pages", n),
        API: lambda n: plural("{count} request", "{count} requests", n),
        "answer": lambda n: plural("{count} answer under way", "{count} answers under way", n),
        "search": lambda n: plural("{count} search under way", "{count} searches under way", n),
        "upload": lambda n: plural("{count} upload under way", "{count} uploads under way", n),
        "look": lambda n: plural("{count} look under way", "{count} looks under way", n),
    }
    return ", ".join(words[kind](n) if kind in words else f"{n} {kind}" for kind, n in waiting.items())
