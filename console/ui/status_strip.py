"""The status bar of every page: health, memory, documents, chat model, work in progress, who is signed in.

Each part is a link to the page that says more; what one may not see is not there.
"""

from __future__ import annotations

import streamlit as st

from console.navigation import PageName, may_open, page
from console.ui.budget.admission import gate_name
from console.ui.budget.control import restart_words
from console.ui.budget.gauge import LEVEL_ICONS, level_word, state_sentence
from console.ui.current_actor import page_actor, role_word, sign_out
from console.ui.error_boundary import guarded
from console.ui.keyboard.shortcuts import open_shortcuts
from console.ui.memory.verdict import STATE_ICONS
from console.ui.session_state import Key
from console.ui.shared.formatting import browser_zone, escape, shorten, size, time_of_day
from console.ui.shared.heartbeat import heartbeat
from services.app.container import Services
from services.core.actor import Actor
from services.core.i18n import _, joined, listed, plural
from services.memory.budget.types import BudgetLevel
from services.memory.leaks.headline import brief, headline
from services.memory.snapshot import RssReading
from services.operations.health import component_name
from services.operations.restarts import RestartPhase

_PERIOD_SECONDS = 3.0
_MODEL_ICON = {
    "ready": ":material/smart_toy:",
    "loading": ":material/hourglass_top:",
    "down": ":material/error:",
    "unlisted": ":material/help:",
    "off": ":material/format_quote:",
}


@st.fragment
@guarded
def status_strip(services: Services) -> None:
    """Draw the status bar and keep it up to date."""
    actor = page_actor(services)
    counts = services.library.counts(page_actor(services))
    model = services.models.status()
    failed = [check for check in services.health.ready().checks if not check.ok]
    restart = services.restarts.state()
    if restart.phase is not RestartPhase.RUNNING:
        st.info(escape(restart_words(restart)), icon=":material/restart_alt:")
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="status-strip"):
        if failed:
            _part(
                actor,
                PageName.OVERVIEW,
                _("Needs attention: {part}").format(part=escape(component_name(failed[0].name))),
                ":material/warning:",
                escape(failed[0].detail),
            )
        if may_open(actor, PageName.MEMORY):
            _memory(services)
        _budget(actor, services)
        documents = plural("{count} document", "{count} documents", counts.documents)
        chunks = plural("{count} chunk", "{count} chunks", counts.chunks)
        st.page_link(page(PageName.DOCUMENTS), label=listed((documents, chunks)), icon=":material/folder_open:")
        if counts.jobs_unfinished:
            running = plural("{count} file being processed", "{count} files being processed", counts.jobs_unfinished)
            st.page_link(page(PageName.DOCUMENTS), label=running, icon=":material/sync:")
        label = _("No chat model") if model.state == "off" else escape(shorten(model.label, 40))
        state = {"down": _("unreachable"), "loading": _("loading")}.get(model.state, "")
        _part(
            actor,
            PageName.SETTINGS,
            listed((label, state)),
            _MODEL_ICON.get(model.state, ":material/smart_toy:"),
            escape(joined((model.message, model.hint))),
        )
        if not services.identity.open_mode:
            _account(actor)
        if st.button(_("Shortcuts"), key=Key.SHORTCUTS, icon=":material/keyboard:", type="tertiary"):
            open_shortcuts(actor)
    heartbeat("strip", _PERIOD_SECONDS)


def _part(actor: Actor, name: PageName, label: str, icon: str, explanation: str) -> None:
    """Draw a part: a link where one may open its page, else the words alone; `explanation` is its tooltip."""
    if may_open(actor, name):
        st.page_link(page(name), label=label, icon=icon, help=explanation or None)
    else:
        st.markdown(f"{icon} {label}", help=explanation or None, width="content")


def _account(actor: Actor) -> None:
    """Draw who is signed in, with what they can do about it."""
    with st.popover(escape(shorten(actor.name, 30)), icon=":material/account_circle:", type="tertiary", key="account"):
        st.caption(_("Signed in as {name}: {role}").format(name=escape(actor.name), role=role_word(actor.role)))
        st.page_link(page(PageName.ACCOUNT), label=_("My account"), icon=":material/account_circle:")
        st.button(_("Sign out"), key=Key.SIGN_OUT, icon=":material/logout:", type="tertiary", on_click=sign_out)


def _memory(services: Services) -> None:
    """Draw the verdict, and the RSS of the snapshot with its limit."""
    verdict, shown = services.memory.detector.verdict, services.memory.snapshot()
    st.page_link(
        page(PageName.MEMORY),
        label=escape(brief(verdict, browser_zone())),
        icon=STATE_ICONS[verdict.state],
        help=escape(headline(verdict, browser_zone())),
    )
    reading = services.memory.reading() if shown is None else RssReading(shown.rss, shown.time)
    limit = shown.limit if shown is not None else None
    label = _("RSS {size} of {limit}") if limit else _("RSS {size}")
    st.page_link(
        page(PageName.MEMORY),
        label=label.format(size=size(reading.rss), limit=size(limit)),
        icon=":material/memory:",
        help=_("At {time}").format(time=time_of_day(reading.time)),
    )


def _budget(actor: Actor, services: Services) -> None:
    """Draw the budget's level where it is above calm or something is refused."""
    state, closed = services.governor.state(), services.admission.closed()
    if state.level is BudgetLevel.CALM and not closed:
        return
    label = _("Memory {level}").format(level=level_word(state.level).lower())
    if closed:
        refused = listed(gate_name(gate).lower() for gate in closed)
        person = next((closure.person for closure in closed.values() if closure.person), "")
        calm, tense = _("Refused: {what}"), _("{label}, refused: {what}")
        if person:
            calm, tense = _("Closed by {person}: {what}"), _("{label}; closed by {person}: {what}")
        template = calm if state.level is BudgetLevel.CALM else tense
        label = template.format(label=label, what=refused, person=person)
    _part(
        actor,
        PageName.BUDGET,
        escape(label),
        LEVEL_ICONS[state.level],
        escape(next((why.reason for why in closed.values()), state_sentence(state))),
    )
