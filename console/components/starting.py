"""What is seen while the services start, or when they could not."""

from __future__ import annotations

import streamlit as st

from console.components.formatting import escape
from console.components.heartbeat import heartbeat
from services.runtime import Runtime
from services.texts import _

_PERIOD_SECONDS = 0.5


@st.fragment
def starting(runtime: Runtime) -> None:
    """Show the stage of the start; the page comes by itself when all is ready."""
    if runtime.ready:
        st.rerun()
    failure = runtime.failure
    if failure is not None:
        st.error(escape(failure.hint) or " ", title=escape(failure.message), icon=":material/error:")
        return
    st.markdown(f":shimmer[{escape(_('Millpond is starting: {stage} …').format(stage=runtime.stage))}]")
    st.skeleton(height=220)
    heartbeat("starting", _PERIOD_SECONDS)
