"""A Plotly chart that stays calm: redrawn in place, keeps its zoom, follows the theme, zooms with its neighbours.

`st.plotly_chart` makes another element of every new figure, which loses the zoom and flickers, and checks each figure
again for each tab. Here the finished bytes of a chart go to the browser, where Plotly redraws what has changed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import streamlit as st

from console.components.charts.figure import Chart
from console.components.formatting import escape
from console.scripts import chart_url

_JS = """
const module = import(new URL({address}, document.baseURI))
export default function ({{ data, parentElement }}) {{
  module.then(({{ show }}) => show(parentElement, data))
  return () => module.then(({{ leave }}) => leave(parentElement))
}}
"""

_component = st.components.v2.component(
    "millpond_chart", js=_JS.format(address=json.dumps(chart_url())), isolate_styles=False
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart that is ready to be sent: made once, for all tabs."""

    title: str
    height: int
    points: int
    encoded: bytes

    @classmethod
    def of(cls, chart: Chart) -> Drawn:
        """Return `chart`, ready."""
        return cls(chart.title, chart.height, chart.points, chart.encoded())


def draw(drawn: Drawn, *, key: str, titled: bool = True) -> None:
    """Draw a chart under its title; the same `key` redraws it in place."""
    if titled:
        st.markdown(f"**{escape(drawn.title)}**")
    _component(key=key, data=drawn.encoded, height=drawn.height)
