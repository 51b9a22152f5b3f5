"""Which collection is looked at, and making, renaming and deleting collections."""

from __future__ import annotations

from functools import partial

import streamlit as st

from console.components.dialogs import ask_name, confirm, deletion_text
from console.components.formatting import shorten
from console.state import DocumentsState, Key, state_of
from services.knowledge.library import Library
from services.knowledge.types import Collection
from services.texts import _, plural

_ALL = 0  # a row id counts from 1


def collections_bar(library: Library) -> int | None:
    """Draw the bar; return the chosen collection, None for all."""
    state = state_of(DocumentsState)
    collections = {collection.id: collection for collection in library.collections()}
    if state.collection not in collections:
        state.collection = None
    with st.container(horizontal=True, vertical_alignment="center"):
        chosen = st.selectbox(
            _("Collection"),
            [_ALL, *collections],
            index=[_ALL, *collections].index(state.collection or _ALL),
            format_func=lambda i: _title(collections[i]) if i != _ALL else _("All collections"),
            key=f"{Key.UPLOAD_COLLECTION}-{state.collection}-{len(collections)}",
            label_visibility="collapsed",
            width=280,
        )
        if st.button(_("New collection"), icon=":material/create_new_folder:", key="collection-new"):
            ask_name(_("New collection"), _("Name"), "", partial(_create, library))
        if chosen != _ALL:
            current = collections[chosen]
            if st.button(_("Rename"), type="tertiary", key="collection-rename"):
                ask_name(_("Rename collection"), _("Name"), current.name, partial(_rename, library, chosen))
            if st.button(_("Delete"), type="tertiary", key="collection-delete", disabled=_is_default(library, chosen)):
                confirm(
                    _("Delete the collection {name}?").format(name=shorten(current.name, 60)),
                    [
                        plural(
                            "It goes with its {count} document: the original file, chunks, search terms and vectors.",
                            "It goes with its {count} documents: original files, chunks, search terms and vectors.",
                            current.documents,
                        )
                    ],
                    _("Delete"),
                    partial(_delete, library, chosen),
                )
    state.collection = chosen if chosen != _ALL else None
    return state.collection


def _title(collection: Collection) -> str:
    return f"{shorten(collection.name, 60)} ({collection.documents})"


def _is_default(library: Library, collection_id: int) -> bool:
    return library.default_collection().id == collection_id


def _create(library: Library, name: str) -> str:
    state_of(DocumentsState).collection = library.create_collection(name).id
    return _("The collection {name} is there.").format(name=shorten(name, 60))


def _rename(library: Library, collection_id: int, name: str) -> str:
    library.rename_collection(collection_id, name)
    return _("Renamed to {name}.").format(name=shorten(name, 60))


def _delete(library: Library, collection_id: int) -> str:
    report = library.delete_collection(collection_id)
    state_of(DocumentsState).collection = None
    return deletion_text(report)
