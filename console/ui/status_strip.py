"""The status bar of every page: health, memory, documents, chat model, work in progress. Each part is a link."""

from __future__ import annotations

import streamlit as st

from console.navigation import PageName, page
from console.ui.budget.admission import gate_name
from console.ui.budget.control import restart_words
from console.ui.budget.gauge import LEVEL_ICONS, level_word, state_sentence
from console.ui.error_boundary import guarded
from console.ui.memory.verdict import STATE_ICONS
from console.ui.shared.formatting import browser_zone, escape, shorten, size, time_of_day
from console.ui.shared.heartbeat import heartbeat
from services.app.container import Services
from services.core.i18n import _, plural
from services.memory.budget.types import BudgetLevel
from services.memory.leaks.headline import brief, headline
from services.memory.snapshot import RssReading
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
    counts = services.library.counts()
    model = services.models.status()
    failed = [check for check in services.health.ready().checks if not check.ok]
    restart = services.restarts.state()
    if restart.phase is not RestartPhase.RUNNING:
        st.info(escape(restart_words(restart)), icon=":material/restart_alt:")
    with st.container(horizontal=True, wrap=False, gap="medium", vertical_alignment="center", key="status-strip"):
        if failed:
            st.page_link(
                page(PageName.OVERVIEW),
                label=_("Needs attention: {part}").format(part=escape(failed[0].name)),
                icon=":material/warning:",
                help=escape(failed[0].detail),
            )
        _memory(services)
        _budget(services)
        documents = plural("{count} document", "{count} documents", counts.documents)
        chunks = plural("{count} chunk", "{count} chunks", counts.chunks)
        st.page_link(page(PageName.DOCUMENTS), label=f"{documents}, {chunks}", icon=":material/folder_open:")
        if counts.jobs_unfinished:
            running = plural("{count} file being processed", "{count} files being processed", counts.jobs_unfinished)
            st.page_link(page(PageName.DOCUMENTS), label=running, icon=":material/sync:")
        label = _("No chat model") if model.state == "off" else escape(shorten(model.label, 40))
        state = {"down": _("unreachable"), "loading": _("loading")}.get(model.state, "")
        st.page_link(
            page(PageName.SETTINGS),
            label=f"{label}, {state}" if state else label,
            icon=_MODEL_ICON.get(model.state, ":material/smart_toy:"),
            help=escape(f"{model.message} {model.hint}".strip()) or None,
        )
    heartbeat("strip", _PERIOD_SECONDS)


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


def _budget(services: Services) -> None:
    """Draw the budget's level where it is above calm or something is refused."""
    state, closed = services.governor.state(), services.admission.closed()
    if state.level is BudgetLevel.CALM and not closed:
        return
    label = _("Memory {level}").format(level=level_word(state.level).lower())
    if closed:
        refused = ", ".join(gate_name(gate).lower() for gate in closed)
        person = next((closure.person for closure in closed.values() if closure.person), "")
        calm, tense = _("Refused: {what}"), _("{label}, refused: {what}")
        if person:
            calm, tense = _("Closed by {person}: {what}"), _("{label}; closed by {person}: {what}")
        template = calm if state.level is BudgetLevel.CALM else tense
        label = template.format(label=label, what=refused, person=person)
    st.page_link(
        page(PageName.BUDGET),
        label=escape(label),
        icon=LEVEL_ICONS[state.level],
        help=escape(next((why.reason for why in closed.values()), state_sentence(state))),
    )
