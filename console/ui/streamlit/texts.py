"""Streamlit's own texts, which it has in English alone, in the reader's language: on its uploader, its menus, its
buttons, and in what a screen reader says of them.

The browser puts them in, since Streamlit has no place to give them to. Read of Streamlit 1.67's frontend.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from services.core.i18n import _, language
from services.core.languages import ENGLISH

_component = st.components.v2.component(
    "millpond_streamlit_texts", js=(Path(__file__).parent / "texts.js").read_text(encoding="utf-8")
)


def translate_streamlit() -> None:
    """Have the browser show Streamlit's own texts in the language of the reader."""
    if language() == ENGLISH:
        return
    texts = {
        "Skip to main content": _("Skip to main content"),
        "Navigate to home page": _("Navigate to home page"),
        "Expand sidebar": _("Expand sidebar"),
        "Collapse sidebar": _("Collapse sidebar"),
        "Sidebar": _("Sidebar"),
        "App pages": _("App pages"),
        "Upload": _("Upload"),
        "file upload": _("Upload"),
        "Press Enter to apply": _("Press Enter to apply"),
        "Press Enter to submit form": _("Press Enter to apply"),
        "Show password": _("Show password"),
        "Hide password": _("Hide password"),
        "Send message": _("Send message"),
        "Stop script": _("Stop"),
        "Choose an option": _("Choose an option"),
        "Choose options": _("Choose options"),
        "Select…": _("Choose an option"),
        "No results": _("No results"),
        "Select all": _("Select all"),
        "Clear selection": _("Clear selection"),
        "Selected values": _("Selected values"),
        "Clear value": _("Clear"),
        "Clear all": _("Clear all"),
        "Clear date": _("Clear"),
        "Clear time": _("Clear"),
        "Open": _("Open"),
        "Close": _("Close"),
        "Increment": _("Increase"),
        "Decrement": _("Decrease"),
        "Choose date": _("Choose a date"),
        "Choose date range": _("Choose a range of dates"),
        "Previous month": _("Previous month"),
        "Next month": _("Next month"),
        "Copy to clipboard": _("Copy"),
        "Link to heading": _("Link to this heading"),
        "Main menu": _("Menu"),
        "Notifications": _("Notifications"),
        "Fullscreen": _("Full screen"),
        "Toggle fullscreen": _("Full screen"),
        "Close fullscreen": _("Leave full screen"),
        "Download as CSV": _("Download as CSV"),
        "Search": _("Search"),
        "Close Search": _("Close the search"),
        "Previous Result": _("Previous result"),
        "Next Result": _("Next result"),
        "Show/hide columns": _("Choose columns"),
        "Dataframe column menu": _("Menu of the column"),
        "Sort ascending": _("Sort ascending"),
        "Sort descending": _("Sort descending"),
        "Autosize": _("Fit the width"),
        "Pin column": _("Pin the column"),
        "Unpin column": _("Unpin the column"),
        "Hide column": _("Hide the column"),
        "Copy column name": _("Copy the column's name"),
        "Statistics": _("Statistics"),
        "Format": _("Format"),
        "Wrap": _("Wrap"),
        "Help": _("Help"),
    }
    patterns = [
        (r"([\d.]+) ?([KMGT]?B) per file.*", _("At most {size} a file").format(size="$1 $2")),
        (r"Press (Ctrl|⌘)\+Enter to .*", _("Press {keys} to apply").format(keys="$1+Enter")),
        (r"Help for (.+)", _("Help: {name}").format(name="$1")),
        (r"year, (.+)", _("Year: {name}").format(name="$1")),
        (r"month, (.+)", _("Month: {name}").format(name="$1")),
        (r"day, (.+)", _("Day: {name}").format(name="$1")),
        (r"Remove (.+)", _("Remove {name}").format(name="$1")),
    ]
    _component(key="streamlit-texts", data={"texts": texts, "patterns": patterns}, height=1)
