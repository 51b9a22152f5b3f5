"""The verdict on memory in one sentence, its evidence and suspects, and the main figures."""

from __future__ import annotations

from typing import Protocol

import streamlit as st

from console.navigation import PageName, page
from console.ui.charts.lines import malloc_label, pymalloc_label
from console.ui.charts.palette import owner_name
from console.ui.current_actor import disabled_reason, page_actor
from console.ui.error_boundary import attempt, guarded, rerun_for_notices
from console.ui.session_state import Key, MemoryState, Query, state_of
from console.ui.shared.formatting import browser_zone, escape, size, time_of_day
from console.ui.shared.heartbeat import heartbeat
from console.ui.shared.remedy_links import OF_VERDICT, remedy_links
from services.app.container import Services
from services.core.i18n import _, joined, listed
from services.core.memory_report import Owner
from services.memory.leaks.headline import headline, named_steps, step_text, told_steps
from services.memory.leaks.types import Suspect, SuspectKind, Verdict, VerdictState
from services.memory.leaks.wording import duration_text
from services.memory.ledger.ledger import Ledger
from services.memory.types import Sample, Series
from services.memory.watching_cost import WatchingActivity, WatchingCost

_PERIOD_SECONDS = 3.0
_MOST_STEPS = 8
_STALE_SECONDS = 15.0  # without a sample: the sampler has stopped
STATE_ICONS = {
    VerdictState.UNKNOWN: ":material/hourglass_top:",
    VerdictState.FLAT: ":material/check_circle:",
    VerdictState.WATCH: ":material/visibility:",
    VerdictState.LEAK: ":material/water_drop:",
}
STATE_COLOURS = {
    VerdictState.UNKNOWN: "gray",
    VerdictState.FLAT: "green",
    VerdictState.WATCH: "orange",
    VerdictState.LEAK: "red",
}


class ShownMemory(Protocol):
    """What the figures are drawn from: a `MemorySnapshot`, or what another node has told."""

    @property
    def time(self) -> float: ...
    @property
    def rss(self) -> int: ...
    @property
    def limit(self) -> int | None: ...
    @property
    def sample(self) -> Sample: ...
    @property
    def ledger(self) -> Ledger | None: ...
    @property
    def watching(self) -> WatchingCost: ...


@st.fragment
@guarded
def verdict_view(services: Services) -> None:
    """Draw the verdict and the main figures, and keep them up to date."""
    rerun_for_notices()
    shown = services.memory.snapshot()
    if shown is None:
        st.info(_("The first one follows within a second."), title=_("No samples yet"), icon=":material/hourglass_top:")
        heartbeat("memory-headline", 1.0)
        return
    silent = services.memory.clock.time() - shown.time
    if silent > _STALE_SECONDS * max(1.0, services.memory.clock.speed):
        st.error(
            _("The figures below are out of date. The log says what went wrong."),
            title=_("Sampling has stopped: the last sample is {seconds} s old").format(seconds=round(silent)),
            icon=":material/error:",
        )
    _verdict(services)
    draw_figures(shown)
    heartbeat("memory-headline", 0.0 if st.session_state.get(Key.MEMORY_PAUSE) else _PERIOD_SECONDS)


def _verdict(services: Services) -> None:
    verdict = services.memory.detector.verdict
    with st.container(border=True, gap="xsmall", key="verdict"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            mark = f":{STATE_COLOURS[verdict.state]}[{STATE_ICONS[verdict.state]}]"
            st.markdown(f"#### {mark} {escape(headline(verdict, browser_zone()))}", width="stretch")
            st.button(
                _("Trim and check again"),
                key=Key.MEMORY_TRIM,
                icon=":material/compress:",
                disabled=(why := disabled_reason(services)) is not None,
                help=why or _("Returns free memory of the allocator to the system: what remains is in use."),
                on_click=_trim,
                args=(services,),
            )
        _steps(verdict)
        for line in verdict.evidence:
            st.caption(escape(line))
        if trimmed := state_of(MemoryState).trimmed:
            st.caption(
                _(":material/compress: {words} RSS was {before} and is {after}.").format(
                    words=escape(trimmed.words),
                    before=size(trimmed.rss_before_bytes),
                    after=size(trimmed.rss_after_bytes),
                )
            )
        if verdict.suspects:
            draw_suspects(verdict.suspects)
        remedy_links(OF_VERDICT[verdict.state])


def _steps(verdict: Verdict) -> None:
    """Draw when it was made, and a link for each step to its cause, or to its moment where nothing explains it."""
    course = verdict.course
    found = told_steps(verdict)
    if verdict.state is VerdictState.FLAT and course is not None:
        found = (*course.earlier_excursions, *course.steps, *course.excursions)
        found += () if course.current is None else (course.current,)
    steps = named_steps(found, _MOST_STEPS)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="verdict-steps"):
        st.caption(_("As of {time}").format(time=time_of_day(verdict.time)), width="content")
        for step in steps:
            parameter, value = (Query.EVENT, step.causes[0].event_id) if step.causes else (Query.MOMENT, int(step.time))
            st.page_link(
                page(PageName.MEMORY),
                label=escape(step_text(step, verdict.time, browser_zone())),
                icon=":material/trending_up:" if step.bytes > 0 else ":material/trending_down:",
                help=escape(joined((cause.detail for cause in step.causes), _("; "))) or None,
                query_params={parameter.value: str(value)},
            )


def _trim(services: Services) -> None:
    state_of(MemoryState).trimmed = attempt(services.memory.detector.trim_and_recheck, page_actor(services))


def draw_suspects(suspects: tuple[Suspect, ...], *, linked: bool = True) -> None:
    """Draw the suspects; `linked`: with links to the pages of this node that show what holds them."""
    st.markdown(_("**Suspects**, most likely first"))
    for number, suspect in enumerate(suspects[:5], start=1):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"suspect-{number}"):
            st.markdown(f"{number}. {escape(_suspect_name(suspect))}", width="content")
            if suspect.detail:
                st.caption(escape(suspect.detail), width="content")
            if suspect.kind not in {SuspectKind.CONTAINER, SuspectKind.TYPE}:  # their own bytes say little
                st.caption(_suspect_slope(suspect), width="content")
            link = _LINKS.get(suspect.kind)
            if link is not None and linked:
                where, parameter = link
                st.page_link(
                    page(where),
                    label=_link_label(suspect.kind),
                    icon=":material/arrow_forward:",
                    query_params={parameter.value: suspect.name},
                )


# The page that a kind of suspect links to, and the parameter that names it there.
_LINKS = {
    SuspectKind.CONTAINER: (PageName.OBJECTS, Query.CONTAINER),
    SuspectKind.TYPE: (PageName.OBJECTS, Query.TYPE),
    SuspectKind.LINE: (PageName.ALLOCATIONS, Query.LINE),
}


def _link_label(kind: SuspectKind) -> str:
    return _("Where it is allocated") if kind is SuspectKind.LINE else _("What holds it")


def _suspect_name(suspect: Suspect) -> str:
    if suspect.kind is SuspectKind.OWNER:
        known = {owner.value: owner_name(owner) for owner in Owner}
        return _("Owner: {name}").format(name=known.get(suspect.name, suspect.name))
    words = {
        SuspectKind.CONTAINER: _("Container: {name}"),
        SuspectKind.TYPE: _("Type: {name}"),
        SuspectKind.LINE: _("Line: {name}"),
        SuspectKind.THREAD: _("Threads: {name}"),
        SuspectKind.DESCRIPTOR: _("File descriptors: {name}"),
    }
    return words[suspect.kind].format(name=suspect.name)


def _suspect_slope(suspect: Suspect) -> str:
    if suspect.kind in {SuspectKind.THREAD, SuspectKind.DESCRIPTOR}:
        return _("{count} per hour").format(count=f"{suspect.slope:+.1f}")
    sign = "+" if suspect.slope >= 0 else "−"
    return _("{size} per hour").format(size=sign + size(abs(suspect.slope)))


def draw_figures(shown: ShownMemory) -> None:
    """Draw the snapshot; what the system cannot measure is left out."""
    sample, limit = shown.sample, shown.limit
    figures: list[tuple[str, str, str]] = [(_("RSS"), size(shown.rss), "")]
    if limit:
        figures.append(
            (_("Of its limit"), f"{100 * shown.rss / limit:.0f} %", _("The limit is {size}.").format(size=size(limit)))
        )
    for series, label, note in (
        (Series.LIVE, _("In use"), _("What malloc and pymalloc have handed out, resident or not")),
        (Series.PYTHON_USED, pymalloc_label(), _("Python's objects up to 512 bytes; as of the ledger")),
        (Series.HEAP_USED, malloc_label(), _("Of the C library: native memory, and Python's objects over 512 bytes")),
    ):
        if (found := sample.get(series)) is not None:
            figures.append((label, size(found), note))
    if (pressure := sample.get(Series.PRESSURE)) is not None:
        figures.append((_("Pressure"), f"{100 * pressure:.1f} %", _("Share of time that something waited for memory")))
    group = sample.get(Series.GROUP_LIMIT)
    if group and (used := sample.get(Series.GROUP_USED)) is not None:
        figures.append((_("Cgroup"), f"{100 * used / group:.0f} %", _("Of {size}").format(size=size(group))))
    with st.container(horizontal=True, gap="small", key="memory-figures"):
        for label, value, note in figures:
            st.metric(label, value, border=True, width=120, help=note or None)
    st.caption(_("At {time}. ").format(time=time_of_day(shown.time)) + escape(watching_text(shown)))


def watching_text(shown: ShownMemory) -> str:
    """Return what watching costs: CPU over its window, what it is spent on, the worst second, and the bytes."""
    cost = shown.watching
    parts = [
        _("Watching costs {share} % of one core (mean of {window}), however many tabs are open").format(
            share=f"{100 * cost.cores:.2f}", window=duration_text(cost.window_seconds)
        )
    ]
    spent = sorted(cost.by_activity.items(), key=lambda entry: -entry[1])
    if named := [f"{activity_name(activity)} {100 * cores:.2f}" for activity, cores in spent if 100 * cores >= 0.005]:
        parts.append(listed(named))
    if cost.peak_activity is not None and cost.peak_age_seconds is not None:
        parts.append(
            _("most in one second: {share} %, {age} ago, by {activity}").format(
                share=f"{100 * cost.peak_cores:.1f}",
                age=duration_text(cost.peak_age_seconds),
                activity=activity_name(cost.peak_activity),
            )
        )
    if shown.ledger is not None:
        parts.append(_("it holds {size}").format(size=size(shown.ledger.owners.get(Owner.WATCHING, 0))))
    return joined(parts, _("; ")) + _(".")


def activity_name(activity: WatchingActivity) -> str:
    """Return the name of what the watching spends CPU time on."""
    return {
        WatchingActivity.SAMPLES: _("samples"),
        WatchingActivity.LEDGER: _("ledger"),
        WatchingActivity.DETECTOR: _("verdict"),
        WatchingActivity.CENSUS: _("census of objects"),
        WatchingActivity.HISTORY: _("history"),
        WatchingActivity.CHARTS: _("charts"),
        WatchingActivity.OTHER: _("other"),
    }[activity]
