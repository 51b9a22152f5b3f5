"""Retrieval test: what a question finds, and why."""

from __future__ import annotations

import streamlit as st

from console.boundary import boundary
from console.components.retrieval_view import retrieval_form, retrieval_hits
from console.resources import runtime
from console.state import RetrievalState, state_of

services = runtime()
left, right = st.columns([3, 7], gap="medium")
with left, boundary():
    retrieval_form(services)
with right:
    retrieval_hits(state_of(RetrievalState).result)
