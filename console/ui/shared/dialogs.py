"""Dialogs: every destructive action states what it removes, can be cancelled, and reports what it did.

A dialog opened within a live fragment would vanish at the fragment's next tick. `open_dialog` therefore stores it, and
`console.app` draws it on every run until it is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

import streamlit as st

from console.ui.error_boundary import guarded
from console.ui.session_state import Key, notify, state_of
from console.ui.shared.formatting import escape, size
from services.core.document_quotes import Quoted
from services.core.i18n import _, gap, plural
from services.knowledge.types import DeletionReport

Body = Callable[[], None]
# In a container of this key the style sheet of the pages makes the confirming button (`Key.CONFIRM`) red: Streamlit's
# buttons have the accent or none.
_DESTRUCTIVE = "destructive"


@dataclass
class OpenDialog:
    """The open dialog of this tab, if any."""

    title: str = ""
    body: Body | None = None
    page: str = ""
    dismissible: bool = True


def open_dialog(title: str, body: Body, *, dismissible: bool = True) -> NoReturn:
    """Open a dialog; `body` draws it and closes it with `close_dialog`.

    One that is not `dismissible` shows what is shown this once: a click beside it does not close it.
    """
    dialog = state_of(OpenDialog)
    dialog.title, dialog.body, dialog.page = title, body, ""
    dialog.dismissible = dismissible
    st.rerun()
    raise AssertionError("st.rerun returned")


def close_dialog() -> NoReturn:
    """Close the dialog, from its body."""
    _discard()
    st.rerun()
    raise AssertionError("st.rerun returned")


def show_dialog(page: str) -> None:
    """Draw the dialog that was opened on `page`; going to another page closes it."""
    dialog = state_of(OpenDialog)
    if dialog.body is None:
        return
    dialog.page = dialog.page or page
    if dialog.page != page:
        _discard()
        return
    draw = st.dialog(escape(dialog.title), width="small", dismissible=dialog.dismissible, on_dismiss=_discard)
    draw(guarded(dialog.body))()


def _discard() -> None:
    state_of(OpenDialog).body = None


def confirm(
    title: str, consequences: Iterable[str], label: str, action: Callable[[], str], *, undone_by: str = ""
) -> NoReturn:
    """Ask before `action`; `consequences` are lines that state its effect. Shows what `action` returns afterwards,
    unless that is "".

    `undone_by` says how it can be undone, "" where it cannot: then its button is red.
    """
    confirm_choice(title, consequences, label, "", lambda _chosen: action(), undone_by=undone_by)


def confirm_choice(
    title: str,
    consequences: Iterable[str],
    label: str,
    choice: str,
    action: Callable[[bool], str],
    *,
    undone_by: str = "",
    destructive: bool = False,
) -> NoReturn:
    """As `confirm`, with a box to tick named `choice` (unless it is ""); `action` gets whether it was ticked.

    The button of what is `destructive` is red even where it can be undone.
    """
    lines = tuple(consequences)

    def body() -> None:
        for line in lines:
            st.markdown(escape(line))
        chosen = bool(choice) and st.checkbox(choice, key="dialog-choice")
        st.caption(undone_by or _("This cannot be undone."))
        key = "confirmation" if undone_by and not destructive else _DESTRUCTIVE
        with st.container(horizontal=True, horizontal_alignment="right", key=key):
            if st.button(_("Cancel"), key="dialog-cancel"):
                close_dialog()
            if st.button(label, type="primary", key=Key.CONFIRM):
                if told := action(chosen):
                    notify(told)
                close_dialog()

    open_dialog(title, body)


def quotes_choice(quoted: Quoted) -> tuple[list[str], str]:
    """Return lines about the answers that quote what is to be deleted, and the name of the box that erases them.

    Both are empty when nothing quotes it.
    """
    if not quoted.answers:
        return [_("Nothing of it stays: no answer quotes it.")], ""
    stays = _("What stays: {answers} in {conversations}, named as quotes of a deleted document.").format(
        answers=plural("{count} answer that quotes it", "{count} answers that quote it", quoted.answers),
        conversations=plural("{count} conversation", "{count} conversations", quoted.conversations),
    )
    return [stays], plural("Erase this answer, too", "Erase these answers, too", quoted.answers)


def prompt_for_name(title: str, label: str, value: str, action: Callable[[str], str]) -> NoReturn:
    """Ask for a name and pass it to `action`, which returns the notice to show; a failure is shown in the dialog."""

    def body() -> None:
        with st.form("name-form", border=False):
            name = st.text_input(label, value=value, max_chars=200, key="name-field")
            if st.form_submit_button(_("Save"), type="primary", key="name-save"):
                notify(action(name.strip()))
                close_dialog()

    open_dialog(title, body)


def deletion_text(report: DeletionReport) -> str:
    """Return sentences about what a deletion removed, and what stays."""
    text = _("Deleted {documents}, {chunks} and {size}.").format(
        documents=plural("{count} document", "{count} documents", report.documents),
        chunks=plural("{count} chunk", "{count} chunks", report.chunks),
        size=size(report.bytes),
    )
    if report.answers_erased:
        text += gap() + plural("{count} answer was erased.", "{count} answers were erased.", report.answers_erased)
    if report.quoted.answers:
        answers = report.quoted.answers
        text += gap() + plural("{count} answer still quotes it.", "{count} answers still quote it.", answers)
    return text
