"""Ingestion jobs: those in progress with their progress bars, and failed ones with their hints."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from console.ui.current_actor import page_actor
from console.ui.error_boundary import attempt
from console.ui.rights import as_visitor
from console.ui.shared.formatting import escape, plain, progress_label, progress_share
from console.ui.shared.remedy_links import remedies_in, remedy_links
from services.core.i18n import _, joined, plural
from services.knowledge.library import Library
from services.knowledge.types import UNFINISHED, DocumentStatus, Job, JobKind

_SHOWN = 8  # lines; the rest is counted
_ORDER = {DocumentStatus.EMBEDDING: 0, DocumentStatus.PARSING: 1, DocumentStatus.QUEUED: 2}


def job_list(library: Library) -> bool:
    """Draw unfinished and failed jobs; return whether any is unfinished."""
    actor = page_actor()
    jobs = library.jobs.recent(actor, limit=200)
    unfinished = library.jobs.recent(actor, unfinished_only=True, limit=200)
    failed = [job for job in jobs if job.status is DocumentStatus.FAILED]
    if unfinished:
        _running(library, sorted(unfinished, key=lambda job: (_ORDER.get(job.status, 3), job.id)))
    if failed:
        _failed(library, failed)
    return any(job.status in UNFINISHED for job in unfinished)


def _running(library: Library, jobs: Sequence[Job]) -> None:
    changeable = library.jobs.changeable(page_actor(), jobs)
    with st.container(border=True, gap="xsmall", key="jobs-running"):
        if reason := library.jobs.pause_reason:
            st.caption(
                _(":material/pause_circle: Paused, nothing is lost: {reason}").format(reason=escape(reason)),
            )
        for job in jobs[:_SHOWN]:
            name, bar, button = st.columns([5, 5, 1], vertical_alignment="center", wrap=False)
            name.text(plain(job.document), wrap=False, width="stretch")
            bar.progress(progress_share(job.progress), escape(_label(job)))
            if job.id in changeable:
                button.button(
                    _("Cancel"),
                    key=f"job-cancel-{job.id}",
                    icon=":material/close:",
                    type="tertiary",
                    on_click=attempt,
                    args=(as_visitor(library.jobs.cancel), job.id),
                )
        if len(jobs) > _SHOWN:
            rest = len(library.jobs.recent(page_actor(), unfinished_only=True, limit=100_000)) - _SHOWN
            with st.container(horizontal=True, vertical_alignment="center"):
                st.caption(plural("{count} more file is queued.", "{count} more files are queued.", rest))
                if changeable:
                    st.button(
                        _("Cancel all"), key="job-cancel-all", type="tertiary", on_click=_cancel_all, args=(library,)
                    )


def _label(job: Job) -> str:
    label = progress_label(job.status, job.progress)
    kind = {JobKind.RECHUNK: _("re-chunk"), JobKind.REEMBED: _("re-embed"), JobKind.REREAD: _("read again")}.get(
        job.kind
    )
    return f"{label} ({kind})" if kind else label


def _cancel_all(library: Library) -> None:
    for job in _changeable(library, library.jobs.recent(page_actor(), unfinished_only=True, limit=100_000)):
        attempt(as_visitor(library.jobs.cancel), job.id)


def _changeable(library: Library, jobs: Sequence[Job]) -> list[Job]:
    changeable = library.jobs.changeable(page_actor(), jobs)
    return [job for job in jobs if job.id in changeable]


def _failed(library: Library, jobs: Sequence[Job]) -> None:
    changeable = library.jobs.changeable(page_actor(), jobs)
    title = plural("{count} file could not be processed", "{count} files could not be processed", len(jobs))
    with st.expander(title, icon=":material/error:", key="jobs-failed"):
        for job in jobs[:_SHOWN]:
            with st.container(horizontal=True, vertical_alignment="center", key=f"job-failed-{job.id}"):
                with st.container(gap=None, width="stretch"):
                    st.text(plain(job.document), wrap=False, width="stretch")
                    st.caption(escape(joined((job.error, job.hint))))
                    remedy_links(remedies_in(job.error, job.hint))
                if job.id not in changeable:
                    continue
                st.button(
                    _("Retry"),
                    key=f"job-retry-{job.id}",
                    icon=":material/refresh:",
                    on_click=attempt,
                    args=(as_visitor(library.jobs.retry), job.id),
                )
                st.button(
                    _("Remove"),
                    key=f"job-remove-{job.id}",
                    icon=":material/delete:",
                    on_click=attempt,
                    args=(as_visitor(library.jobs.remove), job.id),
                )
        if len(jobs) > _SHOWN:
            st.caption(_("{count} more: select the status Failed below to see all.").format(count=len(jobs) - _SHOWN))
            if changeable:
                st.button(_("Remove all failed"), key="job-remove-all", on_click=_remove_all, args=(library,))


def _remove_all(library: Library) -> None:
    for job in _changeable(library, library.jobs.recent(page_actor(), limit=100_000)):
        if job.status is DocumentStatus.FAILED:
            attempt(as_visitor(library.jobs.remove), job.id)
