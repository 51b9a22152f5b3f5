"""The commands `backup`, `verify` and `restore`; what they do is imported when one is used."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from services.core.settings import Settings

_SOURCE = click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
_PUBLIC_KEYS = click.option(
    "--public-key",
    "public_keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public key that was kept elsewhere; repeatable [the one that the backup names].",
)


def add_backup_commands(cli: click.Group, data_dir: Callable[[Any], Any], settings_of: Callable[..., Settings]) -> None:
    """Add the commands to the command line; `data_dir` is its option for the data folder."""

    @cli.command()
    @click.argument("destination", required=False, type=click.Path(file_okay=False, path_type=Path))
    @data_dir
    def backup(destination: Path | None, data_dir: Path | None) -> None:
        """Back the data folder up to DESTINATION [MILLPOND_BACKUP_DESTINATION], also while a console runs on it."""
        from console.cli.data_backup import backup as run

        sys.exit(run(settings_of(data_dir), destination))

    @cli.command("verify")
    @_SOURCE
    @click.option("--generation", help="Name of one backup [all of them].")
    @_PUBLIC_KEYS
    def verify(source: Path, generation: str | None, public_keys: tuple[Path, ...]) -> None:
        """Read all backups in SOURCE and name what is damaged. Exits with 1 if anything is."""
        from console.cli.data_backup import verify as run

        sys.exit(run(settings_of(None), source, generation or "", public_keys))

    @cli.command()
    @_SOURCE
    @click.option("--generation", help="Name of the backup [the newest].")
    @_PUBLIC_KEYS
    @click.option("--database-url", metavar="URL", help="Empty database for it [MILLPOND_DATABASE_URL, else SQLite].")
    @data_dir
    def restore(
        source: Path,
        generation: str | None,
        public_keys: tuple[Path, ...],
        database_url: str | None,
        data_dir: Path | None,
    ) -> None:
        """Restore a backup from SOURCE into the data folder, which must be empty or not there yet.

        Where the settings name PostgreSQL or another place of the original files, these go there, and it must be empty.
        """
        from console.cli.data_backup import restore as run

        sys.exit(run(settings_of(data_dir, database_url), source, generation or "", public_keys))
