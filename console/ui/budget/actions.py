"""The steps of the budget in their order: which wait, which are in force, which would not help and why.

What is taken in at present: closed doors with their reasons, what was refused, what is under way.
"""

from __future__ import annotations

import streamlit as st

from console.ui.budget.charts import level_word
from console.ui.budget.control import confirm_restart
from console.ui.budget.gauge import PERIOD_SECONDS
from console.ui.current_actor import disabled_reason, page_actor
from console.ui.error_boundary import attempt, guarded, rerun_for_notices
from console.ui.session_state import notify
from console.ui.shared.formatting import count, escape, minutes, shorten, signed_size, size
from console.ui.shared.heartbeat import heartbeat
from services.app.container import Services
from services.core.admission import Gate
from services.core.i18n import _, plural
from services.core.requests.types import RequestKind, RunningRequest
from services.memory.budget.types import ActionStatus, BudgetLevel

RESTART = "restart"  # the step that ends the process: asked about first
_BADGES = {BudgetLevel.CALM: "gray", BudgetLevel.SOFT: "orange", BudgetLevel.HIGH: "orange", BudgetLevel.HARD: "red"}
_MOST_RUNNING = 8


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


@st.fragment
@guarded
def admission_view(services: Services) -> None:
    """Draw the doors and what is under way, and keep that fresh."""
    st.subheader(_("Taken in at present"), anchor=False)
    closed = services.admission.closed()
    refused = services.admission.refused()
    for door in Gate:
        shut = closed.get(door)
        if shut is None:
            st.markdown(f":green[:material/door_open:] {escape(gate_name(door))}")
        else:
            st.markdown(
                f":red[:material/block:] **{escape(gate_name(door))}**: {escape(shut.reason)} {escape(shut.hint)}"
            )
    if services.admission.pause_seconds:
        slow = _("Files being taken in rest {seconds:g} s after each").format(seconds=services.admission.pause_seconds)
        st.markdown(f":orange[:material/speed:] {escape(slow)}")
    if total := sum(refused.values()):
        st.caption(
            escape(
                _("Refused since the start: {total}, {room} of them because there was no room").format(
                    total=count(total), room=count(refused.get("room", 0))
                )
            )
        )
    free = services.admission.free()
    if free is not None:
        promised = size(services.admission.reserved)
        st.caption(
            escape(
                _("Room for new work: {free}; promised: {promised}").format(free=size(max(0, free)), promised=promised)
            )
        )
    _running(services)
    heartbeat("budget-doors", PERIOD_SECONDS)


def gate_name(door: Gate) -> str:
    """Return what goes through a door."""
    return {
        Gate.UPLOADS: _("New files"),
        Gate.LONG_QUESTIONS: _("Long questions"),
        Gate.QUESTIONS: _("Questions"),
    }[door]


def _running(services: Services) -> None:
    running = services.requests.running()
    if not running:
        st.caption(_("No request is under way."))
        return
    st.markdown(f"**{escape(_('Under way'))}**")
    now = services.clock.time()
    for each in running[:_MOST_RUNNING]:
        st.caption(_line(each, now))
    if len(running) > _MOST_RUNNING:
        st.caption(escape(_("and {count} more").format(count=count(len(running) - _MOST_RUNNING))))


def _line(each: RunningRequest, now: float) -> str:
    kinds = {
        RequestKind.ANSWER: _("Answer"),
        RequestKind.SEARCH: _("Search"),
        RequestKind.UPLOAD: _("Upload"),
        RequestKind.DIAGNOSTIC: _("Look"),
    }
    words = kinds.get(each.kind, str(each.kind))
    if each.detail:
        words += f": {shorten(each.detail, 60)}"
    state = (
        _("waits, place {place}").format(place=each.position)
        if each.began is None
        else _("for {time}").format(time=minutes(max(0.0, now - each.began)))
    )
    return escape(f"{words} · {each.user} · {state}")
