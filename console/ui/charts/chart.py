"""The Plotly component of live charts: redrawn in place, keeps its zoom, follows the theme, zooms with its neighbours.

`st.plotly_chart` replaces the element for each new figure, which loses the zoom and flickers, and validates each figure
again for each tab. Here a chart's encoded bytes go to the browser, where Plotly redraws what changed.

The scripts are served from here: Plotly's from the installed package, and `chart.js` with `head.js`. Streamlit sends a
component's code along with every change of its data, so the component is a few lines that import `chart.js`. The
addresses contain the version or a digest, so browsers may cache the scripts for good.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import streamlit as st
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from console.ui.charts.figure import Chart
from console.ui.charts.palette import PALETTE
from services.core.i18n import _, speaking
from services.core.languages import LANGUAGES, PSEUDO, language_tag

PLOTLY_URL = f"/assets/plotly-{version('plotly')}.min.js"
CHART_URL = "/assets/chart-{digest}.js"
_FOLDER = Path(__file__).parent
HEAD_HEIGHT = 28  # pixels: title and tools, as in chart.css
_HEADERS = {"Cache-Control": f"public, max-age={365 * 24 * 3600}, immutable"}
_JS = """
const module = import(new URL("." + {address}, document.baseURI))
export default function ({{ data, parentElement, setTriggerValue }}) {{
  module.then(({{ show }}) => show(parentElement, data, setTriggerValue))
  return () => module.then(({{ leave }}) => leave(parentElement))
}}
"""


def plotly_script() -> Path:
    """Return the path of Plotly's script, without importing the package."""
    found = find_spec("plotly")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("plotly")
    return Path(found.submodule_search_locations[0]) / "package_data" / "plotly.min.js"


@cache
def chart_script() -> str:
    """Return `chart.js` and `head.js` with their colours and styles, and their texts in every language: the page's own
    says which.
    """
    words = {}
    for name in (*LANGUAGES, PSEUDO):
        with speaking(name):
            words[language_tag(name)] = {
                "zoomedTo": _("Zoomed: {start} to {end}"),
                "zoomed": _("Zoomed"),
                "whole": _("Show all"),
                "more": _("Show {count} more"),
                "fewer": _("Fewer"),
                "picture": _("Save as an image"),
                "page": _("Save as a self-contained HTML page"),
                "missing": _("Plotly could not be loaded. Reload the page."),
            }
    # Relative to the page: the console may lie under a path of its own.
    head, chart, style = ((_FOLDER / name).read_text(encoding="utf-8") for name in ("head.js", "chart.js", "chart.css"))
    constants = {"SCRIPT": f".{PLOTLY_URL}", "PALETTE": PALETTE, "WORDS": words, "STYLE": style}
    named = "".join(f"const {name} = {json.dumps(value)}\n" for name, value in constants.items())
    return named + head + chart


@cache
def chart_url() -> str:
    """Return the address of `chart.js`."""
    return CHART_URL.format(digest=hashlib.sha256(chart_script().encode()).hexdigest()[:16])


def routes() -> list[Route]:
    """Return the routes of both scripts."""

    async def plotly(_request: Request) -> Response:
        return FileResponse(plotly_script(), media_type="text/javascript", headers=_HEADERS)

    async def chart(_request: Request) -> Response:
        return Response(chart_script(), media_type="text/javascript", headers=_HEADERS)

    return [
        Route(PLOTLY_URL, endpoint=plotly, include_in_schema=False),
        Route(CHART_URL.format(digest="{digest}"), endpoint=chart, include_in_schema=False),
    ]


_component = st.components.v2.component(
    "millpond_chart", js=_JS.format(address=json.dumps(chart_url())), isolate_styles=False
)


@dataclass(frozen=True, slots=True)
class EncodedChart:
    """A chart encoded for the browser, once for all tabs."""

    title: str
    height: int
    points: int
    tools: bool
    encoded: bytes

    @classmethod
    def of(cls, chart: Chart) -> EncodedChart:
        """Return `chart`, encoded."""
        return cls(chart.title, chart.height, chart.points, chart.tools, chart.encoded())


def draw_chart(drawn: EncodedChart, *, key: str, titled: bool = True) -> object:
    """Draw a chart below its title and tools; the same `key` redraws it in place.

    Returns what the event stands for whose mark was clicked just now (`figure.EVENTS`), else None.
    """
    # Added here: the encoded bytes are shared by all who draw it.
    data = drawn.encoded if titled else drawn.encoded[:-1] + b',"titled":false}'
    height = drawn.height + (HEAD_HEIGHT if titled or drawn.tools else 0)
    told = _component(key=key, data=data[:-1] + b',"height":%d}' % height, height=height, on_event_change=_ignore)
    return told.event


def _ignore() -> None:
    """Do nothing: the value is read where the chart is drawn."""
