"""How many browser tabs are connected. Like `console.uploads` this touches parts of Streamlit that are not public."""

from __future__ import annotations

from streamlit.runtime import exists, get_instance


def connected() -> int:
    """Return the number of tabs with a connection; those that are waiting to come back do not count."""
    if not exists():
        return 0
    return get_instance()._session_mgr.num_active_sessions()  # noqa: SLF001 - a test fails loudly when it moves
