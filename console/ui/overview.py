"""The page "Overview": key figures, health checks, what is held in memory, caches, and running, queued and finished
requests.
"""

from __future__ import annotations

import time

import streamlit as st

from console.ui.current_actor import page_actor, page_user
from console.ui.error_boundary import attempt, guarded, rerun_for_notices
from console.ui.session_state import notify
from console.ui.shared.formatting import count, escape, milliseconds, plain, signed_size, size, time_of_day
from console.ui.shared.heartbeat import heartbeat
from console.ui.shared.remedy_links import OF_COMPONENT, Remedy, remedy_links
from services.app.container import Services
from services.core.actor import Permission
from services.core.cache import CacheStats
from services.core.i18n import _, plural
from services.core.machine import MEGABYTE
from services.core.memory_report import Owner
from services.core.requests import FinishedRequest, Outcome, RequestKind, RunningRequest
from services.core.shared_level import SharedCacheStatus, ShelfStats
from services.operations.health import Check, component_name

_PERIOD_SECONDS = 3.0
_REQUESTS_PERIOD_SECONDS = 2.0
_SHOWN = 20
_RECENT = 50


@st.fragment
@guarded
def overview_view(services: Services) -> None:
    """Draw figures, checks and resources, and keep them up to date."""
    _figures(services)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        st.subheader(_("Health"), anchor=False)
        _checks(services)
    with right:
        st.subheader(_("Shared resources in memory"), anchor=False)
        _resources(services)
    heartbeat("overview", _PERIOD_SECONDS)


def _figures(services: Services) -> None:
    counts = services.library.counts(page_actor(services))
    running, waiting = services.answers.slots()
    reading = services.memory.reading()
    figures = [
        (_("RSS"), size(reading.rss)),
        (_("Documents"), count(counts.documents)),
        (_("Searchable documents"), count(counts.searchable)),
        (_("Chunks"), count(counts.chunks)),
        (_("Files on disk"), size(counts.bytes)),
        (_("Jobs unfinished"), count(counts.jobs_unfinished)),
        (_("Jobs failed"), count(counts.jobs_failed)),
        (_("Answers in progress"), f"{running} + {waiting}" if waiting else str(running)),
    ]
    measured = _("At {time}").format(time=time_of_day(reading.time))
    with st.grid(4, gap="small"):
        for place, (label, value) in enumerate(figures):
            st.metric(label, value, border=True, help=measured if place == 0 else None)
    if counts.jobs_failed:
        remedy_links([Remedy.FAILED_DOCUMENTS])


def _checks(services: Services) -> None:
    readiness = services.health.ready()
    rows = {
        f"{_check_icon(check)} {escape(component_name(check.name))}": escape(check.detail) or " "
        for check in readiness.checks
    }
    st.table(rows, border="horizontal")
    troubled = [check for check in readiness.checks if check.warning or not check.ok]
    remedy_links(OF_COMPONENT[check.name] for check in troubled if check.name in OF_COMPONENT)
    minutes = int((time.time() - services.started_at) // 60)
    st.caption(plural("Running for {count} minute.", "Running for {count} minutes.", minutes))


def _check_icon(check: Check) -> str:
    if not check.ok:
        return ":red[:material/error:]"
    return ":orange[:material/warning:]" if check.warning else ":green[:material/check_circle:]"


def _resources(services: Services) -> None:
    import pandas as pd

    rows = [(r.name, r.detail, r.bytes / MEGABYTE, r.loads) for r in services.shown_resources()]
    rows.append(_uploads(services))
    name, detail, megabytes, loads = _("Component"), _("Detail"), _("MB"), _("Loaded")
    st.dataframe(
        pd.DataFrame(rows, columns=[name, detail, megabytes, loads]),
        hide_index=True,
        alt=_("Shared resources in memory"),
        column_config={
            name: st.column_config.TextColumn(width=140),
            detail: st.column_config.TextColumn(width=300),
            megabytes: st.column_config.NumberColumn(format="%.1f", width=80),
            loads: st.column_config.NumberColumn(format="%d", width=70, help=_("How often it was loaded")),
        },
    )


def _uploads(services: Services) -> tuple[str, str, float, int]:
    """Return the row of uploads that are in RAM: as in the ledger which is shown."""
    snapshot = services.memory.snapshot()
    ledger = snapshot.ledger if snapshot is not None else None
    held = [report for report in ledger.held if report.owner is Owner.UPLOADS] if ledger is not None else []
    files, taken = sum(report.loads for report in held), sum(report.bytes for report in held)
    detail = plural("{count} file not yet on disk", "{count} files not yet on disk", files)
    return _("Uploads"), detail, taken / MEGABYTE, 0


@st.fragment
@guarded
def caches_view(services: Services) -> None:
    """Draw the caches and keep them up to date."""
    st.subheader(_("Caches"), anchor=False)
    enabled = [stats for stats in services.caches.stats() if stats.budget]
    if not enabled:
        st.caption(_("All caches are disabled in the settings."))
    for stats in enabled:
        filled = min(1.0, stats.bytes / stats.budget)
        shelf = services.caches.shelf(stats.name)
        shared = f" · {_shared_summary(shelf)}" if shelf is not None else ""
        st.progress(filled, f"**{escape(stats.label)}** · {_summary(stats)}{shared}")
    if services.caches.shared is not None:
        _shared_cache(services.caches.shared.status())
    heartbeat("caches", _PERIOD_SECONDS)


def _summary(stats: CacheStats) -> str:
    rate = stats.hit_rate
    parts = [
        _("{used} of {budget}").format(used=escape(size(stats.bytes)), budget=escape(size(stats.budget))),
        _("hit rate {rate:.0%}").format(rate=rate) if rate is not None else _("not used yet"),
        plural("{count} hit", "{count} hits", stats.hits),
        plural("{count} miss", "{count} misses", stats.misses),
    ]
    if stats.evicted:
        parts.append(_("{count} evicted").format(count=count(stats.evicted)))
    return " · ".join(parts)


def _shared_summary(shelf: ShelfStats) -> str:
    parts = [
        _("shared: {used} of {budget}").format(used=escape(size(shelf.bytes)), budget=escape(size(shelf.budget))),
        plural("{count} hit", "{count} hits", shelf.hits),
        plural("{count} miss", "{count} misses", shelf.misses),
    ]
    return " · ".join(parts)


def _shared_cache(status: SharedCacheStatus) -> None:
    """Say how the server does in which nodes keep things for each other."""
    address = escape(status.address)
    if status.state != "closed":
        text = _("The shared cache at {address} is left alone; each node goes on with its own. {reason}")
        st.warning(text.format(address=address, reason=escape(status.reason)), icon=":material/warning:")
    else:
        parts = [_("Shared with the other nodes at {address}").format(address=address)]
        if status.requests:
            average = milliseconds(status.seconds / status.requests * 1000)
            parts.append(_("{duration} on average").format(duration=escape(average)))
        st.caption(" · ".join(parts))
    if status.owed_seconds:
        st.caption(_("What was deleted is not yet removed there. Nothing of it is used, and it expires by itself."))


@st.fragment
@guarded
def requests_view(services: Services) -> None:
    """Draw the requests and keep them up to date."""
    rerun_for_notices()
    st.subheader(_("Requests"), anchor=False)
    running = services.requests.running()
    if not running:
        st.caption(_("No requests are running or queued."))
    actor, user, now = page_actor(services), page_user(), services.memory.reading().rss
    for request in running[:_SHOWN]:
        with st.container(
            horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key=f"request-{request.id}"
        ):
            st.markdown(_line(request, now))
            if actor.may(Permission.OPERATE) or request.user == user:
                st.button(
                    _("Cancel"),
                    key=f"cancel-{request.id}",
                    icon=":material/cancel:",
                    type="tertiary",
                    disabled=request.cancelled,
                    on_click=_cancel,
                    args=(services, request.id),
                )
    if len(running) > _SHOWN:
        more = len(running) - _SHOWN
        st.caption(plural("{count} more request", "{count} more requests", more))
    _recent(services.requests.recent(_RECENT))
    heartbeat("requests", _REQUESTS_PERIOD_SECONDS)


def request_kind_name(kind: RequestKind) -> str:
    """Return the name of a kind of request."""
    names = {
        RequestKind.ANSWER: _("Answer"),
        RequestKind.SEARCH: _("Search"),
        RequestKind.UPLOAD: _("Upload"),
        RequestKind.DIAGNOSTIC: _("Diagnostic"),
    }
    return names[kind]


def outcome_name(outcome: Outcome) -> str:
    """Return the name of an outcome."""
    names = {
        Outcome.DONE: _("done"),
        Outcome.CANCELLED: _("cancelled"),
        Outcome.TIMED_OUT: _("timed out"),
        Outcome.REFUSED: _("refused"),
        Outcome.FAILED: _("failed"),
        Outcome.DROPPED: _("abandoned"),
    }
    return names[outcome]


def _line(request: RunningRequest, rss: int) -> str:
    parts = [f"**{escape(request_kind_name(request.kind))}**", escape(request.user)]
    if request.detail:
        parts.append(escape(request.detail))
    if request.position:
        waited = max(0.0, time.time() - request.asked)
        parts.append(
            _("waiting: number {position} in the queue, for {time}").format(
                position=count(request.position), time=milliseconds(waited * 1000)
            )
        )
    elif request.began is not None:
        parts.append(_("for {time}").format(time=milliseconds(max(0.0, time.time() - request.began) * 1000)))
    else:
        parts.append(_("waiting for its conversation"))
    if request.rss_before is not None:
        parts.append(
            _("RSS {before} at the start, {change} since").format(
                before=escape(size(request.rss_before)), change=escape(signed_size(rss - request.rss_before))
            )
        )
    if request.cancelled:
        parts.append(_("being cancelled"))
    return " · ".join(parts)


def _cancel(services: Services, request_id: str) -> None:
    if attempt(services.requests.cancel, page_actor(services), request_id):
        notify(_("The request is being cancelled."))


def _recent(finished: list[FinishedRequest]) -> None:
    if not finished:
        return
    import pandas as pd

    rows = [
        (
            request_kind_name(each.kind),
            plain(each.user),
            plain(each.detail),
            outcome_name(each.outcome),
            round(each.waited * 1000),
            round(each.seconds * 1000),
            each.rss_before / MEGABYTE,
            (each.rss_after - each.rss_before) / MEGABYTE,
        )
        for each in finished
    ]
    names = [
        _("Kind"),
        _("User"),
        _("Detail"),
        _("Outcome"),
        _("Waited, ms"),
        _("Took, ms"),
        _("RSS before, MB"),
        _("Change, MB"),
    ]
    with st.expander(_("Recently finished"), key="requests-recent"):
        st.dataframe(
            pd.DataFrame(rows, columns=names),
            hide_index=True,
            alt=_("Recently finished requests"),
            column_config={
                names[6]: st.column_config.NumberColumn(format="%.1f"),
                names[7]: st.column_config.NumberColumn(format="%+.1f", help=_("Of the whole process")),
            },
        )
