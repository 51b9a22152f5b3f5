"""What was searched for in place of words that no document has."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from console.ui.shared.formatting import escape, shorten
from services.core.i18n import _

_LONGEST = 40


def show_corrections(corrections: Sequence[tuple[str, str]]) -> None:
    """Draw a line for each word, (typed, read); nothing if there are none."""
    for typed, read in corrections:
        text = _("Nothing has “{typed}”; searched for “{read}”.").format(
            typed=shorten(typed, _LONGEST), read=shorten(read, _LONGEST)
        )
        st.caption(f":material/spellcheck: {escape(text)}")
