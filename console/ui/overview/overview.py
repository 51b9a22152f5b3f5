"""Key figures, health checks, resources in memory, and caches with hit rates and use of their budget."""

from __future__ import annotations

import time

import streamlit as st

from console.ui.error_boundary import guarded
from console.ui.shared.formatting import count, escape, size
from console.ui.shared.heartbeat import heartbeat
from console.ui.streamlit.uploads import held_uploads
from services.app.container import Services
from services.core.cache import CacheStats
from services.core.i18n import _, plural
from services.core.units import MEGABYTE
from services.memory.process import rss_bytes

_PERIOD_SECONDS = 3.0


@st.fragment
@guarded
def overview_view(services: Services) -> None:
    """Draw figures, checks and resources, and keep them up to date."""
    _figures(services)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        st.subheader(_("Health"), anchor=False)
        _checks(services)
    with right:
        st.subheader(_("Shared resources in memory"), anchor=False)
        _resources(services)
    heartbeat("overview", _PERIOD_SECONDS)


def _figures(services: Services) -> None:
    counts = services.library.counts()
    running, waiting = services.answers.slots()
    figures = [
        (_("RSS"), size(rss_bytes())),
        (_("Documents"), count(counts.documents)),
        (_("Searchable documents"), count(counts.searchable)),
        (_("Chunks"), count(counts.chunks)),
        (_("Files on disk"), size(counts.bytes)),
        (_("Jobs running"), count(counts.jobs_unfinished)),
        (_("Jobs failed"), count(counts.jobs_failed)),
        (_("Answers in progress"), f"{running} + {waiting}" if waiting else str(running)),
    ]
    with st.grid(4, gap="small"):
        for label, value in figures:
            st.metric(label, value, border=True)


def _checks(services: Services) -> None:
    readiness = services.health.ready()
    rows = {
        f":green[:material/check_circle:] {escape(check.name)}"
        if check.ok
        else f":red[:material/error:] {escape(check.name)}": escape(check.detail) or " "
        for check in readiness.checks
    }
    st.table(rows, border="horizontal")
    minutes = int((time.time() - services.started_at) // 60)
    st.caption(plural("Running for {count} minute.", "Running for {count} minutes.", minutes))


def _resources(services: Services) -> None:
    import pandas as pd

    resources = services.resources()
    files, upload_bytes = held_uploads()
    rows = [(r.name, r.detail, r.bytes / MEGABYTE, r.loads) for r in resources]
    rows.append(
        (
            _("Uploads"),
            plural("{count} file not yet on disk", "{count} files not yet on disk", files),
            upload_bytes / MEGABYTE,
            0,
        )
    )
    name, detail, megabytes, loads = _("Component"), _("Detail"), _("MB"), _("Loaded")
    st.dataframe(
        pd.DataFrame(rows, columns=[name, detail, megabytes, loads]),
        hide_index=True,
        alt=_("Shared resources in memory"),
        column_config={
            name: st.column_config.TextColumn(width=140),
            detail: st.column_config.TextColumn(width=300),
            megabytes: st.column_config.NumberColumn(format="%.1f", width=80),
            loads: st.column_config.NumberColumn(format="%d", width=70, help=_("How often it was loaded")),
        },
    )


@st.fragment
@guarded
def caches_view(services: Services) -> None:
    """Draw the caches and keep them up to date."""
    st.subheader(_("Caches"), anchor=False)
    enabled = [stats for stats in services.caches.stats() if stats.budget]
    if not enabled:
        st.caption(_("All caches are disabled in the settings."))
    for stats in enabled:
        filled = min(1.0, stats.bytes / stats.budget)
        st.progress(filled, f"**{escape(stats.label)}** · {_summary(stats)}")
    heartbeat("caches", _PERIOD_SECONDS)


def _summary(stats: CacheStats) -> str:
    rate = stats.hit_rate
    parts = [
        _("{used} of {budget}").format(used=escape(size(stats.bytes)), budget=escape(size(stats.budget))),
        _("hit rate {rate:.0%}").format(rate=rate) if rate is not None else _("not used yet"),
        plural("{count} hit", "{count} hits", stats.hits),
        plural("{count} miss", "{count} misses", stats.misses),
    ]
    if stats.evicted:
        parts.append(_("{count} evicted").format(count=count(stats.evicted)))
    return " · ".join(parts)
