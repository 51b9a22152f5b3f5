"""Control of the budget: dry run, pause, undo; alerts by webhook; planned restarts."""

from __future__ import annotations

from typing import NoReturn

import streamlit as st

from console.ui.budget.gauge import PERIOD_SECONDS
from console.ui.current_actor import disabled_reason, page_actor
from console.ui.error_boundary import attempt, guarded, rerun_for_notices
from console.ui.session_state import Key, notify
from console.ui.shared import dialogs
from console.ui.shared.formatting import count, escape, minutes
from console.ui.shared.heartbeat import heartbeat
from console.ui.shared.remedy_links import remedies_in, remedy_links
from services.app.container import Services
from services.core.i18n import _, plural
from services.operations.restarts import RestartPhase, RestartState


@st.fragment
@guarded
def control_view(services: Services) -> None:
    """Draw the switches and keep them up to date."""
    rerun_for_notices()
    state, why = services.governor.state(), disabled_reason(services)
    st.subheader(_("Control"), anchor=False)
    # Another tab may have changed them.
    st.session_state[Key.BUDGET_DRY_RUN] = state.dry_run
    st.session_state[Key.BUDGET_PAUSE] = not state.enabled
    st.toggle(
        _("Dry run"),
        key=Key.BUDGET_DRY_RUN,
        disabled=why is not None,
        help=why or _("Decisions are recorded, but not carried out"),
        on_change=_dry_run,
        args=(services,),
    )
    st.toggle(
        _("Pause the budget"),
        key=Key.BUDGET_PAUSE,
        disabled=why is not None,
        help=why or _("Stops decisions and undoes the actions in force"),
        on_change=_pause,
        args=(services,),
    )
    st.button(
        _("Undo all actions"),
        key=Key.BUDGET_UNDO,
        icon=":material/undo:",
        disabled=why is not None or not state.active,
        help=why or (None if state.active else _("No action is in force.")),
        on_click=_undo_all,
        args=(services,),
    )
    heartbeat("budget-control", PERIOD_SECONDS)


def _dry_run(services: Services) -> None:
    attempt(services.governor.set_dry_run, page_actor(services), bool(st.session_state[Key.BUDGET_DRY_RUN]))


def _pause(services: Services) -> None:
    attempt(services.governor.set_enabled, page_actor(services), not st.session_state[Key.BUDGET_PAUSE])


def _undo_all(services: Services) -> None:
    undone = attempt(services.governor.undo_all, page_actor(services))
    if undone is not None:
        notify(plural("{count} action undone", "{count} actions undone", len(undone)))


@st.fragment
@guarded
def alerts_view(services: Services) -> None:
    """Draw the webhook's address and deliveries, and the button that sends a test."""
    state, why = services.webhook.state(), disabled_reason(services)
    st.subheader(_("Alerts"), anchor=False)
    if not state.address:
        unset = _("Not configured: set MILLPOND_WEBHOOK_URL to send changes of level, refusals and restarts.")
        st.caption(unset)
        remedy_links(remedies_in(unset))
        return
    signed = _("signed") if state.signed else _("not signed")
    st.caption(escape(_("Sent to {address}, {signed}").format(address=state.address, signed=signed)))
    counts = _("{delivered} delivered, {waiting} waiting, {failed} failed, {dropped} dropped").format(
        delivered=count(state.delivered),
        waiting=count(state.waiting),
        failed=count(state.failed),
        dropped=count(state.dropped),
    )
    st.caption(escape(counts))
    if state.last is not None and not state.last.arrived:
        st.caption(f":red[:material/error:] {escape(_('The last one: {problem}').format(problem=state.last.problem))}")
    st.button(
        _("Send a test"),
        key=Key.BUDGET_WEBHOOK,
        icon=":material/send:",
        disabled=why is not None,
        help=why,
        on_click=_send_test,
        args=(services,),
    )
    heartbeat("budget-alerts", PERIOD_SECONDS)


def _send_test(services: Services) -> None:
    delivery = attempt(services.webhook.send_test, page_actor(services))
    if delivery is not None:
        notify(_("The test has arrived.") if delivery.arrived else delivery.problem)


@st.fragment
@guarded
def restart_view(services: Services) -> None:
    """Draw the plan for restarts, and the button that requests one."""
    state, why = services.restarts.state(), disabled_reason(services)
    st.subheader(_("Planned restart"), anchor=False)
    for line in _lines(state, services.clock.time()):
        st.caption(escape(line))
    refusal = services.restarts.refusal()
    underway = state.phase is not RestartPhase.RUNNING
    if st.button(
        _("Restart now"),
        key=Key.BUDGET_RESTART,
        icon=":material/restart_alt:",
        disabled=why is not None or underway or bool(refusal),
        help=why or escape(refusal) or None,
    ):
        confirm_restart(services)
    heartbeat("budget-restart", PERIOD_SECONDS)


def confirm_restart(services: Services) -> NoReturn:
    """Ask for confirmation, then request a restart."""
    dialogs.confirm(
        _("Restart Millpond?"),
        (
            _("Answers in progress are finished first. Files in progress are interrupted and resumed afterwards."),
            _("Open tabs reconnect automatically. Caches and idle conversations in memory are dropped."),
        ),
        _("Restart"),
        lambda: _request_restart(services),
    )


def _request_restart(services: Services) -> str:
    services.restarts.request(page_actor(services), _("requested on the budget page"))
    return _("The restart has started.")


def _lines(state: RestartState, now: float) -> list[str]:
    lines = []
    if state.requested is not None:
        lines.append(restart_words(state))
        lines.append(_("By {actor}: {reason}").format(actor=state.requested.actor, reason=state.requested.reason))
    if state.plan.requests:
        lines.append(
            plural(
                "Planned after {count} request; {served} served so far",
                "Planned after {count} requests; {served} served so far",
                state.plan.requests,
                served=count(state.served),
            )
        )
    if state.plan.at:
        lines.append(_("Planned in {time}").format(time=minutes(max(0.0, state.plan.at - now))))
    if not state.plan.requests and not state.plan.at:
        lines.append(_("None planned; the budget requests one only as its last action."))
    if state.successor:
        lines.append(_("Restarted by {name}").format(name=state.successor))
    else:
        lines.append(_("Nothing would restart it: use millpond serve --supervise, or a service manager."))
    return lines


def restart_words(state: RestartState) -> str:
    """Return the progress of a restart as a sentence."""
    return {
        RestartPhase.RUNNING: _("No restart in progress"),
        RestartPhase.PREPARING: _("A restart is being prepared; you can continue to work"),
        RestartPhase.DRAINING: _("Millpond is restarting: requests in progress are finished first"),
        RestartPhase.ENDING: _("Millpond is restarting and will be back in a moment"),
    }[state.phase]
