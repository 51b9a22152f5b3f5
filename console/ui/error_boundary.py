"""The error boundary: what a person sees when something fails.

An expected failure (`MillpondError`) becomes its message and hint. Anything else is a defect: logged with its traceback
under a reference id, of which the person sees only the id.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import streamlit as st
import structlog

from console.ui.current_actor import page_user
from console.ui.session_state import Notices, notify_problem, state_of
from console.ui.shared.formatting import escape
from services.core.errors import MillpondError
from services.core.i18n import _
from services.core.requests.registry import acting_for

log = structlog.get_logger(__name__)
Args = ParamSpec("Args")
Result = TypeVar("Result")


@contextmanager
def boundary() -> Iterator[None]:
    """Show what goes wrong inside instead of letting it reach Streamlit.

    Streamlit's own control flow (stop, rerun, switch page) derives from BaseException and passes through.
    """
    try:
        with acting_for(page_user()):
            yield
    except Exception as error:  # noqa: BLE001 - the last stop before the person
        show_error(error)


def guarded(function: Callable[Args, None]) -> Callable[Args, None]:
    """Put a boundary around a fragment or dialog, which run without the script around them."""

    @wraps(function)
    def inside(*args: Args.args, **kwargs: Args.kwargs) -> None:
        with boundary():
            function(*args, **kwargs)

    return inside


def attempt(action: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result | None:
    """Run an action of a widget's callback; on an expected failure, tell it on the next run and return None."""
    try:
        with acting_for(page_user()):
            return action(*args, **kwargs)
    except MillpondError as error:
        notify_problem(error)
        return None


def show_error(error: Exception) -> bool:
    """Show `error`; returns True, which is how `st.App(on_script_error=...)` learns that nothing is left to show."""
    if isinstance(error, MillpondError):
        st.error(escape(error.hint) or " ", title=escape(error.message), icon=":material/error:")
        return True
    reference = secrets.token_hex(4)
    log.error("defect", reference=reference, exc_info=error)
    st.error(
        _("The reference is {reference}; the log has the details. Reload the page to go on.").format(
            reference=reference
        ),
        title=_("Something went wrong that should not have."),
        icon=":material/bug_report:",
    )
    return True


def rerun_for_notices() -> None:
    """Run the whole page when an action within a fragment has left something to tell: fragments redraw too often."""
    if state_of(Notices).waiting:
        st.rerun()


def show_notices() -> None:
    """Show, once, what actions have left to be told."""
    notices = state_of(Notices)
    waiting, notices.waiting = notices.waiting, []
    for notice in waiting:
        if notice.kind == "done":
            st.toast(escape(notice.text), icon=":material/check:")
        else:
            st.error(escape(notice.hint) or " ", title=escape(notice.text), icon=":material/error:")
