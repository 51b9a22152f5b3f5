"""The collector's status in one sentence and a few figures."""

from __future__ import annotations

import streamlit as st

from console.ui.error_boundary import guarded, rerun_for_notices
from console.ui.shared.formatting import count, escape, milliseconds, minutes
from console.ui.shared.heartbeat import heartbeat
from services.app.container import Services
from services.core.i18n import _
from services.memory.gc.types import GCState, Trial
from services.memory.sampling.gc_pauses import summarize_recent

_PERIOD_SECONDS = 3.0
_FIGURES_SECONDS = 300.0


@st.fragment
@guarded
def status_view(services: Services) -> None:
    """Draw the status and keep it up to date."""
    rerun_for_notices()
    collector = services.memory.collector
    state = collector.state()
    with st.container(border=True, gap="xsmall", key="collector-state"):
        st.markdown(f"#### {_mark(state)} {escape(state_sentence(state))}")
        if (trial := collector.trial) is not None:
            left = max(0.0, trial.until - services.memory.clock.time())
            st.caption(escape(_("Trial in progress; reverts automatically in {time}.").format(time=minutes(left))))
        elif state.kept is not None and state.kept != state.settings:
            st.caption(_("Not kept: a restart restores the kept settings."))
        if state.frozen:
            st.caption(_("{count} objects are frozen: the collector ignores them.").format(count=count(state.frozen)))
    _figures(services, state)
    heartbeat("collector-head", _PERIOD_SECONDS)


def _mark(state: GCState) -> str:
    return ":orange[:material/pause_circle:]" if state.settings.off else ":green[:material/recycling:]"


def state_sentence(state: GCState) -> str:
    """Return the collector's state in one sentence."""
    settings = state.settings
    thresholds = ", ".join(count(each) for each in settings.thresholds)
    if settings.off:
        return _("Automatic collection is off: objects in reference cycles stay until somebody collects")
    usual = settings.thresholds == state.defaults
    automatic = (
        _("Python collects automatically at its default thresholds ({thresholds})")
        if usual
        else _("Python collects automatically at changed thresholds ({thresholds})")
    ).format(thresholds=thresholds)
    if settings.policy:
        return _("{automatic}; Millpond also collects when idle").format(automatic=automatic)
    return automatic


def _figures(services: Services, state: GCState) -> None:
    pauses = services.memory.pauses.recent()
    now = services.memory.clock.time()
    found = summarize_recent(pauses, now - _FIGURES_SECONDS * max(1.0, services.memory.clock.speed))
    period = _("In the last {time}; a pause stops all threads").format(time=minutes(now - found.begin))
    shown = [
        (
            _("Collections"),
            " / ".join(count(runs) for runs in state.collections),
            _("Of generation 0, 1 and 2, since the start"),
        ),
        (_("Pauses, total"), milliseconds(1000 * found.total), period),
        (_("Pauses, p95"), "–" if found.p95 is None else milliseconds(1000 * found.p95), period),
        (_("Tracked objects"), count(state.tracked), _("Objects that the collector examines; counted periodically")),
        (_("Frozen"), count(state.frozen), _("Objects that the collector ignores")),
        (_("Uncollectable"), count(state.uncollectable), _("Found in cycles that could not be freed, since the start")),
    ]
    with st.grid(6, min_column_width=125, gap="small", key="collector-figures"):
        for label, value, note in shown:
            st.metric(label, value, border=True, help=note)


def trial_p95(trial: Trial) -> tuple[str, str]:
    """Return p95 of the pauses before and during the trial, as text."""

    def p95(seconds: float | None) -> str:
        return _("too few pauses yet") if seconds is None else milliseconds(1000 * seconds)

    return p95(trial.before_p95), p95(trial.now_p95)
