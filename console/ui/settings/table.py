"""The table of settings in force, which come from environment and file."""

from __future__ import annotations

import streamlit as st
from pydantic import SecretStr

from console.ui.shared.formatting import plain
from services.core.i18n import _
from services.core.settings import Settings, renamed_settings


def settings_table(settings: Settings) -> None:
    """Draw every setting with its value and origin; of secrets only that they are set."""
    import pandas as pd

    rows = []
    for name, about in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            shown = _("set, hidden") if value.get_secret_value() else ""
        else:
            shown = plain(str(value))
        changed = name in settings.model_fields_set
        rows.append((name, shown, _("yes") if changed else "", about.description or "", f"MILLPOND_{name.upper()}"))
    columns = [_("Setting"), _("Value"), _("Set"), _("What it is"), _("Environment")]
    st.dataframe(
        pd.DataFrame(rows, columns=columns),
        hide_index=True,
        height=560,
        alt=_("Settings in force"),
        column_config={
            columns[0]: st.column_config.TextColumn(width=190, pinned=True),
            columns[1]: st.column_config.TextColumn(width=220),
            columns[2]: st.column_config.TextColumn(width=50),
            columns[3]: st.column_config.TextColumn(width="large"),
        },
    )
    for setting in renamed_settings():
        st.caption(
            _("{old} is now called {new}; the old name is still read.").format(
                old=f"`{setting.old}`", new=f"`{setting.new}`"
            )
        )
