"""One's own API tokens on the page "My account": made, shown once with ready commands, listed, revoked."""

from __future__ import annotations

from functools import partial
from urllib.parse import urlsplit

import streamlit as st

from console.ui.current_actor import page_actor
from console.ui.session_state import Key
from console.ui.shared.dialogs import close_dialog, open_dialog
from console.ui.shared.session_rows import token_rows
from services.app.container import Services
from services.core.actor import PERMISSIONS, SCOPES
from services.core.errors import BadInputError
from services.core.i18n import _
from services.identity.tokens import LONGEST_DAYS
from services.identity.types import NewToken, Person

_DAYS = (30, 90, 365, None)
_USUAL = 90


def own_tokens_view(services: Services, person: Person) -> None:
    """Draw one's API tokens, and the way to make one."""
    tokens = services.identity.tokens.of_person(page_actor(services), person.id)
    st.caption(_("For programs: curl, the OpenAI client, the command line. Each has your rights within its scopes."))
    token_rows(services, tokens)
    if st.button(_("New token"), key=Key.TOKEN_ADD, icon=":material/key:"):
        open_dialog(_("New API token"), partial(_form, services, person))


def _form(services: Services, person: Person) -> None:
    scopes = [scope for scope in SCOPES if _adds(scope, person)]
    with st.form("token-form", border=False):
        name = st.text_input(_("Name"), key="token-name", max_chars=100, placeholder=_("What it is for"))
        chosen = st.pills(
            _("Scopes"),
            scopes,
            selection_mode="multi",
            default=["read", "ask"],
            format_func=_scope_words,
            key="token-scopes",
        )
        days = st.selectbox(
            _("Valid for"), _DAYS, index=_DAYS.index(_USUAL), format_func=_days_words, key="token-days", width=220
        )
        if st.form_submit_button(_("Create token"), type="primary", key="token-save"):
            if not name.strip():
                raise BadInputError(_("The token needs a name; nothing was created."), _("Say what it is for."))
            made = services.identity.tokens.create(page_actor(services), person.id, name.strip(), chosen, days)
            # The token is in the dialog alone, and goes with it.
            open_dialog(_("Your new API token"), partial(_shown_once, made), dismissible=False)


def _adds(scope: str, person: Person) -> bool:
    """Return whether a scope lets somebody of that role do anything that reading does not."""
    return scope == "read" or bool((SCOPES[scope] - SCOPES["read"]) & PERMISSIONS[person.role])


def _shown_once(made: NewToken) -> None:
    st.markdown(_("Copy it now: it is not shown again."))
    st.code(made.token, language=None, wrap_lines=True)
    address = _address()
    if "ask" in made.info.scopes:
        question = '{"model": "millpond", "messages": [{"role": "user", "content": "..."}]}'
        st.caption("curl")
        st.code(
            f"curl {address}/v1/chat/completions \\\n  -H 'Authorization: Bearer {made.token}' \\\n"
            f"  -H 'Content-Type: application/json' \\\n  -d '{question}'",
            language="bash",
            wrap_lines=True,
        )
        st.caption("OpenAI")
        st.code(f'OpenAI(base_url="{address}/v1", api_key="{made.token}")', language="python", wrap_lines=True)
    else:
        st.caption("curl")
        st.code(
            f"curl {address}/api/documents \\\n  -H 'Authorization: Bearer {made.token}'",
            language="bash",
            wrap_lines=True,
        )
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button(_("I have copied it"), type="primary", key="token-copied"):
            close_dialog()


def _address() -> str:
    """Return the address of the console as the browser knows it, without the page and its parameters."""
    parts = urlsplit(st.context.url or "http://127.0.0.1:8501")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rpartition('/')[0]}"


def _scope_words(scope: str) -> str:
    return {
        "read": _("read: search and read documents"),
        "ask": _("ask: also ask questions"),
        "write": _("write: also add and delete documents"),
        "operate": _("operate: whatever else your role allows"),
    }[scope]


def _days_words(days: int | None) -> str:
    return _("until it is revoked") if days is None else _("{count} days").format(count=min(days, LONGEST_DAYS))
