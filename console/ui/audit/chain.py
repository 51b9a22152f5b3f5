"""The state of the audit log's chain in a sentence, and its verification."""

from __future__ import annotations

import time

import streamlit as st

from console.ui.current_actor import page_actor
from console.ui.error_boundary import guarded
from console.ui.session_state import Key
from console.ui.shared.formatting import escape, time_of_day
from console.ui.shared.heartbeat import heartbeat
from console.ui.shared.remedy_links import remedies_in, remedy_links
from services.app.container import Services
from services.audit.audit_log import AuditState
from services.audit.audit_trail import VerifiedAudit
from services.core.i18n import _, listed, plural

_PERIOD_SECONDS = 10.0
_AT_ONCE = 20_000  # records that are verified when the page is opened: less than a second


@st.fragment
@guarded
def chain_view(services: Services) -> None:
    """Draw whether the chain is whole, since when that is known, and when it was last signed."""
    actor = page_actor(services)
    state, verified = services.audit.state(actor), services.audit.verified(actor)
    with st.container(horizontal=True, vertical_alignment="center", key="audit-chain"):
        place = st.container(width="stretch")
        asked = st.button(
            _("Verify"), key=Key.AUDIT_VERIFY, icon=":material/verified:", help=_("Read the whole log and check it")
        )
    if asked or (verified is None and 0 < state.records <= _AT_ONCE):
        with place, st.spinner(plural("Verifying {count} record …", "Verifying {count} records …", state.records)):
            services.audit.verify(actor)
        state, verified = services.audit.state(actor), services.audit.verified(actor)
    with place:
        _sentence(state, verified)
    heartbeat("audit-chain", _PERIOD_SECONDS)


def _sentence(state: AuditState, verified: VerifiedAudit | None) -> None:
    if state.waiting:
        text = plural(
            "{count} record waits in memory: the disk refuses it.",
            "{count} records wait in memory: the disk refuses them.",
            state.waiting,
        )
        st.warning(escape(text), icon=":material/save:")
        remedy_links(remedies_in(text))
    if verified is None:
        text = (
            plural(
                "{count} record, not verified since the start",
                "{count} records, not verified since the start",
                state.records,
            )
            if state.records
            else _("The audit log has no records.")
        )
        st.markdown(f":material/policy: {escape(text)}{_signed(state)}")
        return
    found, checked = verified.result, _("verified at {time}").format(time=time_of_day(verified.time))
    if found.whole:
        text = plural("The chain of {count} record is whole", "The chain of {count} records is whole", found.records)
        st.markdown(f":green[:material/verified:] **{escape(text)}**{_signed(state)} :gray[({escape(checked)})]")
        return
    lines = [escape(problem.message) for problem in found.problems]
    if found.more:
        lines.append(escape(plural("and {count} more", "and {count} more", found.more)))
    st.error(
        "\n".join(f"- {line}" for line in lines),
        title=escape(_("The audit log is not whole ({checked})").format(checked=checked)),
        icon=":material/gpp_bad:",
    )


def _signed(state: AuditState) -> str:
    if state.signed_at is None:
        return escape(_("; ") + _("not signed yet")) if state.records else ""
    ago = max(0.0, time.time() - state.signed_at)
    text = _("last signed {seconds:.0f} s ago").format(seconds=ago)
    if ago > 120:
        text = _("last signed {minutes:,.0f} min ago").format(minutes=ago / 60)
    if state.last > state.signed:
        further = plural("{count} record since", "{count} records since", state.last - state.signed)
        text = listed((text, further))
    return escape(_("; ") + text)
