"""The generated tables of `docs/`: `python -m tests.docs.generate` writes them, `test_documents.py` checks them."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from services.core.backup_settings import BackupSettings
from services.core.oidc_settings import OidcSettings
from services.core.settings import Settings
from services.core.storage_settings import StorageSettings

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ROOT / "docs" / "settings.md"
ACCESS = ROOT / "docs" / "access.md"
BENCHMARKS = ROOT / "docs" / "benchmarks.md"
TABLES = {name: ROOT / "bench-results" / f"{file}.md" for name, file in (("bench", "table"), ("leaks", "leaks"))}


def settings_table() -> str:
    """Return every setting with its default and description as a Markdown table."""
    lines = ["| variable | default | what |", "| --- | --- | --- |"]
    # Those of a part of the settings come last.
    parts = (StorageSettings.model_fields, BackupSettings.model_fields, OidcSettings.model_fields)
    for name, field in sorted(Settings.model_fields.items(), key=lambda item: [item[0] in each for each in parts]):
        default = field.default
        if isinstance(default, SecretStr):
            default = default.get_secret_value()
        shown = "~/.local/share/millpond" if default is PydanticUndefined else str(default)
        cell = f"`{shown}`" if shown else ""
        lines.append(f"| `MILLPOND_{name.upper()}` | {cell} | {field.description} |")
    return "\n".join(lines)


def access_tables() -> dict[str, str]:
    """Return the tables of who may do what, by the name of their markers."""
    from console.api.access_table import names_table, paths_table, routes_table
    from console.api.application import create_api
    from console.navigation import RULES
    from console.ui.streamlit.tab_socket import MESSAGES

    return {
        "routes": routes_table(create_api()),
        "paths": paths_table(),
        "pages": names_table("page", {f"/{name.value}": rule for name, rule in RULES.items()}),
        "messages": names_table("message", MESSAGES),
    }


def replace_section(text: str, name: str, content: str) -> str:
    """Return `text` with what stands between the markers `name` replaced."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    return re.sub(pattern, lambda match: f"{match[1]}{content}\n{match[2]}", text, flags=re.DOTALL)


def section(text: str, name: str) -> str:
    """Return what stands between the markers `name`."""
    match = re.search(rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", text, flags=re.DOTALL)
    if match is None:
        raise ValueError(f"there are no markers for {name!r}")
    return match[1]


def main() -> None:
    SETTINGS.write_text(replace_section(SETTINGS.read_text(), "settings", settings_table()))
    text = ACCESS.read_text()
    for name, table in access_tables().items():
        text = replace_section(text, name, table)
    ACCESS.write_text(text)
    text = BENCHMARKS.read_text()
    for name, table in TABLES.items():
        if table.exists():
            text = replace_section(text, name, table.read_text().strip())
    BENCHMARKS.write_text(text)


if __name__ == "__main__":
    main()
