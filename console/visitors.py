"""Whose request this is: without a sign-in, a tab of a browser."""

from __future__ import annotations

import hashlib

from streamlit.runtime.scriptrunner import get_script_run_ctx

from services.scopes.who import NOBODY


def page_user() -> str:
    """Return the name of the tab whose script runs; the session's id itself stays secret."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is None:
        return NOBODY
    return f"tab {hashlib.blake2b(context.session_id.encode(), digest_size=4).hexdigest()}"
