"""The status bar of every page: health, memory, documents, chat model, work in progress. Each part is a link."""

from __future__ import annotations

import streamlit as st

from console.navigation import PageName, page
from console.ui.budget.admission import gate_name
from console.ui.budget.control import restart_words
from console.ui.budget.gauge import LEVEL_ICONS, level_word, state_sentence
from console.ui.error_boundary import guarded
from console.ui.memory.verdict import STATE_ICONS
from console.ui.shared.formatting import escape, shorten, size
from console.ui.shared.heartbeat import heartbeat
from services.app.container import Services
from services.core.i18n import _, plural
from services.core.machine import MEGABYTE
from services.memory.budget.types import BudgetLevel
from services.memory.leaks.messages import duration_text, headline, is_counted, kind_name, number_text
from services.memory.leaks.types import Verdict, VerdictState
from services.memory.types import Series
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
    """Draw the verdict, and the last sampled RSS with its limit."""
    verdict, sample = services.memory.detector.verdict, services.memory.history.latest()
    st.page_link(
        page(PageName.MEMORY),
        label=escape(_brief(verdict)),
        icon=STATE_ICONS[verdict.state],
        help=escape(headline(verdict)),
    )
    rss = sample.get(Series.RSS) if sample else None
    limit = sample.get(Series.LIMIT) if sample else None
    label = _("RSS {size} of {limit}") if limit else _("RSS {size}")
    st.page_link(page(PageName.MEMORY), label=label.format(size=size(rss), limit=size(limit)), icon=":material/memory:")


def _budget(services: Services) -> None:
    """Draw the budget's level where it is above calm or something is refused."""
    state, closed = services.governor.state(), services.admission.closed()
    if state.level is BudgetLevel.CALM and not closed:
        return
    label = _("Memory {level}").format(level=level_word(state.level).lower())
    if closed:
        refused = ", ".join(gate_name(gate).lower() for gate in closed)
        template = _("Refused: {what}") if state.level is BudgetLevel.CALM else _("{label}, refused: {what}")
        label = template.format(label=label, what=refused)
    st.page_link(
        page(PageName.BUDGET),
        label=escape(label),
        icon=LEVEL_ICONS[state.level],
        help=escape(next((why.reason for why in closed.values()), state_sentence(state))),
    )


def _brief(verdict: Verdict) -> str:
    """Return the verdict as one short sentence."""
    if verdict.state is VerdictState.UNKNOWN:
        return _("Too little data yet")
    if verdict.state is VerdictState.FLAT:
        return _("Memory flat for {time}").format(time=duration_text(verdict.window_seconds))
    slope = verdict.slope_per_hour or 0.0
    per_hour = (
        number_text(slope, signed=True)
        if is_counted(verdict.kind)
        else f"{number_text(slope / MEGABYTE, signed=True)} MB"
    )
    template = (
        _("Leak of {kind}, {growth} an hour")
        if verdict.state is VerdictState.LEAK
        else _("Watch {kind}, {growth} an hour")
    )
    return template.format(kind=kind_name(verdict.kind), growth=per_hour)
