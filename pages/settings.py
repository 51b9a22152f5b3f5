"""Settings: the chat model, the embedding model, retrieval in use, and all settings in force."""

from __future__ import annotations

import streamlit as st

from console.navigation import PageName, page
from console.ui.current_actor import page_actor
from console.ui.embedding_model import embedding_model_view
from console.ui.reader import language_choice
from console.ui.runtime_access import application, ready_services
from console.ui.settings import connection_limits, model_chooser, settings_table
from services.core.i18n import _, plural

services = ready_services()
if page_actor(services).person_id is None:  # people with an account choose there
    language_choice()
st.subheader(_("Chat model"), anchor=False)
model_chooser(services.models)
st.subheader(_("Embedding model"), anchor=False)
embedding_model_view(services.model_change)
st.subheader(_("Retrieval"), anchor=False)
retrieval = services.library.retrieval_settings()
st.markdown(
    _("{hits}, weight of dense search {dense:g}, of lexical search {lexical:g}, score threshold {threshold:g}.").format(
        hits=plural("{count} hit", "{count} hits", retrieval.k),
        dense=retrieval.dense_weight,
        lexical=retrieval.lexical_weight,
        threshold=retrieval.threshold,
    )
)
st.page_link(page(PageName.RETRIEVAL), label=_("Try other settings in the retrieval test"))
st.subheader(_("Settings in force"), anchor=False)
st.caption(_("Set in the environment or in the file that MILLPOND_CONFIG names; changes need a restart."))
settings_table(services.settings)
connection_limits(application().hooks.connections())
