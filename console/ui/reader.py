"""The language of a tab's reader: their choice, else what their browser asks for, else the setting.

A choice of somebody with an account is kept with the account, and in the browser as well: the sign-in page, the API's
messages and the page's own `lang` follow it there.
"""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from console.requested_language import LANGUAGE_COOKIE, LANGUAGE_COOKIE_SECONDS, requested_language
from console.ui import runtime_access
from console.ui.session_state import Key, state_of
from console.ui.streamlit.internals import current_session_id
from console.ui.streamlit.tab_owner import tab_person
from services.core.i18n import _, ask_for_language, language, use_language
from services.core.language_choice import LanguageChoices
from services.core.languages import ENGLISH, LANGUAGES, first_language, language_tag, matching_language

_BROWSER = ""  # the choice to follow the browser
# The cookie lies at the console's own path; the frame has told the page where that is.
_JS = f"""
export default function ({{ data }}) {{
  document.documentElement.lang = data.tag
  if (data.choice === null) return
  const path = new URL(window.__streamlit?.BACKEND_BASE_URL ?? "/", window.location.href).pathname
  const age = data.choice ? {LANGUAGE_COOKIE_SECONDS} : 0
  document.cookie = `{LANGUAGE_COOKIE}=${{data.choice}}; path=${{path}}; samesite=lax; max-age=${{age}}`
}}
"""
_frame = st.components.v2.component("millpond_language", js=_JS)


@dataclass
class Reader:
    """What this tab knows of its reader: the language of its texts, the choice in this browser, and whether that is to
    be written down there."""

    language: str = ""
    chosen: str | None = None
    unwritten: bool = False


def begin_run() -> None:
    """Find out the language of a full run of the page: a choice may have been made in another tab or browser."""
    reader = state_of(Reader)
    reader.language = first_language((_choice(), st.context.locale, _setting()))
    use_language(reader.language)


def speak_to_reader() -> None:
    """Make the texts of this thread in the language of the tab whose script runs in it."""
    use_language(_known_language())


def _known_language() -> str:
    if current_session_id() is None:
        return ENGLISH
    reader = state_of(Reader)
    if not reader.language:
        reader.language = first_language((_choice(), st.context.locale, _setting()))
    return reader.language


def _choice() -> str | None:
    """Return what the reader chose, None for nothing."""
    person, platform = tab_person(), runtime_access.existing_platform()
    if person is not None and platform is not None:
        chosen = LanguageChoices(platform.preferences).of(person)
        if chosen is not None:
            return chosen
    reader = state_of(Reader)
    if reader.chosen is not None:
        return reader.chosen or None
    return matching_language(st.context.cookies.get(LANGUAGE_COOKIE, ""))


def _setting() -> str:
    foundation = runtime_access.existing_foundation()
    return foundation.settings.language if foundation is not None else ENGLISH


def language_choice() -> None:
    """Draw the choice of the language."""
    choices, chosen = [_BROWSER, *LANGUAGES], _choice()
    st.selectbox(
        _("Language"),
        choices,
        index=choices.index(chosen) if chosen in choices else 0,
        format_func=lambda name: LANGUAGES.get(name) or _("Same as the browser"),
        key=Key.LANGUAGE,
        on_change=_choose,
        width=320,
    )


def _choose() -> None:
    chosen = str(st.session_state[Key.LANGUAGE])
    reader = state_of(Reader)
    person, platform = tab_person(), runtime_access.existing_platform()
    if person is not None and platform is not None:
        LanguageChoices(platform.preferences).choose(person, chosen or None)
    reader.chosen, reader.unwritten = chosen, True


def language_frame() -> None:
    """Tell the browser the language of the page where its frame came in another one, and a choice that was made."""
    reader = state_of(Reader)
    served = requested_language(
        st.context.cookies.get(LANGUAGE_COOKIE, ""), st.context.headers.get("Accept-Language", ""), _setting()
    )
    if reader.language != served or reader.chosen is not None:
        choice = reader.chosen if reader.unwritten else None
        _frame(key="language-frame", data={"tag": language_tag(language()), "choice": choice}, height=1)
    reader.unwritten = False


ask_for_language(_known_language)
