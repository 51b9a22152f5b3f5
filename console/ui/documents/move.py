"""Moving documents to another collection, and the offer to move them back."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import streamlit as st

from console.ui.current_actor import page_actor
from console.ui.error_boundary import attempt
from console.ui.session_state import DocumentsState, Key, Move, notify, notify_problem, state_of
from console.ui.shared.formatting import escape, plain, shorten
from services.core.errors import MillpondError, NotFoundError
from services.core.i18n import _, plural
from services.knowledge.library import Library
from services.knowledge.types import Collection

UNDO_SECONDS = 20.0


def move_menu(library: Library, ids: Sequence[int], writable: Sequence[Collection], moved: Callable[[], None]) -> None:
    """Draw the menu of collections to move documents to; `moved` is called after a move."""
    with st.popover(_("Move to"), key=Key.MOVE_MENU, disabled=not ids, on_change="rerun"):
        for collection in writable:
            st.button(
                plain(collection.name),
                key=f"bulk-move-{collection.id}",
                type="tertiary",
                on_click=_move,
                args=(library, ids, collection, moved),
            )


def undo_offer(library: Library) -> bool:
    """Draw what was moved last and the button that moves it back; return False where there is nothing to undo."""
    move = state_of(DocumentsState).moved
    if move is None or time.monotonic() > move.until:
        return False
    with st.container(horizontal=True, vertical_alignment="center", key="move-undo"):
        st.caption(escape(move.text), width="content")
        st.button(
            _("Undo"),
            key=Key.MOVE_UNDO,
            icon=":material/undo:",
            type="tertiary",
            on_click=attempt,
            args=(_undo, library, move),
        )
    return True


def _move(library: Library, ids: Sequence[int], target: Collection, moved: Callable[[], None]) -> None:
    st.session_state[Key.MOVE_MENU] = False  # a menu closes once something was chosen
    move = attempt(_moved, library, ids, target)
    if move is not None:
        state_of(DocumentsState).moved = move
        moved()


def _moved(library: Library, ids: Sequence[int], target: Collection) -> Move:
    """Move documents and return what is needed to move them back."""
    everything = {document.id: document.collection_id for document in library.with_attachments(page_actor(), ids)}
    library.move(page_actor(), ids, target.id)
    chosen = set(ids)
    documents = {each: origin for each, origin in everything.items() if each in chosen and origin != target.id}
    return Move(
        target=target.id,
        documents=documents,
        attachments={each: origin for each, origin in everything.items() if each not in chosen},
        text=plural(
            "{count} document moved to {collection}.",
            "{count} documents moved to {collection}.",
            len(documents),
            collection=shorten(target.name, 40),
        ),
        until=time.monotonic() + UNDO_SECONDS,
    )


def _undo(library: Library, move: Move) -> None:
    """Move back what is still where the move left it; one collection that refuses does not stop the others."""
    state_of(DocumentsState).moved = None
    origins = defaultdict(list)
    for document_id, origin in move.documents.items():
        if _collection_of(library, document_id) == move.target:
            origins[origin].append(document_id)
    back = sum(len(ids) for origin, ids in origins.items() if _move_back(library, ids, origin))
    for document_id, origin in move.attachments.items():  # they went with their documents, and with them back
        if origin != (found := _collection_of(library, document_id)) and found in {move.target, *origins}:
            _move_back(library, [document_id], origin)
    if back:
        notify(
            plural(
                "{count} document is back in its collection.", "{count} documents are back in their collections.", back
            )
        )


def _move_back(library: Library, ids: Sequence[int], origin: int) -> bool:
    try:
        library.move(page_actor(), ids, origin)
    except MillpondError as error:
        notify_problem(error)
        return False
    return True


def _collection_of(library: Library, document_id: int) -> int | None:
    """Return the collection that a document is in now, None where it is gone or may not be read."""
    try:
        return library.document(page_actor(), document_id).collection_id
    except NotFoundError:
        return None
