"""The collector's settings, changed on trial or permanently, and its actions: collect, freeze, unfreeze."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import streamlit as st

from console.ui.current_actor import disabled_reason, page_actor
from console.ui.error_boundary import attempt, guarded, rerun_for_notices
from console.ui.gc.effects import act_and_show, outcome_view
from console.ui.gc.pauses import trial_p95
from console.ui.session_state import GCForm, Key, notify, state_of
from console.ui.shared.formatting import ago, count, escape, milliseconds, minutes
from console.ui.shared.heartbeat import heartbeat
from services.app.container import Services
from services.core.actor import Actor
from services.core.i18n import _, plural
from services.memory.gc.explain import explain, explain_freezing
from services.memory.gc.types import GCSettings, GCState, Trial

_TRIAL_SECONDS, _IDLE_SECONDS = 1.0, 5.0
_MINUTES = 10


@st.fragment
@guarded
def settings_view(services: Services) -> None:
    """Draw trial, settings and actions, and keep them up to date."""
    rerun_for_notices()
    collector = services.memory.collector
    state, trial = collector.state(), collector.trial
    if trial is not None:
        _trial(services, trial)
    elif (last := collector.last_trial) is not None:
        st.caption(
            _("The last trial, started by {actor}: {verdict}.").format(
                actor=escape(last.actor), verdict=escape(last.verdict)
            )
        )
    left, right = st.columns([3, 2], gap="large")
    with left:
        _form(services, state)
    with right:
        _actions(services, state)
    heartbeat("collector-settings", _TRIAL_SECONDS if trial else _IDLE_SECONDS)


def _trial(services: Services, trial: Trial) -> None:
    now = services.memory.clock.time()
    left, whole = max(0.0, trial.until - now), max(1e-9, trial.until - trial.began)
    before, during = trial_p95(trial)
    why = disabled_reason(services)
    with st.container(border=True, gap="small", key="collector-trial"):
        title = _("Trial by {actor}: reverts to {before} in {time}").format(
            actor=escape(trial.actor), before=_thresholds(trial.before), time=minutes(left)
        )
        st.progress(min(1.0, max(0.0, 1 - left / whole)), f"**{title}**")
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.metric(_("p95 before"), before, border=True, width=150)
            st.metric(_("p95 in the trial"), during, border=True, width=150)
            st.button(
                _("Keep"),
                key=Key.TRIAL_KEEP,
                type="primary",
                icon=":material/check:",
                disabled=why is not None,
                help=why,
                on_click=_do,
                args=(services.memory.collector.keep, services, _("Kept, also for restarts.")),
            )
            st.button(
                _("Revert"),
                key=Key.TRIAL_BACK,
                icon=":material/undo:",
                disabled=why is not None,
                help=why,
                on_click=_do,
                args=(services.memory.collector.revert, services, _("Reverted to the settings before the trial.")),
            )
        st.caption(
            escape(
                _("Reverts automatically if pauses get clearly worse. So far: {verdict}.").format(verdict=trial.verdict)
            )
        )


def _thresholds(settings: GCSettings) -> str:
    return ", ".join(count(each) for each in settings.thresholds)


def _form(services: Services, state: GCState) -> None:
    form = state_of(GCForm)
    if form.known != state.settings:  # changed elsewhere, or by a trial that ended
        form.known, form.fills = state.settings, form.fills + 1
    st.subheader(_("Settings"), anchor=False)
    thresholds = _threshold_fields(state, form.fills)
    automatic = st.toggle(
        _("Collect automatically"),
        value=state.settings.automatic,
        key=f"collector-automatic-{form.fills}",
        help=_("By Python, at the thresholds: gc.enable and gc.disable"),
    )
    policy = st.toggle(_("Collect when idle"), value=state.settings.policy, key=f"collector-policy-{form.fills}")
    _policy_state(services)
    wanted = GCSettings(thresholds, automatic, policy)
    why = disabled_reason(services)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        length = st.number_input(_("Minutes"), 1, 24 * 60, _MINUTES, key=Key.COLLECTOR_MINUTES, width=120)
        st.button(
            plural("Apply for {count} minute", "Apply for {count} minutes", int(length)),
            key=Key.COLLECTOR_TRY,
            type="primary",
            icon=":material/science:",
            disabled=why is not None,
            help=why or _("Reverts automatically unless it is kept."),
            on_click=_apply,
            args=(services, wanted, 60.0 * length),
        )
        st.button(
            _("Apply and keep"),
            key=Key.COLLECTOR_KEEP,
            icon=":material/save:",
            disabled=why is not None,
            help=why or _("Also for restarts."),
            on_click=_apply,
            args=(services, wanted, None),
        )
    _explanations(state)


def _threshold_fields(state: GCState, fills: int) -> tuple[int, int, int]:
    helps = (
        _("Net allocations of containers until generation 0 is collected; 0 turns automatic collection off"),
        _("Collections of generation 0 until generation 1 is collected with it"),
        _("Collections of generation 1 until a full collection; a further condition may postpone that"),
    )
    values = []
    with st.grid(3, min_column_width=165, gap="small"):
        for number, note in enumerate(helps):
            values.append(
                st.number_input(
                    _("Threshold {number} (default {default})").format(
                        number=number, default=count(state.defaults[number])
                    ),
                    0,
                    10_000_000,
                    state.settings.thresholds[number],
                    key=f"collector-threshold-{number}-{fills}",
                    help=note,
                )
            )
    st.caption(
        _("Current counts: {counts}. A generation is collected when its count exceeds its threshold.").format(
            counts=", ".join(count(each) for each in state.counts)
        )
    )
    return int(values[0]), int(values[1]), int(values[2])


def _explanations(state: GCState) -> None:
    parts = explain(state)
    with st.expander(_("How it works in this Python, with current figures"), icon=":material/menu_book:"):
        for part in parts:
            st.markdown(f"**{escape(part.title)}.** {escape(part.text)}")


def _policy_state(services: Services) -> None:
    """Draw what the policy waits for, and when and why it last collected."""
    state = services.gc_policy.state()
    st.caption(escape(_("It is {state}.").format(state=state.description)))
    if state.last is None:
        return
    now = datetime.fromtimestamp(services.memory.clock.time(), UTC)
    st.caption(
        escape(
            _("Last time {when}: {told}. {runs} in total, {pause} of pauses.").format(
                when=ago(datetime.fromtimestamp(state.last.time, UTC), now),
                told=state.last.description,
                runs=plural("{count} run", "{count} runs", sum(state.runs.values())),
                pause=milliseconds(1000 * state.seconds),
            )
        )
    )


def _apply(services: Services, settings: GCSettings, seconds: float | None) -> None:
    def change(actor: Actor) -> bool:
        services.memory.collector.change(actor, settings, seconds)
        return True

    text = _("Applied and kept.") if seconds is None else _("On trial for {time}.").format(time=minutes(seconds or 0))
    _do(change, services, text)


def _do(action: Callable[[Actor], object], services: Services, text: str) -> None:
    def act() -> bool:
        action(page_actor(services))
        return True

    if attempt(act):
        notify(text)


def _actions(services: Services, state: GCState) -> None:
    collector = services.memory.collector
    st.subheader(_("Collect now"), anchor=False)
    why = disabled_reason(services)
    helps = (
        _("New objects only"),
        _("New and young objects"),
        _("All objects: the longest pause, finds most"),
    )
    with st.container(horizontal=True, gap="small"):
        for generation, note in enumerate(helps):
            st.button(
                _("Generation {number}").format(number=generation),
                key=f"collector-collect-{generation}",
                icon=":material/recycling:",
                disabled=why is not None,
                help=why or note,
                on_click=act_and_show,
                args=(services, "collect", lambda actor, wanted=generation: collector.collect(actor, wanted)),
            )
    outcome_view(services, "collect")
    st.subheader(_("Freeze"), anchor=False)
    st.caption(escape(explain_freezing(state)))
    with st.container(horizontal=True, gap="small"):
        st.button(
            _("Freeze"),
            key="collector-freeze",
            icon=":material/ac_unit:",
            disabled=why is not None,
            help=why or _("gc.freeze, after a last full collection"),
            on_click=act_and_show,
            args=(services, "freeze", collector.freeze),
        )
        st.button(
            _("Unfreeze"),
            key="collector-unfreeze",
            icon=":material/mode_heat:",
            disabled=why is not None or not state.frozen,
            help=why or (None if state.frozen else _("No objects are frozen.")),
            on_click=act_and_show,
            args=(services, "freeze", collector.unfreeze),
        )
    outcome_view(services, "freeze")
