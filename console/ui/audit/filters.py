"""The filters of the audit page; they are in the address, so that a link shows the same records."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import streamlit as st

from console.ui.audit.words import action_label, outcome_label
from console.ui.session_state import Key, Query, query, set_query
from console.ui.shared.formatting import browser_zone
from services.audit.store import AuditFilters
from services.core.auditing import Action, AuditOutcome
from services.core.i18n import _


def filters() -> AuditFilters:
    """Draw the filters and return what they say."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="audit-filters"):
        person = st.text_input(_("Who"), value=query(Query.WHO), key=Key.AUDIT_WHO, max_chars=200, width=180)
        actions = st.multiselect(
            _("Action"),
            list(Action),
            default=[Action(each) for each in query(Query.ACTION).split(",") if each in set(Action)],
            format_func=action_label,
            key=Key.AUDIT_ACTION,
            placeholder=_("All"),
            width=300,
        )
        target = st.text_input(
            _("On what"),
            value=query(Query.TARGET),
            key=Key.AUDIT_TARGET,
            max_chars=200,
            help=_("A part of a name, a kind such as collection, or kind and number: document 12."),
            width=200,
        )
        outcome = st.selectbox(
            _("Outcome"),
            list(AuditOutcome),
            index=list(AuditOutcome).index(AuditOutcome(found))
            if (found := query(Query.OUTCOME)) in _OUTCOMES
            else None,
            format_func=outcome_label,
            key=Key.AUDIT_OUTCOME,
            placeholder=_("All"),
            width=140,
        )
        first = st.date_input(_("From"), value=_day(query(Query.FROM)), key=Key.AUDIT_FROM, width=150)
        last = st.date_input(_("To"), value=_day(query(Query.TO)), key=Key.AUDIT_TO, width=150)
    since, until = (each if isinstance(each, date) else None for each in (first, last))
    chosen = {
        Query.WHO: (person or "").strip(),
        Query.ACTION: ",".join(each.value for each in actions),
        Query.TARGET: (target or "").strip(),
        Query.OUTCOME: outcome.value if outcome else "",
        Query.FROM: since.isoformat() if since else "",
        Query.TO: until.isoformat() if until else "",
    }
    if any(query(name) != value for name, value in chosen.items()):
        for name, value in chosen.items():
            set_query(name, value)
        set_query(Query.BEFORE, None)  # other records: from the newest again
    return AuditFilters(
        actor=chosen[Query.WHO],
        actions=tuple(each.value for each in actions),
        target=chosen[Query.TARGET],
        outcomes=(outcome.value,) if outcome else (),
        since=_midnight(since),
        until=_midnight(until + timedelta(days=1)) if until else None,
    )


def are_set(chosen: AuditFilters) -> bool:
    """Return whether anything is left out by these filters."""
    return chosen != AuditFilters()


_OUTCOMES = frozenset(each.value for each in AuditOutcome)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _midnight(day: date | None) -> int | None:
    """Return the beginning of a day where the browser is, in microseconds since 1970."""
    if day is None:
        return None
    return int(datetime.combine(day, time(), browser_zone()).timestamp()) * 1_000_000
