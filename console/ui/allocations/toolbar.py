"""The toolbar of the page "Allocations": start with the cost beforehand, progress, snapshots, stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from console.ui.current_actor import disabled_reason, page_actor
from console.ui.error_boundary import attempt, guarded, rerun_for_notices
from console.ui.session_state import AllocationsState, Key, notify, state_of
from console.ui.shared.formatting import count, escape, milliseconds, size
from console.ui.shared.heartbeat import heartbeat
from services.core.actor import Actor
from services.core.errors import MillpondError
from services.core.i18n import _, plural
from services.memory.fork_snapshot import NOTICEABLE_PAUSE_SECONDS
from services.memory.tracing.tracer import Tracer
from services.memory.tracing.types import MOST_MINUTES, SnapshotInfo, TracingStatus

Found = TypeVar("Found")

_BUSY_SECONDS = 1.0
_IDLE_SECONDS = 3.0  # another tab, or the clock, may switch
_DEPTHS = (1, 5, 10, 25)


def allocations_toolbar(tracer: Tracer) -> None:
    """Draw the state of tracing and its buttons; a change redraws the rest of the page, too."""
    state_of(AllocationsState).shown = _shown(tracer)
    _bar(tracer)


@st.fragment
@guarded
def _bar(tracer: Tracer) -> None:
    rerun_for_notices()
    if state_of(AllocationsState).shown != _shown(tracer):
        st.rerun()
    status = tracer.status()
    if status.on:
        _running(tracer, status)
    else:
        _start_form(tracer)
    heartbeat("allocations", _BUSY_SECONDS if status.on else _IDLE_SECONDS)


def _shown(tracer: Tracer) -> tuple[object, ...]:
    """Return the state that the rest of the page depends on."""
    return tracer.status().on, *((info.id, info.name, info.note) for info in tracer.snapshots())


def _start_form(tracer: Tracer) -> None:
    st.subheader(_("Tracing is off"), anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        frames = st.segmented_control(
            _("Depth: recorded calls per allocation"),
            _DEPTHS,
            key=Key.TRACING_FRAMES,
            default=5,
            required=True,
            format_func=str,
            help=_("1 records the line that allocates; more also record its callers and the line in Millpond's code."),
        )
        minutes = st.number_input(
            _("Minutes"),
            1,
            MOST_MINUTES,
            15,
            key=Key.TRACING_MINUTES,
            width=130,
            help=_("Then tracing stops automatically."),
        )
        st.button(
            _("Start tracing"),
            key=Key.TRACING_START,
            type="primary",
            icon=":material/play_arrow:",
            disabled=(why := disabled_reason()) is not None,
            help=why,
            on_click=_start,
            args=(tracer, int(frames or 1), int(minutes)),
        )
    _cost(tracer, int(frames or 1))


def _cost(tracer: Tracer, frames: int) -> None:
    cost = tracer.known_cost(frames)
    # Measuring forks the process: merely opening a page must not cause a noticeable pause.
    if cost is None and tracer.expected_pause_seconds() <= NOTICEABLE_PAUSE_SECONDS:
        with st.spinner(_("Measuring the cost in a copy of the process"), show_time=False):
            try:
                cost = tracer.cost(frames)
            except MillpondError as error:
                st.caption(escape(str(error)))
    if cost is None:
        st.markdown(
            _(
                "**Tracing is expensive:** code that allocates much gets 8 times slower at depth 1, up to 46 times at "
                "depth 25, and each block allocated from then on needs about 80 bytes more."
            )
        )
        return
    lines = (
        _(
            "**Cost while tracing**, measured on this machine: code that creates many Python objects runs about "
            "**{usual} times slower**, code that does nothing else **{worst} times**. Only computations outside of "
            "Python, such as those of the embedding model, keep their speed."
        ).format(usual=_times(cost.usual), worst=_times(cost.slowdown)),
        _(
            "Each block allocated from then on needs **{bytes:.0f} bytes more**: {more} if all {blocks} live blocks "
            "were allocated again. A snapshot needs more for a moment, and pauses all threads for {pause}."
        ).format(
            bytes=cost.bytes_per_block,
            more=escape(size(cost.bytes_per_block * cost.blocks)),
            blocks=count(cost.blocks),
            pause=_pause(tracer.expected_pause_seconds()),
        ),
    )
    for line in lines:
        st.markdown(line)


def _times(factor: float) -> str:
    return f"{factor:.0f}" if factor >= 3 else f"{factor:.1f}"


def _pause(seconds: float) -> str:
    """Return a pause as text, in bold if it is noticeable."""
    words = _("about {pause}").format(pause=milliseconds(max(1.0, seconds * 1000)))
    return f"**{words}**" if seconds > NOTICEABLE_PAUSE_SECONDS else words


def _running(tracer: Tracer, status: TracingStatus) -> None:
    if status.foreign:
        st.subheader(_("Tracing is on, but was not started here"), anchor=False)
        st.markdown(
            _(
                "Something else started it, for example PYTHONTRACEMALLOC. Snapshots can be taken; it does not stop "
                "automatically."
            )
        )
    else:
        st.subheader(_("Tracing is on"), anchor=False)
    figures = [
        (_("Ends in"), _remaining(status)),
        (_("Traced"), size(status.traced)),
        (_("Blocks, about"), count(status.blocks)),
        (_("Tracing overhead"), size(status.overhead)),
        (_("Depth"), str(status.frames)),
    ]
    with st.grid(5, gap="small"):
        for label, value in figures:
            st.metric(label, value, border=True)
    why = disabled_reason()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            _("Take a snapshot"),
            key=Key.TRACING_SNAPSHOT,
            type="primary",
            icon=":material/photo_camera:",
            disabled=why is not None,
            help=why,
            on_click=_run,
            args=(tracer.take_snapshot, _taken),
        )
        if not status.foreign:
            st.button(
                _("Stop tracing"),
                key=Key.TRACING_STOP,
                icon=":material/stop:",
                disabled=why is not None,
                help=why,
                on_click=_run,
                args=(tracer.stop, lambda _status: _("Tracing is off. The snapshots are kept.")),
            )
    st.caption(_cost_of_actions(status))
    if status.problem:
        st.caption(f":orange[:material/warning:] {escape(status.problem)}")


def _cost_of_actions(status: TracingStatus) -> str:
    parts = [
        _("A snapshot pauses all threads for {pause} and needs {bytes} for a moment.").format(
            pause=_pause(status.pause), bytes=escape(size(status.snapshot_bytes))
        )
    ]
    if status.automatic_seconds:
        parts.append(
            _("One is taken automatically every {seconds:.0f} s, and a last one at the end.").format(
                seconds=status.automatic_seconds
            )
        )
    if not status.foreign:
        parts.append(_("Stopping pauses all threads for {pause}.").format(pause=_pause(status.stop_pause)))
    return " ".join(parts)


def _remaining(status: TracingStatus) -> str:
    if status.foreign:
        return "–"
    minutes, seconds = divmod(int(status.remaining), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _taken(info: SnapshotInfo) -> str:
    return plural(
        "Snapshot taken: {bytes} in {count} block; all threads were paused for {pause}.",
        "Snapshot taken: {bytes} in {count} blocks; all threads were paused for {pause}.",
        info.blocks,
        bytes=size(info.bytes),
        pause=milliseconds(info.paused * 1000),
    )


def _start(tracer: Tracer, frames: int, minutes: int) -> None:
    # The page's tables need it: imported while tracing it would take much longer and appear in every snapshot.
    import pandas as pd  # noqa: F401 - for its effect

    if attempt(tracer.start, page_actor(), frames, float(minutes)) is not None:
        notify(plural("Tracing for {count} minute.", "Tracing for {count} minutes.", minutes))


def _run(action: Callable[[Actor], Found], message: Callable[[Found], str]) -> None:
    found = attempt(action, page_actor())
    if found is not None:
        notify(message(found))
