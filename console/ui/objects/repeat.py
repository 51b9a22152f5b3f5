"""The repetition test: what each repetition of an action leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

import streamlit as st

from console.ui.current_actor import disabled_reason, page_actor
from console.ui.error_boundary import attempt, guarded, rerun_for_notices
from console.ui.session_state import Key
from console.ui.shared.exports import export_buttons
from console.ui.shared.formatting import ago, count, escape, milliseconds, plain, size, size_unit
from console.ui.shared.heartbeat import heartbeat
from services.core.actor import Actor
from services.core.i18n import _, plural
from services.memory.objects.inspector import Inspector
from services.memory.objects.repeat import FEWEST_REPETITIONS, MOST_REPETITIONS, RepeatRunner
from services.memory.objects.repeat_report import RepeatProgress, RepeatReport, RepeatStage, RepeatState

_BUSY_SECONDS, _IDLE_SECONDS = 0.7, 5.0
_BY_HAND = ""


@st.fragment
@guarded
def repeat_view(inspector: Inspector) -> None:
    """Draw the test in progress or the form for one, and the last reports."""
    rerun_for_notices()
    repeats = inspector.repeats
    progress = repeats.progress
    if progress is None:
        _form(inspector, repeats)
    else:
        _running(repeats, progress)
    reports = repeats.reports
    if not reports and progress is None:
        st.info(
            _("Choose an action that should leave nothing behind, and see whether that is so."),
            title=_("No tests yet"),
            icon=":material/repeat:",
        )
    for place, report in enumerate(reports):
        _report(report, place)
    heartbeat("objects-repeats", _BUSY_SECONDS if progress else _IDLE_SECONDS)


def _form(inspector: Inspector, repeats: RepeatRunner) -> None:
    labels = {**repeats.actions, _BY_HAND: _("By hand")}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        action = st.selectbox(
            _("Action"), list(labels), format_func=lambda name: labels[name], key="objects-action", width=320
        )
        times = st.number_input(
            _("How often"), FEWEST_REPETITIONS, MOST_REPETITIONS, 20, key="objects-times", width=130
        )
        what = ""
        if action == _BY_HAND:
            what = st.text_input(_("Name of the action"), max_chars=80, key="objects-what", width=240)
        st.button(
            _("Start"),
            key=Key.OBJECTS_REPEAT,
            type="primary",
            icon=":material/play_arrow:",
            disabled=(why := disabled_reason()) is not None,
            help=why,
            on_click=_start,
            args=(repeats, action or _BY_HAND, int(times), what),
        )
    st.caption(
        _(
            "The action runs twice to warm up, then {times} times. Four snapshots, before, in between and after, count "
            "all objects, each after a full collection, which **pauses all threads for about {pause}**."
        ).format(times=times, pause=milliseconds(inspector.expected_collection_seconds() * 1000))
    )


def _start(repeats: RepeatRunner, action: str, times: int, what: str) -> None:
    if action == _BY_HAND:
        attempt(repeats.start_by_hand, page_actor(), times, what)
    else:
        attempt(repeats.start, page_actor(), action, times)


def _running(repeats: RepeatRunner, progress: RepeatProgress) -> None:
    stages = {
        RepeatStage.START: _("Starting"),
        RepeatStage.SNAPSHOT: _("Counting all objects"),
        RepeatStage.WARM_UP: _("Warming up"),
        RepeatStage.REPEATING: _("Repeating"),
        RepeatStage.COMPARING: _("Comparing"),
    }
    done = _("{done} of {times}").format(done=progress.done, times=progress.times)
    text = f"{stages[progress.stage]} · {done}" if progress.stage is RepeatStage.REPEATING else stages[progress.stage]
    counted = progress.stage in {RepeatStage.REPEATING, RepeatStage.SNAPSHOT}
    share = progress.done / progress.times if counted else float(progress.stage is RepeatStage.COMPARING)
    st.progress(min(1.0, share), f"**{escape(plain(progress.action))}** · {text}")
    why = disabled_reason()
    with st.container(horizontal=True):
        if progress.by_hand:
            st.button(
                _("Count a repetition"),
                key="objects-mark",
                type="primary",
                icon=":material/add:",
                disabled=why is not None or not progress.waits,
                help=why,
                on_click=_do,
                args=(repeats.mark,),
            )
        st.button(
            _("Cancel"),
            key="objects-cancel",
            icon=":material/stop:",
            disabled=why is not None,
            help=why,
            on_click=_do,
            args=(repeats.cancel,),
        )


def _do(action: Callable[[Actor], None]) -> None:
    attempt(action, page_actor())


def _report(report: RepeatReport, place: int) -> None:
    with st.container(border=True, key=f"objects-report-{place}"):
        moment = datetime.fromtimestamp(report.time, UTC)
        times = plural("{count} time", "{count} times", report.done)
        st.markdown(f"**{escape(plain(report.action))}** · {times} · {ago(moment)}")
        if report.state is RepeatState.CANCELLED:
            st.info(_("There is no result."), title=_("Cancelled"), icon=":material/stop_circle:")
        elif report.state is RepeatState.FAILED:
            st.error(escape(report.error), title=_("The test failed"), icon=":material/error:")
        else:
            _result(report, place)


def _result(report: RepeatReport, place: int) -> None:
    if report.types:
        st.warning(_sentence(report), title=_("It leaves objects behind"), icon=":material/trending_up:")
    elif report.containers:
        st.warning(
            _("No type grows, but containers become longer."),
            title=_("Containers grow"),
            icon=":material/trending_up:",
        )
    else:
        st.success(
            _("Everything it allocates is freed again."),
            title=_("No type and no container grows"),
            icon=":material/check:",
        )
    figures = [
        (_("Blocks per repetition"), _signed(report.per_repetition(report.blocks))),
        (_("Heap per repetition"), _signed_size(report.per_repetition(report.heap))),
        (_("RSS per repetition"), _signed_size(report.per_repetition(report.rss))),
        (_("Longest collection"), milliseconds(report.longest_pause * 1000)),
    ]
    with st.grid(4, gap="small"):
        for label, value in figures:
            st.metric(label, value, border=True)
    if report.types:
        _types(report, place)
    if report.containers:
        _containers(report, place)


def _sentence(report: RepeatReport) -> str:
    growth = report.types[0]
    name = escape(plain(growth.type))
    if growth.each:
        return _(
            "Each repetition leaves {each} of {type}, {size}; {left} of the first half still exist at the end."
        ).format(
            each=count(growth.each),
            type=name,
            size=escape(size(growth.added.bytes / report.times)),
            left=count(growth.left.count),
        )
    return plural(
        "{count} object of {type} was added, not the same number each time.",
        "{count} objects of {type} were added, not the same number each time.",
        growth.added.count,
        type=name,
    )


def _types(report: RepeatReport, place: int) -> None:
    import pandas as pd

    column = st.column_config
    unit = size_unit([growth.added.bytes for growth in report.types])
    rows = [
        {
            "type": plain(growth.type),
            "each": growth.each,
            "count": growth.added.count,
            "bytes": unit.of(growth.added.bytes),
            "first": growth.first.count,
            "second": growth.second.count,
            "left": growth.left.count,
        }
        for growth in report.types
    ]
    st.dataframe(
        pd.DataFrame(rows),
        key=f"objects-growth-{place}",
        hide_index=True,
        placeholder="–",
        height="content" if len(rows) <= 8 else 320,
        alt=_("Types that grow"),
        column_config={
            "type": column.TextColumn(_("Type"), width=330),
            "each": column.NumberColumn(_("Per repetition"), width=110, help=_("Where it is the same every time")),
            "count": column.NumberColumn(_("Objects added"), format="%+d", width=110),
            "bytes": column.NumberColumn(_("{unit} added").format(unit=unit.name), format=unit.change, width=100),
            "first": column.NumberColumn(_("First half"), format="%+d", width=90),
            "second": column.NumberColumn(_("Second half"), format="%+d", width=100),
            "left": column.NumberColumn(
                _("Left"), width=70, help=_("Created in the first half and still alive at the end")
            ),
        },
    )
    export_buttons([asdict(growth) for growth in report.types], f"growth-{place}")


def _containers(report: RepeatReport, place: int) -> None:
    import pandas as pd

    column = st.column_config
    rows = [{**asdict(growth), "name": plain(growth.name), "type": plain(growth.type)} for growth in report.containers]
    st.dataframe(
        pd.DataFrame(rows)[["name", "type", "each", "before", "after"]],
        key=f"objects-grown-{place}",
        hide_index=True,
        placeholder="–",
        height="content" if len(rows) <= 8 else 320,
        alt=_("Containers that become longer"),
        column_config={
            "name": column.TextColumn(_("Container that becomes longer"), width=420),
            "type": column.TextColumn(_("Type"), width=120),
            "each": column.NumberColumn(_("Per repetition"), width=110),
            "before": column.NumberColumn(_("Before"), format="localized", width=80),
            "after": column.NumberColumn(_("After"), format="localized", width=80),
        },
    )


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+,.1f}".replace("-", "−")


def _signed_size(value: float | None) -> str:
    if value is None:
        return "–"
    return ("+" if value >= 0 else "−") + size(abs(value))
