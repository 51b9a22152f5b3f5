"""Retrieval test: the hits of a query, with their scores."""

from __future__ import annotations

import streamlit as st

from console.ui.error_boundary import boundary
from console.ui.retrieval import embedder_trust, last_result, retrieval_form, retrieval_hits
from console.ui.runtime_access import ready_services

services = ready_services()
left, right = st.columns([3, 7], gap="medium")
with left, boundary():
    retrieval_form(services)
    embedder_trust(services)
with right:
    retrieval_hits(last_result())
