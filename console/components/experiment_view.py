"""The threshold experiment: choose settings, watch the runs, read what they say."""

from __future__ import annotations

import streamlit as st

from console.actors import page_actor, reason
from console.boundary import attempt, guarded, let_page_tell
from console.components.experiment_form import form
from console.components.experiment_result import results_view
from console.components.formatting import escape, minutes
from console.components.heartbeat import heartbeat
from console.state import ExperimentForm, state_of, tell
from services.memory.experiment.choices import label
from services.memory.experiment.experiments import Experiments
from services.memory.experiment.types import ExperimentState, Phase
from services.runtime import Runtime
from services.texts import _

CANCEL = "experiment-cancel"
_RUNNING_SECONDS, _IDLE_SECONDS = 1.0, 5.0


def experiment_view(runtime: Runtime) -> None:
    """Draw everything about the experiment; when one begins or ends, the results are drawn anew too."""
    state_of(ExperimentForm).shown = _shown(runtime.experiments)
    _bar(runtime)
    results_view(runtime)


def _shown(experiments: Experiments) -> tuple[object, ...]:
    """Return what the results below depend on."""
    state = experiments.state()
    return state.phase is Phase.RUNNING, *(result.id for result in experiments.results())


@st.fragment
@guarded
def _bar(runtime: Runtime) -> None:
    let_page_tell()
    experiments = runtime.experiments
    if state_of(ExperimentForm).shown != _shown(experiments):
        st.rerun()
    state = experiments.state()
    if state.phase is Phase.RUNNING:
        _running(runtime, state)
    else:
        _ended(state)
        form(runtime)
    heartbeat("experiment", _RUNNING_SECONDS if state.phase is Phase.RUNNING else _IDLE_SECONDS)


def _running(runtime: Runtime, state: ExperimentState) -> None:
    why = reason(runtime)
    with st.container(border=True, gap="small", key="experiment-running"):
        name = label(state.settings[state.setting]) if state.setting < len(state.settings) else ""
        words = _("Run {run} of {runs}: {name}").format(run=state.run, runs=state.runs, name=name)
        if not state.share:
            words += ", " + _("its process is starting")
        st.progress(state.progress, f"**{escape(words)}**")
        left = _("about {time} left").format(time=minutes(state.remaining)) if state.remaining is not None else ""
        st.caption(
            escape(
                _("Begun by {actor}; {left}. Each run is a process of its own with low priority.").format(
                    actor=state.actor, left=left or _("no estimate yet")
                )
            )
        )
        st.button(
            _("Cancel"),
            key=CANCEL,
            icon=":material/stop:",
            disabled=why is not None,
            help=why or _("Ends the present run at once; nothing is kept of the experiment."),
            on_click=_cancel,
            args=(runtime,),
        )


def _cancel(runtime: Runtime) -> None:
    if attempt(runtime.experiments.cancel, page_actor(runtime)) is not None:
        tell(_("The experiment was cancelled; nothing of it is left."))


def _ended(state: ExperimentState) -> None:
    if state.phase is Phase.NEVER:
        st.info(
            _(
                "The same work is done under each setting in fresh processes, several times in turn, so that you see "
                "what a setting does before this service uses it."
            ),
            title=_("No experiment was made yet"),
            icon=":material/science:",
        )
    elif state.phase is Phase.FAILED:
        st.error(escape(state.hint) or " ", title=escape(state.message), icon=":material/error:")
    elif state.phase is Phase.CANCELLED:
        st.info(escape(state.hint) or " ", title=escape(state.message), icon=":material/cancel:")
