"""The threshold experiment: its form with the expected duration, its progress, and its results."""

from __future__ import annotations

import streamlit as st

from console.ui.current_actor import disabled_reason, page_actor
from console.ui.error_boundary import attempt, guarded, rerun_for_notices
from console.ui.gc_experiment.result import results_view
from console.ui.session_state import ExperimentForm, notify, state_of
from console.ui.shared.formatting import escape, minutes
from console.ui.shared.heartbeat import heartbeat
from services.app.container import Services
from services.core.i18n import _, plural
from services.core.machine import MEGABYTE
from services.memory.gc_experiment.runner import OPERATIONS, ROUNDS, Experiments
from services.memory.gc_experiment.types import ExperimentPhase, ExperimentState, Setting
from services.memory.gc_experiment.workload import (
    DEFAULTS,
    MAX_ROUNDS,
    MIN_ROUNDS,
    OFFERED,
    PRESELECTED,
    REFERENCE,
    label,
    too_few_rounds,
)

CANCEL = "experiment-cancel"
_RUNNING_SECONDS, _IDLE_SECONDS = 1.0, 5.0
START = "experiment-start"
SETTINGS = "experiment-settings"
ROUNDS_KEY = "experiment-rounds"
LENGTH = "experiment-length"
ADD = "experiment-add"
_OWN = "experiment-own"
_MOST_OWN = 8
_LENGTHS = (200, OPERATIONS, 1500)


def experiment_view(services: Services) -> None:
    """Draw form or progress, and the results; the results are redrawn when an experiment starts or ends."""
    state_of(ExperimentForm).shown = _shown(services.experiments)
    _bar(services)
    results_view(services)


def _shown(experiments: Experiments) -> tuple[object, ...]:
    """Return the state that the results depend on."""
    state = experiments.state()
    return state.phase is ExperimentPhase.RUNNING, *(result.id for result in experiments.results())


@st.fragment
@guarded
def _bar(services: Services) -> None:
    rerun_for_notices()
    experiments = services.experiments
    if state_of(ExperimentForm).shown != _shown(experiments):
        st.rerun()
    state = experiments.state()
    if state.phase is ExperimentPhase.RUNNING:
        _running(services, state)
    else:
        _ended(state)
        experiment_form(services)
    heartbeat("experiment", _RUNNING_SECONDS if state.phase is ExperimentPhase.RUNNING else _IDLE_SECONDS)


def _running(services: Services, state: ExperimentState) -> None:
    why = disabled_reason(services)
    with st.container(border=True, gap="small", key="experiment-running"):
        name = label(state.settings[state.setting]) if state.setting < len(state.settings) else ""
        words = _("Run {run} of {runs}: {name}").format(run=state.run, runs=state.runs, name=name)
        if not state.share:
            words += ", " + _("its process is starting")
        st.progress(state.progress, f"**{escape(words)}**")
        left = _("about {time} left").format(time=minutes(state.remaining)) if state.remaining is not None else ""
        st.caption(
            escape(
                _("Started by {actor}; {left}. Each run is a separate process with low priority.").format(
                    actor=state.actor, left=left or _("no estimate yet")
                )
            )
        )
        st.button(
            _("Cancel"),
            key=CANCEL,
            icon=":material/stop:",
            disabled=why is not None,
            help=why or _("Ends the current run at once and discards the experiment."),
            on_click=_cancel,
            args=(services,),
        )


def _cancel(services: Services) -> None:
    if attempt(services.experiments.cancel, page_actor(services)) is not None:
        notify(_("The experiment was cancelled and discarded."))


def _ended(state: ExperimentState) -> None:
    if state.phase is ExperimentPhase.NEVER:
        st.info(
            _(
                "An experiment runs the same work under each setting, several times in turn and in fresh processes. It "
                "shows the effect of a setting before this service uses it."
            ),
            title=_("No experiments yet"),
            icon=":material/science:",
        )
    elif state.phase is ExperimentPhase.FAILED:
        st.error(escape(state.hint) or " ", title=escape(state.message), icon=":material/error:")
    elif state.phase is ExperimentPhase.CANCELLED:
        st.info(escape(state.hint) or " ", title=escape(state.message), icon=":material/cancel:")


def experiment_form(services: Services) -> None:
    """Draw the choice of settings, rounds and length, the expected duration, and the start button."""
    st.subheader(_("Compare settings"), anchor=False)
    wanted = _settings()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        rounds = int(
            st.number_input(
                _("Rounds (at least {least})").format(least=MIN_ROUNDS),
                1,
                MAX_ROUNDS,
                ROUNDS,
                key=ROUNDS_KEY,
                width=150,
                help=_("Each round runs every setting once, in a new order. Six are the fewest that can be certain."),
            )
        )
        lengths = {_LENGTHS[0]: _("short"), _LENGTHS[1]: _("usual"), _LENGTHS[2]: _("long")}
        operations = st.segmented_control(
            _("Length of a run"),
            list(lengths),
            default=OPERATIONS,
            required=True,
            key=LENGTH,
            format_func=lambda number: f"{lengths[number]} ({number})",
            help=_("Operations in each run"),
        )
        too_few = too_few_rounds(rounds)
        why = disabled_reason(services) or too_few or None
        st.button(
            _("Start"),
            key=START,
            type="primary",
            icon=":material/play_arrow:",
            disabled=why is not None or not wanted,
            help=why,
            on_click=_start,
            args=(services, wanted, rounds, int(operations or OPERATIONS)),
        )
    if too_few:
        least = _("Choose at least {least} rounds.").format(least=MIN_ROUNDS)
        st.warning(escape(least), title=escape(too_few), icon=":material/exposure_plus_1:")
        return
    _cost(services, len(wanted) + 1, rounds, int(operations or OPERATIONS))


def _settings() -> list[Setting]:
    """Draw the settings to compare with the defaults, and return them."""
    state = state_of(ExperimentForm)
    # This Python's defaults are among the offered thresholds: not twice under two names.
    offered = [each for each in OFFERED if each != REFERENCE and each.thresholds != DEFAULTS]
    options = list(dict.fromkeys((*offered, *state.own)))
    chosen = st.multiselect(
        _("Compare the defaults {thresholds} with").format(thresholds="({}, {}, {})".format(*DEFAULTS)),
        options,
        default=[each for each in state.chosen or PRESELECTED if each in options],
        format_func=label,
        key=f"{SETTINGS}-{len(state.own)}",
        help=_("The control is the defaults once more: its difference shows how much equal runs differ."),
    )
    with st.popover(_("Custom thresholds"), icon=":material/add:", width="content"):
        values = [
            int(
                st.number_input(
                    _("Threshold {number}").format(number=number), 1, 10_000_000, default, key=f"{_OWN}-{number}"
                )
            )
            for number, default in enumerate((1000, 10, 10))
        ]
        frozen = st.toggle(_("Frozen after the start"), key=f"{_OWN}-frozen")
        st.button(
            _("Add"),
            key=ADD,
            on_click=_add,
            args=(Setting((values[0], values[1], values[2]), frozen=frozen), tuple(chosen)),
            disabled=len(state.own) >= _MOST_OWN,
        )
    return chosen


def _add(setting: Setting, chosen: tuple[Setting, ...]) -> None:
    state = state_of(ExperimentForm)
    if setting not in (*OFFERED, *state.own):
        state.own, state.chosen = (*state.own, setting), (*chosen, setting)


def _cost(services: Services, settings: int, rounds: int, operations: int) -> None:
    seconds = services.experiments.estimate(settings, rounds, operations)
    runs = plural("{count} run", "{count} runs", settings * rounds)
    st.caption(
        escape(
            _(
                "{runs}, about {time}, one after the other with low priority, in separate processes of about {size} "
                "MB. The workload follows the kinds and sizes of this service's recent requests; no text is stored or "
                "used. With too few requests a built-in mixture is used."
            ).format(
                runs=runs,
                time=minutes(seconds),
                size=round(services.experiments.expected / MEGABYTE),
            )
        )
    )


def _start(services: Services, settings: list[Setting], rounds: int, operations: int) -> None:
    rounds = int(st.session_state.get(ROUNDS_KEY, rounds))  # also where the click was what ended the field's input
    if attempt(services.experiments.start, page_actor(services), settings, rounds, operations) is not None:
        notify(_("The experiment has started."))
