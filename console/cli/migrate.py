"""`migrate`: moves a pond to another database."""

from __future__ import annotations

import click

from console.cli.progress import shown_progress
from console.cli.terminal import quiet_logs
from services.app.pond_migration import migrate_pond
from services.core.i18n import _, plural, use_terminal_language
from services.core.settings import Settings


def migrate(settings: Settings, target_url: str) -> int:
    """Copy the database to another, say how far it is, and what to do then; returns the exit code.

    Raises:
        MillpondError: it was not copied, or is not complete; the original is as it was.
    """
    use_terminal_language(settings.language)
    quiet_logs(settings)
    with shown_progress() as progress:
        done = migrate_pond(settings, target_url, progress)
    click.echo(
        plural(
            "{count} document was moved, with {rows} rows that were compared one by one, in {seconds} s.",
            "{count} documents were moved, with {rows} rows that were compared one by one, in {seconds} s.",
            done.documents,
            rows=f"{done.rows:,}",
            seconds=f"{done.seconds:,.1f}",
        )
    )
    click.echo(_("Start Millpond with MILLPOND_DATABASE_URL set to the new database; the old one is as it was."))
    return 0
