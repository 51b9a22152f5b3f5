"""How the collector stands, in one sentence and a few figures."""

from __future__ import annotations

import streamlit as st

from console.ui.error_boundary import guarded, rerun_for_notices
from console.ui.shared.formatting import count, escape, milliseconds, minutes
from console.ui.shared.heartbeat import heartbeat
from services.app.container import Runtime
from services.core.i18n import _
from services.memory.gc.types import GCState, Trial
from services.memory.sampling.gc_pauses import summarize_recent

_PERIOD_SECONDS = 3.0
_STRETCH_SECONDS = 300.0


@st.fragment
@guarded
def status_view(runtime: Runtime) -> None:
    """Draw the state and keep it fresh."""
    rerun_for_notices()
    collector = runtime.memory.collector
    state = collector.state()
    with st.container(border=True, gap="xsmall", key="collector-state"):
        st.markdown(f"#### {_mark(state)} {escape(state_sentence(state))}")
        if (trial := collector.trial) is not None:
            left = max(0.0, trial.until - runtime.memory.clock.time())
            st.caption(escape(_("On trial, goes back by itself in {time}.").format(time=minutes(left))))
        elif state.kept is not None and state.kept != state.settings:
            st.caption(_("Not what is kept: a restart comes up with other settings."))
        if state.frozen:
            st.caption(_("{count} objects are frozen: they are hidden from it.").format(count=count(state.frozen)))
    _figures(runtime, state)
    heartbeat("collector-head", _PERIOD_SECONDS)


def _mark(state: GCState) -> str:
    return ":orange[:material/pause_circle:]" if state.settings.off else ":green[:material/recycling:]"


def state_sentence(state: GCState) -> str:
    """Return how the collector stands, in one sentence."""
    settings = state.settings
    thresholds = ", ".join(count(each) for each in settings.thresholds)
    if settings.off:
        return _("Nothing is collected by itself: objects that refer to each other stay until somebody collects")
    usual = settings.thresholds == state.defaults
    by_itself = (
        _("Python collects by itself at its usual thresholds ({thresholds})")
        if usual
        else _("Python collects by itself at changed thresholds ({thresholds})")
    ).format(thresholds=thresholds)
    if settings.policy:
        return _("{by_itself}; Millpond's own policy adds collections at good moments").format(by_itself=by_itself)
    return by_itself


def _figures(runtime: Runtime, state: GCState) -> None:
    pauses = runtime.memory.pauses.recent()
    now = runtime.memory.clock.time()
    found = summarize_recent(pauses, now - _STRETCH_SECONDS * max(1.0, runtime.memory.clock.speed))
    stretch = _("In the last {time}; all threads stand still in a pause").format(time=minutes(now - found.begin))
    shown = [
        (
            _("Collections"),
            " / ".join(count(runs) for runs in state.collections),
            _("Of generation 0, 1 and 2, since the start"),
        ),
        (_("Pauses, total"), milliseconds(1000 * found.total), stretch),
        (_("Pauses, p95"), "–" if found.p95 is None else milliseconds(1000 * found.p95), stretch),
        (_("Tracked objects"), count(state.tracked), _("Those that the collector can see; counted now and then")),
        (_("Frozen"), count(state.frozen), _("Objects that are hidden from it")),
        (_("Uncollectable"), count(state.uncollectable), _("Found in cycles that could not be freed, since the start")),
    ]
    with st.grid(6, min_column_width=125, gap="small", key="collector-figures"):
        for label, value, note in shown:
            st.metric(label, value, border=True, help=note)


def trial_p95(trial: Trial) -> tuple[str, str]:
    """Return p95 before the trial and in it, in words."""

    def p95(seconds: float | None) -> str:
        return _("too few yet") if seconds is None else milliseconds(1000 * seconds)

    return p95(trial.before_p95), p95(trial.now_p95)
