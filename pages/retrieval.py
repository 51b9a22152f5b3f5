"""Retrieval test: what a question finds, and why."""

from __future__ import annotations

import streamlit as st

from console.ui.error_boundary import boundary
from console.ui.retrieval.retrieval import retrieval_form, retrieval_hits
from console.ui.runtime_access import runtime
from console.ui.session_state import RetrievalState, state_of

services = runtime()
left, right = st.columns([3, 7], gap="medium")
with left, boundary():
    retrieval_form(services)
with right:
    retrieval_hits(state_of(RetrievalState).result)
