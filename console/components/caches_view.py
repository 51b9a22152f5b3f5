"""How our caches do: hit rates, what they hold of their budget."""

from __future__ import annotations

import streamlit as st

from console.boundary import guarded
from console.components.formatting import count, escape, size
from console.components.heartbeat import heartbeat
from services.caching import CacheFigures
from services.runtime import Runtime
from services.texts import _, plural

_PERIOD_SECONDS = 3.0


@st.fragment
@guarded
def caches_view(runtime: Runtime) -> None:
    """Draw the caches and keep them fresh."""
    st.subheader(_("Caches"), anchor=False)
    figures = runtime.caches.figures()
    on = [one for one in figures if one.budget]
    if not on:
        st.caption(_("All caches are switched off by the settings."))
    for one in on:
        filled = min(1.0, one.bytes / one.budget)
        st.progress(filled, f"**{escape(one.label)}** · {_words(one)}")
    heartbeat("caches", _PERIOD_SECONDS)


def _words(figures: CacheFigures) -> str:
    rate = figures.hit_rate
    parts = [
        _("{used} of {budget}").format(used=escape(size(figures.bytes)), budget=escape(size(figures.budget))),
        _("hit rate {rate:.0%}").format(rate=rate) if rate is not None else _("not asked yet"),
        plural("{count} hit", "{count} hits", figures.hits + figures.shared_hits),
        plural("{count} miss", "{count} misses", figures.misses),
    ]
    if figures.shared_hits:
        parts.append(_("{count} from the shared level").format(count=count(figures.shared_hits)))
    if figures.evicted:
        parts.append(_("{count} let go").format(count=count(figures.evicted)))
    return " · ".join(parts)
