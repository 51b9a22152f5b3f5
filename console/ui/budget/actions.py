"""The actions of the budget in their order: status, estimate, last effect, and buttons to run and undo them."""

from __future__ import annotations

from typing import NoReturn

import streamlit as st

from console.ui.budget.control import confirm_restart
from console.ui.budget.gauge import PERIOD_SECONDS, level_word
from console.ui.current_actor import disabled_reason, page_actor
from console.ui.error_boundary import attempt, guarded, rerun_for_notices
from console.ui.session_state import notify
from console.ui.shared import dialogs
from console.ui.shared.formatting import escape, minutes, signed_size, size
from console.ui.shared.heartbeat import heartbeat
from services.app.container import Services
from services.core.actor import person_name
from services.core.admission import LONG_CHARACTERS
from services.core.i18n import _, labelled, listed, plural
from services.memory.budget.types import ActionStatus, BudgetLevel

# Actions that need a confirmation: the one that ends the process, and those that concern everybody until undone.
RESTART, REFUSE, SLOW = "restart", "refuse", "slow_ingestion"
_BADGES = {BudgetLevel.CALM: "gray", BudgetLevel.SOFT: "orange", BudgetLevel.HIGH: "orange", BudgetLevel.HARD: "red"}


@st.fragment
@guarded
def actions_view(services: Services) -> None:
    """Draw the actions and keep them up to date."""
    rerun_for_notices()
    st.subheader(_("Actions"), anchor=False, help=_("Run from top to bottom, undone from bottom to top."))
    actions = services.governor.action_statuses()
    if not actions:
        st.caption(_("No actions are registered in this process."))
    why = disabled_reason(services)
    for number, action in enumerate(actions, start=1):
        with st.container(
            border=True, horizontal=True, vertical_alignment="center", gap="small", key=f"step-{action.name}"
        ):
            with st.container(gap="xxsmall", width="stretch"):
                badge = f":{_BADGES[action.level]}-badge[{escape(level_word(action.level).lower())}]"
                st.markdown(f"{number}. **{escape(action.label)}** {badge}", help=escape(action.explanation) or None)
                st.caption(action_standing(services, action))
            _button(services, action, why)
    heartbeat("budget-steps", PERIOD_SECONDS)


def _button(services: Services, action: ActionStatus, why: str | None) -> None:
    undo = action.active and action.undoable
    asks = action.name == RESTART or (action.name in {REFUSE, SLOW} and not undo)
    pressed = st.button(
        _("Undo") if undo else _("Run"),
        key=f"step-{action.name}-do",
        icon=":material/undo:" if undo else ":material/play_arrow:",
        disabled=why is not None,
        help=why or _("Now, at any level"),
        on_click=None if asks else _run_or_undo,
        args=(services, action.name, undo),
    )
    if pressed and action.name == RESTART:
        confirm_restart(services)
    elif pressed and asks:
        _confirm(services, action)


def _confirm(services: Services, action: ActionStatus) -> NoReturn:
    """Ask before an action that concerns everybody until somebody undoes it."""
    lines = {
        REFUSE: (
            _("It affects everybody: on pages, over the API and on the command line nobody can add files "
              "or ask questions of more than {characters} characters. What is already under way goes on.").format(
                characters=LONG_CHARACTERS
            ),
            _("Everybody is told that a person did this, with your name if it is known, and since when."),
        ),
        SLOW: (
            _("It affects everybody's files: they are processed one at a time, with a pause after each. "
              "None is lost."),
        ),
    }[action.name]  # fmt: skip
    dialogs.confirm(
        _("{label}?").format(label=action.label),
        (*lines, _("It lasts until somebody undoes it here or Millpond is restarted: the budget does not end it.")),
        _("Run"),
        lambda: _run(services, action.name),
        undone_by=_("Undo on this page ends it at any time."),
    )


def _run(services: Services, name: str) -> str:
    decision = services.governor.run_action(page_actor(services), name)
    return labelled(decision.label, decision.outcome)


def _run_or_undo(services: Services, name: str, undo: bool) -> None:
    run = services.governor.undo_action if undo else services.governor.run_action
    decision = attempt(run, page_actor(services), name)
    if decision is not None:
        notify(labelled(decision.label, decision.outcome))


def action_standing(services: Services, action: ActionStatus) -> str:
    """Return an action's status as Markdown: in force, skipped or available, what it would free, its last effect."""
    now = services.clock.time()
    if action.active:
        by = "" if action.by in {"", "millpond"} else _(", by {name}").format(name=person_name(action.by))
        held = minutes(max(0.0, now - (action.since or now)))
        text = f":orange[:material/bolt:] **{escape(_('In force for {time}{by}').format(time=held, by=by))}**"
    elif action.skip_reason:
        text = (
            f":gray[:material/skip_next:] {escape(_('Would be skipped: {reason}').format(reason=action.skip_reason))}"
        )
    else:
        text = f":gray[:material/hourglass_empty:] {escape(listed([_('Available'), _estimate(action)]))}"
    if action.taken:
        times = plural("run {count} time", "run {count} times", action.taken)
        last = minutes(max(0.0, now - (action.last or now)))
        freed = action.freed_bytes
        effect = "" if freed is None else _(", RSS {change}").format(change=signed_size(-freed))
        text += " · " + escape(_("{times}, last {time} ago{effect}").format(times=times, time=last, effect=effect))
    return text


def _estimate(action: ActionStatus) -> str:
    if action.estimate_bytes is None:
        return _("effect unknown")
    return (
        _("would free {size}").format(size=size(action.estimate_bytes))
        if action.estimate_bytes > 0
        else _("would free nothing now")
    )
