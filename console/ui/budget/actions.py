"""The steps of the budget in their order: which wait, which are in force, which would not help and why.

What is taken in at present: closed doors with their reasons, what was refused, what is under way.
"""

from __future__ import annotations

import streamlit as st

from console.ui.budget.control import confirm_restart
from console.ui.budget.gauge import PERIOD_SECONDS, level_word
from console.ui.current_actor import disabled_reason, page_actor
from console.ui.error_boundary import attempt, guarded, rerun_for_notices
from console.ui.session_state import notify
from console.ui.shared.formatting import escape, minutes, signed_size, size
from console.ui.shared.heartbeat import heartbeat
from services.app.container import Services
from services.core.i18n import _, plural
from services.memory.budget.types import ActionStatus, BudgetLevel

RESTART = "restart"  # the step that ends the process: asked about first
_BADGES = {BudgetLevel.CALM: "gray", BudgetLevel.SOFT: "orange", BudgetLevel.HIGH: "orange", BudgetLevel.HARD: "red"}


@st.fragment
@guarded
def actions_view(services: Services) -> None:
    """Draw the list and keep it fresh."""
    rerun_for_notices()
    st.subheader(_("Steps"), anchor=False, help=_("Taken from top to bottom, undone from bottom to top."))
    steps = services.governor.action_statuses()
    if not steps:
        st.caption(_("No step is known to this process."))
    why = disabled_reason(services)
    for number, step in enumerate(steps, start=1):
        with st.container(
            border=True, horizontal=True, vertical_alignment="center", gap="small", key=f"step-{step.name}"
        ):
            with st.container(gap="xxsmall", width="stretch"):
                badge = f":{_BADGES[step.level]}-badge[{escape(level_word(step.level).lower())}]"
                st.markdown(f"{number}. **{escape(step.label)}** {badge}", help=escape(step.explanation) or None)
                st.caption(action_standing(services, step))
            _button(services, step, why)
    heartbeat("budget-steps", PERIOD_SECONDS)


def _button(services: Services, step: ActionStatus, why: str | None) -> None:
    undo = step.active and step.undoable
    pressed = st.button(
        _("Undo") if undo else _("Take"),
        key=f"step-{step.name}-do",
        icon=":material/undo:" if undo else ":material/play_arrow:",
        disabled=why is not None,
        help=why or _("Now, whatever the level"),
        on_click=None if step.name == RESTART else _act,
        args=(services, step.name, undo),
    )
    if pressed and step.name == RESTART:
        confirm_restart(services)


def _act(services: Services, name: str, undo: bool) -> None:
    act = services.governor.undo_action if undo else services.governor.run_action
    decision = attempt(act, page_actor(services), name)
    if decision is not None:
        notify(f"{decision.label}: {decision.outcome}")


def action_standing(services: Services, step: ActionStatus) -> str:
    """Return how a step stands, as Markdown: what it is at now, what it would free, what it did last."""
    now = services.clock.time()
    if step.active:
        by = "" if step.by in {"", "millpond"} else _(", by {name}").format(name=step.by)
        held = minutes(max(0.0, now - (step.since or now)))
        words = f":orange[:material/bolt:] **{escape(_('In force for {time}{by}').format(time=held, by=by))}**"
    elif step.skip_reason:
        words = (
            f":gray[:material/skip_next:] {escape(_('Would be passed over: {reason}').format(reason=step.skip_reason))}"
        )
    else:
        words = f":gray[:material/hourglass_empty:] {escape(_('Waiting'))}, {escape(_would(step))}"
    if step.taken:
        times = plural("taken {count} time", "taken {count} times", step.taken)
        last = minutes(max(0.0, now - (step.last or now)))
        effect = "" if step.freed_bytes is None else _(", RSS {change}").format(change=signed_size(-step.freed))
        words += " · " + escape(_("{times}, last {time} ago{effect}").format(times=times, time=last, effect=effect))
    return words


def _would(step: ActionStatus) -> str:
    if step.estimate_bytes is None:
        return _("what it would free is unknown")
    return (
        _("would free {size}").format(size=size(step.estimate_bytes))
        if step.estimate > 0
        else _("would free nothing now")
    )
