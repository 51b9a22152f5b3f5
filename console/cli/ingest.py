"""`ingest`: uploads files and folders, and waits until all are ready or failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from console.cli.connect import connect
from console.cli.document_run import POLLS_BETWEEN, DocumentRun, find_or_create_collection
from console.cli.terminal import ProgressBar, quiet_logs
from services.core.errors import BadInputError
from services.core.i18n import _, use_language
from services.core.settings import Settings


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file and the name of its document."""

    path: Path
    name: str


def ingest(settings: Settings, paths: Sequence[Path], collection: str | None) -> int:
    """Ingest all of `paths`; returns 0 if every file is ready, 1 if one failed, 130 if it was interrupted."""
    use_language(settings.language)
    quiet_logs(settings)
    entries = files_of(paths)
    if not entries:
        raise BadInputError(_("There is no file in these paths."), _("Hidden files and folders are left out."))
    with connect(settings) as client, ProgressBar(len(entries)) as bar:
        target = None if collection is None else find_or_create_collection(client, collection)
        run = DocumentRun(client, bar)
        try:
            for entry in entries:
                run.submit(entry.name, partial(client.add, entry.path, entry.name, target))
                run.poll(at_most=POLLS_BETWEEN)
            run.wait()
        except KeyboardInterrupt:
            bar.close()
            click.echo(run.interruption(), err=True)
            return 130
    click.echo(run.summary())
    return 1 if run.failed else 0


def files_of(paths: Sequence[Path]) -> list[FileEntry]:
    """Return the files in `paths`; folders are walked, hidden files and folders in them are left out.

    A file in a subfolder is named with it ("guides › intro.md"): the same name in two folders must not count as two
    versions of one document.
    """
    entries: list[FileEntry] = []
    for path in paths:
        if path.is_file():
            entries.append(FileEntry(path, path.name))
            continue
        for file in sorted(path.rglob("*")):
            parts = file.relative_to(path).parts
            if file.is_file() and not any(part.startswith(".") for part in parts):
                entries.append(FileEntry(file, " › ".join(parts)))
    return entries
