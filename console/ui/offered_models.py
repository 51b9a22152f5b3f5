"""The name of a chat model: typed, or chosen from those that its server lists."""

from __future__ import annotations

import time
from collections.abc import Sequence

import streamlit as st

from console.ui.current_actor import page_actor
from console.ui.session_state import ModelState, state_of
from console.ui.shared.formatting import plain
from services.chat.models import ChatModels
from services.chat.types import BackendChoice
from services.core.actor import Permission
from services.core.errors import MillpondError
from services.core.i18n import _

_SECONDS = 30.0  # for which a list is kept: each run of the page would ask the server again
_MOST = 500
_MOST_CHARACTERS = 200  # of a name; a server may send anything


def offered_models(models: ChatModels, choice: BackendChoice) -> tuple[str, ...]:
    """Return the models that the server of `choice` lists; none if it does not, or if the visitor may not ask it."""
    actor = page_actor()
    if not actor.may(Permission.CONFIGURE):
        return ()
    state = state_of(ModelState)
    # Of a key its hash: the tab's state outlives its field. Saving may have stored one.
    asked = (choice.kind, choice.url, hash(choice.api_key), state.saved)
    if state.asked != asked or time.monotonic() - state.asked_at > _SECONDS:
        try:
            names = models.models_of(actor, choice)
        except MillpondError:  # the status and the test of the connection say why
            names = []
        state.listed = tuple(plain(name) for name in names if len(name) <= _MOST_CHARACTERS)[:_MOST]
        state.asked, state.asked_at = asked, time.monotonic()
    return state.listed


def model_name_field(name: str, offered: Sequence[str], key: str) -> str:
    """Draw the field with `name` at first, below it a list of the models on offer that fills it; return what it has."""
    typed = st.text_input(_("Model"), value=name, key=key)
    if offered:
        st.selectbox(
            _("Models on this server"),
            offered,
            index=None,
            placeholder=_("Choose one of {count:,}").format(count=len(offered)),
            key=f"{key}-offered",
            on_change=_fill,
            args=(key,),
        )
    return (typed or "").strip()


def _fill(key: str) -> None:
    """Put the chosen name into the field."""
    if chosen := st.session_state[f"{key}-offered"]:
        st.session_state[key] = chosen
    st.session_state[f"{key}-offered"] = None
