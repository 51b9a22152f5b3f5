"""Documents: upload, progress, the document table, and the details of one."""

from __future__ import annotations

import streamlit as st

from console.ui.budget.admission import refusal_banner
from console.ui.current_actor import page_actor
from console.ui.documents.deleted_quotes import deleted_quotes
from console.ui.documents.detail import document_view
from console.ui.documents.filters import collection_from_address
from console.ui.documents.jobs import job_list
from console.ui.documents.table import document_table
from console.ui.documents.unread_pictures import unread_pictures_banner
from console.ui.documents.upload import collections_bar, upload_panel
from console.ui.embedding_model import embedding_model_notice
from console.ui.error_boundary import guarded, rerun_for_notices
from console.ui.runtime_access import ready_services
from console.ui.session_state import Query, query_number
from console.ui.shared.heartbeat import heartbeat
from services.core.admission import Gate
from services.core.errors import NotFoundError
from services.core.i18n import _
from services.knowledge.library import Library

BUSY_SECONDS = 0.7
IDLE_SECONDS = 3.0  # another session may add something


@st.fragment
@guarded
def live_view(library: Library, collection_id: int | None) -> None:
    """Draw jobs and table, and keep them up to date."""
    rerun_for_notices()
    busy = job_list(library)
    document_table(library, collection_id)
    waiting = library.delayed.waiting(page_actor())
    heartbeat("documents-beat", BUSY_SECONDS if busy or waiting else IDLE_SECONDS)


services = ready_services()
collection_from_address()
document_id = query_number(Query.DOCUMENT)
if document_id is not None:
    try:
        document = services.library.document(page_actor(services), document_id)
    except NotFoundError:
        st.warning(
            _("It was deleted, or the link is wrong."),
            title=_("Document not found"),
            icon=":material/scan_delete:",
        )
        document_id = None
    else:
        document_view(services.library, document)
if document_id is None:
    with st.container(horizontal=True):
        collection_id = collections_bar(services)
        upload_panel(services, collection_id, services.settings.upload_limit_mb)
    embedding_model_notice(services.model_change)
    refusal_banner(services.admission, Gate.UPLOADS)
    unread_pictures_banner(services.library)
    live_view(services.library, collection_id)
    deleted_quotes(services.library)
