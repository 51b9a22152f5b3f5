"""The steps of the budget in their order: which wait, which are in force, which would not help and why."""

from __future__ import annotations

import streamlit as st

from console.actors import page_actor, reason
from console.boundary import attempt, guarded, let_page_tell
from console.components.budget_control import ask_for_restart
from console.components.budget_head import PERIOD_SECONDS
from console.components.charts.budget import level_word
from console.components.formatting import escape, minutes, signed_size, size
from console.components.heartbeat import heartbeat
from console.state import tell
from services.memory.governor.types import Level, StepState
from services.runtime import Runtime
from services.texts import _, plural

RESTART = "restart"  # the step that ends the process: asked about first
_BADGES = {Level.CALM: "gray", Level.SOFT: "orange", Level.HIGH: "orange", Level.HARD: "red"}


@st.fragment
@guarded
def steps_view(runtime: Runtime) -> None:
    """Draw the list and keep it fresh."""
    let_page_tell()
    st.subheader(_("Steps"), anchor=False, help=_("Taken from top to bottom, undone from bottom to top."))
    steps = runtime.governor.step_states()
    if not steps:
        st.caption(_("No step is known to this process."))
    why = reason(runtime)
    for number, step in enumerate(steps, start=1):
        with st.container(
            border=True, horizontal=True, vertical_alignment="center", gap="small", key=f"step-{step.name}"
        ):
            with st.container(gap="xxsmall", width="stretch"):
                badge = f":{_BADGES[step.level]}-badge[{escape(level_word(step.level).lower())}]"
                st.markdown(f"{number}. **{escape(step.label)}** {badge}", help=escape(step.explanation) or None)
                st.caption(standing(runtime, step))
            _button(runtime, step, why)
    heartbeat("budget-steps", PERIOD_SECONDS)


def _button(runtime: Runtime, step: StepState, why: str | None) -> None:
    undo = step.active and step.undoable
    pressed = st.button(
        _("Undo") if undo else _("Take"),
        key=f"step-{step.name}-do",
        icon=":material/undo:" if undo else ":material/play_arrow:",
        disabled=why is not None,
        help=why or _("Now, whatever the level"),
        on_click=None if step.name == RESTART else _act,
        args=(runtime, step.name, undo),
    )
    if pressed and step.name == RESTART:
        ask_for_restart(runtime)


def _act(runtime: Runtime, name: str, undo: bool) -> None:
    act = runtime.governor.undo if undo else runtime.governor.take
    decision = attempt(act, page_actor(runtime), name)
    if decision is not None:
        tell(f"{decision.label}: {decision.outcome}")


def standing(runtime: Runtime, step: StepState) -> str:
    """Return how a step stands, as Markdown: what it is at now, what it would free, what it did last."""
    now = runtime.clock.time()
    if step.active:
        by = "" if step.by in {"", "millpond"} else _(", by {name}").format(name=step.by)
        held = minutes(max(0.0, now - (step.since or now)))
        words = f":orange[:material/bolt:] **{escape(_('In force for {time}{by}').format(time=held, by=by))}**"
    elif step.reason:
        words = f":gray[:material/skip_next:] {escape(_('Would be passed over: {reason}').format(reason=step.reason))}"
    else:
        words = f":gray[:material/hourglass_empty:] {escape(_('Waiting'))}, {escape(_would(step))}"
    if step.taken:
        times = plural("taken {count} time", "taken {count} times", step.taken)
        last = minutes(max(0.0, now - (step.last or now)))
        effect = "" if step.freed is None else _(", RSS {change}").format(change=signed_size(-step.freed))
        words += " · " + escape(_("{times}, last {time} ago{effect}").format(times=times, time=last, effect=effect))
    return words


def _would(step: StepState) -> str:
    if step.estimate is None:
        return _("what it would free is unknown")
    return _("would free {size}").format(size=size(step.estimate)) if step.estimate > 0 else _("would free nothing now")
