"""Tables as CSV and JSON files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from services.texts import _


def exports(rows: Sequence[dict[str, Any]], name: str) -> None:
    """Draw two buttons that hand out `rows`; made only when one is pressed."""
    with st.container(horizontal=True, width="content"):
        st.download_button(
            "CSV",
            data=partial(as_csv, rows),
            file_name=f"{name}.csv",
            mime="text/csv",
            key=f"objects-{name}-csv",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
            help=_("Everything of this table, as a file"),
            disabled=not rows,
        )
        st.download_button(
            "JSON",
            data=partial(as_json, rows),
            file_name=f"{name}.json",
            mime="application/json",
            key=f"objects-{name}-json",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
            help=_("Everything of this table, as a file"),
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
