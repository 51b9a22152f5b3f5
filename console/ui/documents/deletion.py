"""Deletions on the documents page: what they are asked with, and the offer to call them off."""

from __future__ import annotations

import math
from collections.abc import Sequence

import streamlit as st

from console.ui.current_actor import page_actor
from console.ui.error_boundary import attempt
from console.ui.session_state import notify, notify_problem
from console.ui.shared.dialogs import deletion_text, quotes_choice
from console.ui.shared.formatting import escape, shorten, size
from services.core.errors import MillpondError
from services.core.i18n import _, plural
from services.knowledge.delayed_deletions import DelayedDeletion, DelayedDeletions
from services.knowledge.library import Library
from services.knowledge.types import Document

_MOST_NAMES = 5  # in the confirmation of a deletion


def deletion_lines(library: Library, documents: Sequence[Document]) -> tuple[list[str], str]:
    """Return the consequences of deleting `documents` for the confirmation, and its choice as `quotes_choice` does."""
    everything = library.with_attachments(page_actor(), [document.id for document in documents])
    attached = len(everything) - len(documents)
    lines = [shorten(document.name, 80) for document in documents[:_MOST_NAMES]]
    if len(documents) > _MOST_NAMES:
        lines.append(plural("and {count} more", "and {count} more", len(documents) - _MOST_NAMES))
    if attached > 0:
        lines.append(
            plural(
                "With it goes {count} attachment that only it brought.",
                "With it go {count} attachments that only it brought.",
                attached,
            )
            if len(documents) == 1
            else plural(
                "With them goes {count} attachment that only they brought.",
                "With them go {count} attachments that only they brought.",
                attached,
            )
        )
    lines.append(
        plural(
            "Deletes the original files ({size}), {count} chunk, its search terms and vector.",
            "Deletes the original files ({size}), {count} chunks, their search terms and vectors.",
            sum(document.chunks for document in everything),
            size=size(sum(document.size_bytes for document in everything)),
        )
    )
    quotes, choice = quotes_choice(library.quotes.of(page_actor(), [document.id for document in documents]))
    return lines + quotes, choice


def undone_within(delayed: DelayedDeletions) -> str:
    """Return how a deletion can be undone, "" where it cannot."""
    seconds = round(delayed.seconds)
    if not seconds:
        return ""
    return plural(
        "For {count} second it can be undone, then no more.",
        "For {count} seconds it can be undone, then no more.",
        seconds,
    )


def deletion_offers(library: Library) -> bool:
    """Draw the deletions that can be called off and tell of those that have ended; return whether any waits."""
    actor = page_actor()
    for outcome in library.delayed.ended(actor):
        if isinstance(outcome, MillpondError):
            notify_problem(outcome)
        else:
            notify(deletion_text(outcome))
    waiting = library.delayed.waiting(actor)
    for deletion in waiting:
        with st.container(horizontal=True, vertical_alignment="center", key=f"deletion-undo-{deletion.id}"):
            st.caption(escape(_will_be_deleted(deletion)), width="content")
            st.button(
                _("Undo"),
                key=f"deletion-undo-button-{deletion.id}",
                icon=":material/undo:",
                type="tertiary",
                on_click=attempt,
                args=(_undo, library, deletion),
            )
    return bool(waiting)


def _will_be_deleted(deletion: DelayedDeletion) -> str:
    seconds = plural("in {count} second", "in {count} seconds", max(math.ceil(deletion.seconds), 1))
    if deletion.collection:
        name = shorten(deletion.collection, 40)
        return _("The collection {name} will be deleted {in_seconds}.").format(name=name, in_seconds=seconds)
    return plural(
        "{count} document will be deleted {in_seconds}.",
        "{count} documents will be deleted {in_seconds}.",
        len(deletion.documents),
        in_seconds=seconds,
    )


def _undo(library: Library, deletion: DelayedDeletion) -> None:
    library.delayed.undo(page_actor(), deletion.id)
    notify(_("Nothing was deleted."))
