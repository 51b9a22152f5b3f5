"""Whose tab it is: the session of the person who opened it, as trusted headers said when the tab connected.

A tab ends with that session, and nobody else gets what it shows.
"""

from __future__ import annotations

from collections.abc import Callable

from streamlit.runtime.app_session import AppSession

from console.ui.streamlit import internals as streamlit

# Streamlit puts these headers, which the door alone can set, into `st.user` under these names.
_SESSION, _PERSON = "millpond_session", "millpond_person"
TRUSTED_HEADERS = {"X-Millpond-Session": _SESSION, "X-Millpond-Person": _PERSON}
_UPLOADS, _MEDIA = "/_stcore/upload_file/", "/media/"

Concerned = Callable[[int | None, str], bool]


def tab_session() -> str:
    """Return the session of the person whose tab's script runs, "" where nobody signed in."""
    session = streamlit.current_session()
    return owner_of(session)[1] if session is not None else ""


def tab_person() -> int | None:
    """Return the id of the person whose tab's script runs, None where nobody signed in."""
    session = streamlit.current_session()
    return owner_of(session)[0] if session is not None else None


def owner_of(session: AppSession) -> tuple[int | None, str]:
    """Return person and session to which a tab belongs; None and "" where nobody signed in."""
    info = streamlit.user_info(session)
    person = str(info.get(_PERSON) or "")
    return int(person) if person.isdecimal() else None, str(info.get(_SESSION) or "")


def owns(path: str, session_id: str) -> bool:
    """Return whether what lies at a path (a tab's upload, a picture of a page) may be had by a session.

    A picture that no tab shows at this moment is on its way out, or its page is being drawn again.
    """
    if path.startswith(_UPLOADS):
        tab = path.removeprefix(_UPLOADS).partition("/")[0]
        return any(session.id == tab and owner_of(session)[1] == session_id for session in _tabs())
    file_id = path.removeprefix(_MEDIA).partition(".")[0]
    shown_in = {name for name, files in streamlit.media_of_sessions().items() if file_id in files}
    return not shown_in or any(session.id in shown_in and owner_of(session)[1] == session_id for session in _tabs())


def end_tabs(concerned: Concerned) -> None:
    """Drop the tabs of somebody, with their state and files. On the event loop's thread only."""
    for session in _tabs():
        if concerned(*owner_of(session)):
            streamlit.end_session(session)


def redraw_tabs(concerned: Concerned) -> None:
    """Run the pages of somebody's tabs again. On the event loop's thread only."""
    for session in streamlit.connected_sessions():
        if concerned(*owner_of(session)):
            streamlit.redraw(session)


def _tabs() -> list[AppSession]:
    return [*streamlit.connected_sessions(), *streamlit.disconnected_sessions()]
