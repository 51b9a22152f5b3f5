"""Uploads by drag and drop, and the collection that is shown: choose, create, rename, delete."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial
from typing import Literal

import streamlit as st
from streamlit.typing import UploadedFile

from console.ui.current_actor import page_actor, page_user
from console.ui.documents.deletion import undone_within
from console.ui.documents.filters import keep_in_address, show_first_page
from console.ui.rights import may_manage, why_no_collection, why_no_upload
from console.ui.session_state import DocumentsState, Key, Query, notify, notify_problem, query_number, state_of
from console.ui.shared.dialogs import confirm_choice, prompt_for_name, quotes_choice
from console.ui.shared.formatting import escape, shorten
from console.ui.shared.sharing import sharing_mark
from console.ui.streamlit.uploads import release_uploads
from services.app.container import Services
from services.core.errors import BadInputError, MillpondError
from services.core.i18n import _, plural
from services.core.machine import MEGABYTE
from services.core.requests import RequestKind, RequestScope
from services.knowledge.file_names import NamesOfOneUpload
from services.knowledge.library import Library
from services.knowledge.types import Collection, Intake

_MOST_PROBLEMS = 3  # that are shown one by one; more are counted
_ALL = 0  # ids count from 1


def upload_panel(services: Services, collection_id: int | None, limit_mb: int) -> None:
    """Draw the drop zone, folded away while there are documents; dropped files are added to the collection (None: the
    default one) at once."""
    if why := why_no_upload(services.library, collection_id):
        st.caption(why)
        return
    state = state_of(DocumentsState)
    shown = (collection_id,) if collection_id is not None else ()
    empty = services.library.count_documents(page_actor(services), collection_ids=shown) == 0
    # No popover: it would drop its uploader, and the files that are on their way, with the first click beside it.
    with st.expander(_("Add documents"), expanded=empty, icon=":material/upload_file:", key="documents-add"):
        folder = st.toggle(_("Upload a whole folder"), key=Key.UPLOAD_FOLDER)
        several: Literal[True, "directory"] = "directory" if folder else True
        files = st.file_uploader(
            _(
                "Drop documents here: PDF, Word, PowerPoint, Excel, OpenDocument, mail, HTML, EPUB, CSV, JSON, "
                "Markdown, notebooks, source code, text, scans and pictures"
            ),
            accept_multiple_files=several,
            max_upload_size=limit_mb,
            key=f"uploader-{state.uploads}-{several}",  # a new key is a new, empty uploader
        )
    # Hidden files are left out, as `ingest` does: systems put them into every folder.
    hidden = [file for file in files if folder and any(part.startswith(".") for part in file.name.split("/"))]
    release_uploads(hidden)
    files = [file for file in files if file not in hidden]
    if files:
        _store(services, files, collection_id)
        state.uploads += 1
        st.rerun()


def _store(services: Services, files: Sequence[UploadedFile], collection_id: int | None) -> None:
    stored: list[Intake] = []
    problems: list[tuple[str, MillpondError]] = []
    bar = st.progress(0.0)
    megabytes = sum(file.size for file in files) / MEGABYTE
    detail = _("files, {megabytes:.1f} MB").format(megabytes=megabytes)
    names = NamesOfOneUpload()
    batch = secrets.token_hex(4)
    scope: RequestScope | None = None
    try:
        scope = services.requests.open(RequestKind.UPLOAD, detail, user=page_user())
        for position in scope.positions():
            bar.progress(0.0, _("Waiting: number {position} in the queue").format(position=position))
        for number, file in enumerate(files, start=1):
            bar.progress(number / len(files), _("Storing {name}").format(name=escape(shorten(file.name, 60))))
            try:
                scope.check()
                names.add(file.name)
                stored.append(services.library.add(page_actor(services), file, file.name, collection_id, batch=batch))
            except MillpondError as error:
                problems.append((file.name, error))
            finally:
                release_uploads([file])
    finally:
        if scope is not None:
            scope.close()
        release_uploads(files)
        bar.empty()
    _notify(stored, problems)


def _notify(stored: Sequence[Intake], problems: Sequence[tuple[str, MillpondError]]) -> None:
    new = sum(not intake.duplicate for intake in stored)
    if new:
        notify(plural("{count} file is being processed.", "{count} files are being processed.", new))
    duplicates = [intake.document.name for intake in stored if intake.duplicate]
    if len(duplicates) == 1:
        notify(_("{name} already exists and was skipped.").format(name=shorten(duplicates[0], 60)))
    elif duplicates:
        notify(
            plural(
                "{count} file already exists and was skipped.",
                "{count} files already exist and were skipped.",
                len(duplicates),
            )
        )
    for name, error in problems[:_MOST_PROBLEMS]:
        notify_problem(BadInputError(f"{shorten(name, 80)}: {error.message}", error.hint))
    if len(problems) > _MOST_PROBLEMS:
        rest = len(problems) - _MOST_PROBLEMS
        notify_problem(
            BadInputError(plural("{count} more file was rejected.", "{count} more files were rejected.", rest))
        )


def collections_bar(services: Services) -> int | None:
    """Draw the choice of collection with its actions; return the chosen one, None for all. The address keeps it."""
    library = services.library
    state = state_of(DocumentsState)
    collections = {collection.id: collection for collection in library.collections(page_actor())}
    if state.collection not in collections:
        state.collection = None
    shared = services.identity.sharing.shared(page_actor())
    with st.container(horizontal=True, vertical_alignment="center", width="content"):
        chosen = st.selectbox(
            _("Collection"),
            [_ALL, *collections],
            index=[_ALL, *collections].index(state.collection or _ALL),
            format_func=lambda i: _title(collections[i], shared=i in shared) if i != _ALL else _("All collections"),
            key=f"{Key.UPLOAD_COLLECTION}-{state.collection}-{len(collections)}",
            label_visibility="collapsed",
            width=280,
        )
        if st.button(
            _("New collection"),
            icon=":material/create_new_folder:",
            key="collection-new",
            disabled=(why := why_no_collection()) is not None,
            help=why,
        ):
            prompt_for_name(_("New collection"), _("Name"), "", partial(_create, library))
        if chosen != _ALL:
            sharing_mark(services, collections[chosen])
        if chosen != _ALL and may_manage(chosen):
            current = collections[chosen]
            if st.button(_("Rename"), type="tertiary", key="collection-rename"):
                prompt_for_name(_("Rename collection"), _("Name"), current.name, partial(_rename, library, chosen))
            if st.button(_("Delete"), type="tertiary", key="collection-delete", disabled=_is_default(library, chosen)):
                quotes, choice = quotes_choice(library.quotes.in_collection(page_actor(), chosen))
                confirm_choice(
                    _("Delete the collection {name}?").format(name=shorten(current.name, 60)),
                    [
                        plural(
                            "Deletes its {count} document with the original file, chunks, search terms and vectors.",
                            "Deletes its {count} documents with original files, chunks, search terms and vectors.",
                            current.documents,
                        ),
                        *quotes,
                    ],
                    _("Delete"),
                    choice,
                    partial(_delete, library, chosen),
                    undone_by=undone_within(library.delayed),
                    destructive=True,
                )
    state.collection = chosen if chosen != _ALL else None
    if query_number(Query.COLLECTION) != state.collection:
        show_first_page()
    keep_in_address(Query.COLLECTION, state.collection)
    return state.collection


def _title(collection: Collection, *, shared: bool) -> str:
    title = f"{shorten(collection.name, 60)} ({collection.documents})"
    return _("{title}, shared").format(title=title) if shared else title


def _is_default(library: Library, collection_id: int) -> bool:
    return library.is_default(page_actor(), collection_id)


def _create(library: Library, name: str) -> str:
    state_of(DocumentsState).collection = library.create_collection(page_actor(), name).id
    return _("The collection {name} was created.").format(name=shorten(name, 60))


def _rename(library: Library, collection_id: int, name: str) -> str:
    library.rename_collection(page_actor(), collection_id, name)
    return _("Renamed to {name}.").format(name=shorten(name, 60))


def _delete(library: Library, collection_id: int, erase_quotes: bool) -> str:
    library.delayed.collection(page_actor(), collection_id, erase_quotes=erase_quotes)
    state_of(DocumentsState).collection = None
    return ""
