"""Export of table rows as CSV and JSON files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from services.core.i18n import _


def export_buttons(rows: Sequence[dict[str, Any]], name: str) -> None:
    """Draw two download buttons for `rows`; a file is made only when its button is pressed."""
    with st.container(horizontal=True, width="content"):
        for kind, mime, made in (("CSV", "text/csv", as_csv), ("JSON", "application/json", as_json)):
            st.download_button(
                kind,
                data=partial(made, rows),
                file_name=f"{name}.{kind.lower()}",
                mime=mime,
                key=f"objects-{name}-{kind.lower()}",
                icon=":material/download:",
                type="tertiary",
                on_click="ignore",
                help=_("All rows of this table as a file"),
                disabled=not rows,
            )


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as a JSON list."""
    return json.dumps(list(rows), ensure_ascii=False, indent=1)
