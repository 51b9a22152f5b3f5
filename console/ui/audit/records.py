"""The records of the audit page: a table, the way to older ones, and exports of what the filters show."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

import streamlit as st

from console.ui.audit.filters import are_set, filters
from console.ui.audit.words import action_label, outcome_label, target_label, way_label
from console.ui.current_actor import page_actor, role_word
from console.ui.session_state import Key, Query, query_number, set_query
from console.ui.shared.formatting import local_time, plain
from services.app.container import Services
from services.audit.audit_trail import ExportFormat
from services.audit.chain import AuditRecord
from services.audit.exported_record import utc_text
from services.audit.store import AuditFilters
from services.core.actor import Role
from services.core.auditing import AuditOutcome
from services.core.i18n import _, plural

_ROWS = 100
_COLOURS = {AuditOutcome.DONE: "green", AuditOutcome.REFUSED: "orange", AuditOutcome.FAILED: "red"}


def records_view(services: Services) -> None:
    """Draw filters, records and export buttons."""
    actor = page_actor(services)
    chosen = filters()
    before = query_number(Query.BEFORE)
    found = services.audit.page(actor, chosen, before, _ROWS)
    if not found:
        _empty(chosen)
        return
    _table(found)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        _paging(found, before)
        total = services.audit.count(actor, chosen)
        st.caption(plural("{count} record", "{count} records", total), width="content")
        _export(services, chosen)


def _empty(chosen: AuditFilters) -> None:
    if are_set(chosen):
        st.info(_("Change the filters to see more."), title=_("No matching records"), icon=":material/search_off:")
    else:
        st.info(
            _("Who signs in, changes documents, settings or memory, or looks at objects is recorded here."),
            title=_("Nothing was recorded yet"),
            icon=":material/policy:",
        )


def _table(found: Sequence[AuditRecord]) -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {
            "number": [record.seq for record in found],
            "time": [local_time(record.time / 1e6) for record in found],
            "who": [plain(record.actor) for record in found],
            "action": [action_label(record.action) for record in found],
            "target": [
                plain(target_label(record.target_kind, record.target_id, record.target_name)) for record in found
            ],
            "outcome": [[outcome_label(record.outcome)] for record in found],
            "detail": [plain(record.detail) for record in found],
            "way": [way_label(record.way, record.token) for record in found],
            "address": [record.address for record in found],
            "role": [role_word(Role(record.role)) if record.role in set(Role) else record.role for record in found],
            "request": [record.request_id for record in found],
        }
    )
    column = st.column_config
    st.dataframe(
        frame,
        key="audit-table",
        hide_index=True,
        height="content" if len(found) <= 16 else 600,
        alt=_("Audit log"),
        column_config={
            "number": column.NumberColumn(_("No."), format="%d", width=70),
            "time": column.DatetimeColumn(_("Time"), format="YYYY-MM-DD HH:mm:ss", width=160),
            "who": column.TextColumn(_("Who"), width=120),
            "action": column.TextColumn(_("Action"), width=170),
            "target": column.TextColumn(_("On what"), width=240),
            "outcome": column.MultiselectColumn(
                _("Outcome"),
                options=[outcome_label(each) for each in AuditOutcome],
                color=[_COLOURS[each] for each in AuditOutcome],
                width=100,
            ),
            "detail": column.TextColumn(_("Detail"), width=260),
            "way": column.TextColumn(_("Via"), width=110),
            "address": column.TextColumn(_("Address"), width=120),
            "role": column.TextColumn(_("Role"), width=90),
            "request": column.TextColumn(_("Request"), width=160),
        },
    )


def _paging(found: Sequence[AuditRecord], before: int | None) -> None:
    with st.container(horizontal=True, width="content"):
        st.button(
            _("Newest"),
            key=Key.AUDIT_NEWEST,
            icon=":material/first_page:",
            type="tertiary",
            disabled=before is None,
            on_click=set_query,
            args=(Query.BEFORE, None),
        )
        st.button(
            _("Older"),
            key=Key.AUDIT_OLDER,
            icon=":material/chevron_right:",
            type="tertiary",
            disabled=len(found) < _ROWS,
            on_click=set_query,
            args=(Query.BEFORE, found[-1].seq),
        )


def _export(services: Services, chosen: AuditFilters) -> None:
    """Draw links to the API, which streams: a file in this process's memory would have the size of the log."""
    # Without accounts a link cannot carry the administrator's token.
    closed = services.access.sign_in_required and services.identity.open_mode
    with st.container(horizontal=True, width="content"):
        for form in ExportFormat:
            st.link_button(
                form.value.upper(),
                f"./api/audit/export?{_parameters(chosen, form)}",
                icon=":material/download:",
                type="tertiary",
                disabled=closed,
                help=_("Ask the API for it with the administrator's token: GET /api/audit/export")
                if closed
                else _("All records that the filters show, as a file. The export is recorded."),
            )


def _parameters(chosen: AuditFilters, form: ExportFormat) -> str:
    pairs = [
        ("format", form.value),
        ("person", chosen.actor),
        *(("action", each) for each in chosen.actions),
        ("object", chosen.target),
        *(("outcome", each) for each in chosen.outcomes),
        ("from", utc_text(chosen.since) if chosen.since is not None else ""),
        ("to", utc_text(chosen.until) if chosen.until is not None else ""),
    ]
    return urlencode([pair for pair in pairs if pair[1]])
