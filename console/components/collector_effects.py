"""What actions did to the memory: the newest in full, those before it folded."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from console.boundary import guarded
from console.components.chart import Drawn, draw
from console.components.charts.effects import effect_chart
from console.components.formatting import ago, count, escape, milliseconds, signed_size, size
from console.components.heartbeat import heartbeat
from services.memory.effects import Effect
from services.runtime import Runtime
from services.texts import _

_PERIOD_SECONDS = 3.0
_SHOWN = 6


@st.fragment
@guarded
def effects_view(runtime: Runtime) -> None:
    """Draw what was done of late, by whomever, and keep it fresh."""
    found = runtime.memory.effects.latest()[:_SHOWN]
    st.subheader(_("What it did"), anchor=False)
    if not found:
        st.info(
            _("Collect, freeze or give something back: what that does to the memory is measured and shown here."),
            title=_("Nothing was done yet"),
            icon=":material/balance:",
        )
    else:
        st.caption(_("Measured on the whole process: what others did in the same moment is in it."))
    for place, effect in enumerate(found):
        if place == 0:
            with st.container(border=True, gap="small", key="effect-newest"):
                st.markdown(f"**{_headline(runtime, effect)}**")
                effect_view(effect, key=_key(effect))
        else:
            with st.expander(_headline(runtime, effect), key=f"effect-{_key(effect)}"):
                effect_view(effect, key=_key(effect))
    heartbeat("collector-effects", _PERIOD_SECONDS)


def effect_view(effect: Effect, *, key: str) -> None:
    """Draw one effect: its figures, and the owners that changed as bars to either side of zero."""
    figures = [
        (_("Pause") if effect.found is not None else _("It took"), milliseconds(1000 * effect.seconds)),
        (_("RSS before"), size(effect.rss_before)),
        (_("RSS after"), size(effect.rss_after)),
        (_("Change"), change(effect)),
    ]
    if effect.found is not None:
        figures.append((_("Objects found"), count(effect.found)))
    if effect.uncollectable is not None:
        figures.append((_("Uncollectable"), count(effect.uncollectable)))
    with st.grid(len(figures), min_column_width=112, gap="small"):
        for label, value in figures:
            st.metric(label, value, border=True)
    chart = effect_chart(effect)
    if chart is None:
        st.caption(_("No owner changed by more than the two looks themselves make."))
    else:
        st.caption(_("Owners that changed, MB before → after: to the left less than before, to the right more"))
        draw(Drawn.of(chart), key=f"chart-{key}", titled=False)


def effect_title(runtime: Runtime, effect: Effect) -> str:
    """Return what was done, as people call it."""
    own = {"collect": _("Collect"), "freeze": _("Freeze"), "unfreeze": _("Unfreeze")}
    return own.get(effect.action) or runtime.memory.reclaimers.label(effect.action)


def summary(runtime: Runtime, effect: Effect) -> str:
    """Return what was done and with what outcome, as plain text."""
    return ": ".join(word for word in (effect_title(runtime, effect), effect.detail) if word)


def change(effect: Effect) -> str:
    """Return what became of RSS."""
    grown = effect.rss_after - effect.rss_before
    return signed_size(grown) if grown else _("unchanged")


def when(runtime: Runtime, effect: Effect) -> str:
    """Return how long ago it was, by the clock of what watches."""
    now = datetime.fromtimestamp(runtime.memory.clock.time(), UTC)
    return ago(datetime.fromtimestamp(effect.time, UTC), now)


def _headline(runtime: Runtime, effect: Effect) -> str:
    rss = _("RSS {change}").format(change=change(effect))
    return " · ".join(escape(part) for part in (summary(runtime, effect), rss, when(runtime, effect), effect.actor))


def _key(effect: Effect) -> str:
    return f"{effect.action}-{effect.time:.3f}"
