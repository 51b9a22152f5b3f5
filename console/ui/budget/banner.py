"""What people are told where they want to do something that is refused at present."""

from __future__ import annotations

import streamlit as st

from console.navigation import PageName, page
from console.ui.budget.actions import gate_name
from console.ui.error_boundary import guarded
from console.ui.shared.formatting import escape
from console.ui.shared.heartbeat import heartbeat
from services.core.admission import Admission, Gate
from services.core.i18n import _

_PERIOD_SECONDS = 3.0


@st.fragment
@guarded
def refusal_banner(admission: Admission, *doors: Gate) -> None:
    """Say why something is refused at present, as long as it is; nothing otherwise. The first of `doors` counts."""
    closed = admission.closed()
    found = next(((door, closed[door]) for door in doors if door in closed), None)
    if found is not None:
        door, why = found
        with st.container(key="refusal-banner", gap="xsmall"):
            st.warning(
                f"{escape(why.reason)} {escape(why.hint)}",
                title=_("{what} are refused at present").format(what=escape(gate_name(door))),
                icon=":material/front_hand:",
            )
            st.page_link(page(PageName.BUDGET), label=_("What the memory budget did"), icon=":material/speed:")
    heartbeat("refusal", _PERIOD_SECONDS)
