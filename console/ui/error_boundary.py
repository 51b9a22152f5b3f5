"""Error boundary and notices of pages.

An expected failure (`MillpondError`) is shown as its message and hint. Anything else is a defect: logged with its
traceback under a reference id, and the user sees only the id.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import streamlit as st
import structlog

from console.ui.current_actor import acting_as_page
from console.ui.reader import speak_to_reader
from console.ui.session_state import Notices, notify_problem, state_of
from console.ui.shared.formatting import escape
from console.ui.shared.remedy_links import show_problem
from services.core.errors import MillpondError
from services.core.i18n import _
from services.memory.refusal import memory_refused

log = structlog.get_logger(__name__)
Args = ParamSpec("Args")
Result = TypeVar("Result")


@contextmanager
def boundary() -> Iterator[None]:
    """Show errors raised inside instead of passing them to Streamlit.

    Streamlit's own control flow (stop, rerun, switch page) derives from BaseException and passes through.
    """
    speak_to_reader()
    try:
        with acting_as_page():
            yield
    except Exception as error:  # noqa: BLE001 - the last handler before the user
        show_error(error)


def guarded(function: Callable[Args, None]) -> Callable[Args, None]:
    """Put a boundary around a fragment or dialog, which run without the script around them."""

    @wraps(function)
    def inside(*args: Args.args, **kwargs: Args.kwargs) -> None:
        with boundary():
            function(*args, **kwargs)

    return inside


def attempt(action: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result | None:
    """Run an action in a widget's callback; an expected failure is shown on the next run and returns None."""
    speak_to_reader()
    try:
        with acting_as_page():
            return action(*args, **kwargs)
    except MillpondError as error:
        notify_problem(error)
        return None


def show_error(error: Exception) -> bool:
    """Show `error`; return True, which tells `st.App(on_script_error=...)` that it was handled."""
    if isinstance(error, MemoryError):
        error = memory_refused(error) or error
    if isinstance(error, MillpondError):
        show_problem(error.message, error.hint)
        return True
    reference = secrets.token_hex(4)
    log.error("defect", reference=reference, exc_info=error)
    st.error(
        _("The reference is {reference}; the log has the details. Reload the page to continue.").format(
            reference=reference
        ),
        title=_("An internal error occurred."),
        icon=":material/bug_report:",
    )
    return True


def rerun_for_notices() -> None:
    """Rerun the whole page when an action in a fragment left a notice, which the next tick would remove."""
    if state_of(Notices).waiting:
        st.rerun()


def show_notices() -> None:
    """Show the waiting notices, once; in a place of their own, so that none moves what stands below it."""
    notices = state_of(Notices)
    waiting, notices.waiting = notices.waiting, []
    with st.container():
        for notice in waiting:
            if notice.kind == "done":
                st.toast(escape(notice.text), icon=":material/check:")
            else:
                show_problem(notice.text, notice.hint)
