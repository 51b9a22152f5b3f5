"""What can be done to documents, in the table and in the view of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import streamlit as st

from console.components.dialogs import close, request
from console.components.formatting import count, shorten, size
from console.state import tell
from services.knowledge.library import Library
from services.knowledge.types import Document
from services.texts import _, plural

_NAMED = 5


def deletion_lines(documents: Sequence[Document]) -> list[str]:
    """Return lines that say what deleting `documents` removes."""
    lines = [shorten(document.name, 80) for document in documents[:_NAMED]]
    if len(documents) > _NAMED:
        lines.append(plural("and {count} more", "and {count} more", len(documents) - _NAMED))
    lines.append(
        _("The original files ({size}), {chunks} chunks, their search terms and vectors go.").format(
            size=size(sum(document.size_bytes for document in documents)),
            chunks=count(sum(document.chunks for document in documents)),
        )
    )
    lines.append(_("Answers that cite them stay, but their sources can no longer be opened."))
    return lines


def ask_rechunk(library: Library, ids: Sequence[int]) -> NoReturn:
    """Ask for a chunk size, then build new chunks beside the old ones."""

    def body() -> None:
        st.markdown(_("New chunks are built beside the old ones, which keep answering until the new ones are ready."))
        with st.form("rechunk-form", border=False):
            tokens = st.number_input(_("Largest chunk in tokens"), 16, 4096, 200, step=8, key="rechunk-tokens")
            overlap = st.number_input(
                _("Tokens that neighbouring chunks share"), 0, 1024, 24, step=4, key="rechunk-overlap"
            )
            if st.form_submit_button(_("Re-chunk"), type="primary"):
                jobs = library.rechunk(ids, chunk_tokens=int(tokens), overlap=int(overlap))
                tell(plural("{count} re-chunking job queued.", "{count} re-chunking jobs queued.", len(jobs)))
                close()

    request(plural("Re-chunk {count} document", "Re-chunk {count} documents", len(ids)), body)
