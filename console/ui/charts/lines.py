"""Line charts over time: Python and native memory, collections, threads, the machine, the GPU; growth per request."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from console.ui.charts.annotations import restart_shapes
from console.ui.charts.figure import (
    MOST_POINTS,
    Chart,
    Json,
    axis,
    known,
    line,
    moments,
    numbers,
    time_layout,
)
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.memory.types import Floats, Series, Window

LINE_POINTS = MOST_POINTS // 5
LINE_COLUMNS: tuple[str, ...] = (
    Series.RSS,
    Series.LIVE,
    Series.HEAP_USED,
    Series.PYTHON_USED,
    Series.TRACED,
    Series.GC_RUNS_0,
    Series.GC_RUNS_1,
    Series.GC_RUNS_2,
    Series.GC_PAUSE,
    Series.THREADS,
    Series.DESCRIPTORS,
    Series.SESSIONS,
    Series.CPU,
    Series.PRESSURE,
    Series.GROUP_USED,
    Series.GROUP_LIMIT,
    Series.AVAILABLE,
    Series.GPU_ALLOCATED,
    Series.GPU_RESERVED,
    Series.GPU_PEAK,
    Series.GPU_USED,
    Series.GPU_TOTAL,
    Series.REQUESTS,
)
_HEIGHT = 250
Span = tuple[float, float]


def use_chart(window: Window, *, span: Span, zoom: str = "") -> Chart:
    """Return RSS, the part in use, and the two allocators: Python's and the C library's."""
    curves = (
        (Series.RSS, _("RSS"), "rss"),
        (Series.LIVE, _("In use"), "first"),
        (Series.PYTHON_USED, pymalloc_label(), "python"),
        (Series.HEAP_USED, malloc_label(), "native"),
        (Series.TRACED, _("Traced"), "third"),
    )
    traces = [
        line(name, _values(window, series, per=MEGABYTE), shade, unit=_("MB"))
        for series, name, shade in curves
        if known(window.means.get(series)) and not (series is Series.TRACED and not _any(window, series))
    ]
    return _chart(
        ("use", _("Python and native memory")), window, traces, time_layout(_HEIGHT, _("MB"), span=span), zoom
    )


def pymalloc_label() -> str:
    """Return the name of what Python's own allocator has handed out: small objects, whoever owns them."""
    return _("pymalloc")


def malloc_label() -> str:
    """Return the name of what the C library's allocator has handed out, whoever owns it."""
    return _("malloc")


def collections_chart(window: Window, *, span: Span, zoom: str = "") -> Chart:
    """Return collections per minute by generation, and the share of time that they pause the process."""
    layout = time_layout(_HEIGHT, _("runs per minute"), span=span, second=_("% of time"))
    traces = [
        line(f"gen{generation}", numbers(60 * _rate(window, series)), shade, unit=_("per min"))
        for generation, (series, shade) in enumerate(
            ((Series.GC_RUNS_0, "fourth"), (Series.GC_RUNS_1, "second"), (Series.GC_RUNS_2, "first"))
        )
        if known(window.means.get(series))
    ]
    if known(window.means.get(Series.GC_PAUSE)):
        share = numbers(100 * _rate(window, Series.GC_PAUSE), digits=3)
        traces.append(line(_("Paused"), share, "limit", unit="%", dash="dot", second=True, digits=3))
    return _chart(("gc", _("Garbage collection")), window, traces, layout, zoom)


def counts_chart(window: Window, *, span: Span, zoom: str = "") -> Chart:
    """Return threads, file descriptors and browser tabs."""
    curves = (
        (Series.THREADS, _("Threads"), "first"),
        (Series.DESCRIPTORS, _("File descriptors"), "second"),
        (Series.SESSIONS, _("Browser tabs"), "third"),
    )
    traces = [
        line(name, _values(window, series), shade, unit="", digits=0)
        for series, name, shade in curves
        if known(window.means.get(series))
    ]
    return _chart(
        ("counts", _("Threads and descriptors")), window, traces, time_layout(_HEIGHT, _("count"), span=span), zoom
    )


def machine_chart(window: Window, *, span: Span, zoom: str = "") -> Chart | None:
    """Return the machine's free memory, the cgroup's use and limit, memory pressure and CPU; None if none is known."""
    layout = time_layout(_HEIGHT, _("MB"), span=span, second=_("%"))
    curves = (
        (Series.AVAILABLE, _("Available"), "fourth", "solid"),
        (Series.GROUP_USED, _("Group use"), "first", "solid"),
        (Series.GROUP_LIMIT, _("Group limit"), "limit", "dot"),
    )
    traces = [
        line(name, _values(window, series, per=MEGABYTE), shade, unit=_("MB"), dash=dash, digits=0)
        for series, name, shade, dash in curves
        if known(window.means.get(series))
    ]
    shares = ((Series.PRESSURE, _("Pressure"), "third"), (Series.CPU, _("CPU"), "quiet"))
    traces += [
        line(name, _values(window, series, per=0.01), shade, unit="%", width=1.2, second=True)
        for series, name, shade in shares
        if known(window.means.get(series))
    ]
    return _chart(("machine", _("The machine")), window, traces, layout, zoom) if traces else None


def gpu_chart(window: Window, *, span: Span, zoom: str = "") -> Chart | None:
    """Return the memory used by torch and by the whole device; None without a GPU."""
    curves = (
        (Series.GPU_ALLOCATED, _("Allocated"), "first", "solid"),
        (Series.GPU_RESERVED, _("Reserved"), "second", "solid"),
        (Series.GPU_PEAK, _("Peak"), "peak", "dot"),
        (Series.GPU_USED, _("Device in use"), "fourth", "solid"),
        (Series.GPU_TOTAL, _("Device total"), "limit", "dot"),
    )
    traces = [
        line(name, _values(window, series, per=MEGABYTE), shade, unit=_("MB"), dash=dash, digits=0)
        for series, name, shade, dash in curves
        if known(window.means.get(series))
    ]
    layout = time_layout(_HEIGHT, _("MB"), span=span)
    return _chart(("gpu", _("GPU")), window, traces, layout, zoom) if traces else None


def requests_chart(window: Window, *, per_request: float | None = None) -> Chart | None:
    """Return bytes in use against requests served in the newest run, whose slope is growth per request.

    None if there are too few. `per_request` is the detector's slope in bytes, drawn through the median point.
    """
    if not len(window) or not known(window.means.get(Series.REQUESTS)):
        return None
    series = Series.LIVE if known(window.means.get(Series.LIVE)) else Series.RSS
    served, held = window.means[Series.REQUESTS], window.means[series]
    mine = (window.runs == window.runs[-1]) & np.isfinite(served) & np.isfinite(held)
    served, held = served[mine], held[mine]
    if len(served) < 2 or served[-1] - served[0] < 2:
        return None
    layout = time_layout(_HEIGHT, _("MB"), span=(0.0, 0.0))
    del layout["yaxis"]["rangemode"]
    layout["xaxis"] = axis(_("requests served"))
    layout["hovermode"] = "closest"
    layout["margin"]["b"] = 40
    points: Json = {
        "type": "scatter",
        "mode": "markers+lines",
        "name": _("In use") if series is Series.LIVE else _("RSS"),
        "x": numbers(served, digits=0),
        "y": numbers(held, per=MEGABYTE),
        "line": {"color": "$first", "width": 1},
        "marker": {"color": "$first", "size": 3},
        "hovertemplate": "%{x:,.0f}: %{y:,.1f} " + _("MB") + "<extra></extra>",
    }
    traces = [points]
    if per_request is not None:
        middle, level = float(np.median(served)), float(np.median(held))
        ends = [float(served[0]), float(served[-1])]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": _("{size} KB per request").format(size=f"{per_request / 1024:+,.1f}"),
                "x": ends,
                "y": [round((level + per_request * (end - middle)) / MEGABYTE, 2) for end in ends],
                "line": {"color": "$limit", "width": 1.6, "dash": "dash"},
                "hoverinfo": "skip",
            }
        )
    return Chart("requests", _("Growth per request"), tuple(traces), layout, (), "", str(window.runs[-1]))


def _chart(names: tuple[str, str], window: Window, traces: list[Json], layout: Json, zoom: str) -> Chart:
    name, title = names
    layout["shapes"] = [{**shape, "label": {"text": ""}} for shape in restart_shapes(window)]
    return Chart(name, title, tuple(traces), layout, moments(window.times), zoom)


def _values(window: Window, series: Series, *, per: float = 1.0) -> list[float | None]:
    return _broken(window, numbers(window.means[series], per=per))


def _broken(window: Window, values: list[float | None]) -> list[float | None]:
    """Return values without the last one before each restart, so that the line breaks there."""
    for i in np.flatnonzero(window.runs[1:] != window.runs[:-1]).tolist():
        values[i] = None
    return values


def _any(window: Window, series: Series) -> bool:
    return bool(np.nan_to_num(window.means[series]).any())


def _rate(window: Window, series: Series) -> Floats:
    """Return the increase per second of a counter since the previous point; NaN at the first point of a run."""
    values = window.means[series]
    rate: Floats = np.full(len(values), np.nan)
    if len(values) > 1:
        passed = np.diff(window.times)
        same = (np.diff(window.runs) == 0) & (passed > 0)
        rise = np.diff(values)
        rate[1:][same] = np.maximum(rise[same], 0.0) / passed[same]
    return rate


Builder = Callable[..., Chart | None]
TIME_CHARTS: tuple[Builder, ...] = (use_chart, collections_chart, counts_chart, machine_chart, gpu_chart)
