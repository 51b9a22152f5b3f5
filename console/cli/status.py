"""`status`: prints what the data folder holds and which process serves it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from console.cli.terminal import quiet_logs
from services.core.i18n import _, plural, use_terminal_language
from services.core.local_token import read_local_token
from services.core.machine import MEGABYTE
from services.core.settings import DATABASE_FILE, Settings
from services.operations.data_lock import DataLock, lock_conflict


def status(settings: Settings, *, as_json: bool) -> int:
    """Print the status; returns the exit code."""
    use_terminal_language(settings.language)
    quiet_logs(settings)
    holder = DataLock(settings.data_dir).holder()
    if holder is None:
        if not settings.database_url and not (settings.data_dir / DATABASE_FILE).exists():
            click.echo(_("There is no data in {path} yet.").format(path=settings.data_dir))
            return 0
        found = _stored(settings)
    elif holder.url:
        from console.cli.remote_client import RemoteClient

        with RemoteClient(holder.url, holder.certificate, read_local_token(settings.data_dir)) as client:
            found = client.status()
    else:
        raise lock_conflict(settings.data_dir, holder)
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        for line in status_lines(settings, found):
            click.echo(line)
    return 0


def _stored(settings: Settings) -> dict[str, Any]:
    """Return the counts of the database; no model is loaded and no job resumed."""
    from services.core.database import Database
    from services.core.migrations.upgrade import needs_upgrade
    from services.knowledge.store.documents import DocumentStore

    lock = DataLock(settings.data_dir)
    lock.acquire()
    try:
        database = Database(settings.effective_database_url, checked=True, replicated=settings.database_replicated)
        try:
            if needs_upgrade(database):  # its tables may lack what is counted
                return {"url": "", "needs_upgrade": True}
            return {"url": "", "counts": asdict(DocumentStore(database).counts(None))}
        finally:
            database.close()
    finally:
        lock.release()


def status_lines(settings: Settings, found: dict[str, Any]) -> list[str]:
    """Return the status in words."""
    if found.get("needs_upgrade"):
        return [
            _("Data folder: {path}").format(path=settings.data_dir),
            _("It was written by an older version; the next start brings its database to this one."),
        ]
    counts = found["counts"]
    lines = [
        _("Millpond runs at {url}").format(url=found["url"]) if found["url"] else _("No console is running"),
        _("Data folder: {path}").format(path=settings.data_dir),
        _("Documents: {documents}, {searchable} of them searchable, {chunks}, {size:.1f} MB").format(
            documents=counts["documents"],
            searchable=counts["searchable"],
            chunks=plural("{count} chunk", "{count} chunks", counts["chunks"]),
            size=counts["bytes"] / MEGABYTE,
        ),
        _("Jobs: {unfinished} unfinished, {failed} failed").format(
            unfinished=counts["jobs_unfinished"], failed=counts["jobs_failed"]
        ),
    ]
    if not found["url"]:
        return lines
    model = found["chat_model"]
    lines += [
        _("Chat model: {label} ({state})").format(label=model["label"], state=model["state"]),
        *([f"  {model['message']} {model['hint']}"] if model["state"] in {"down", "unlisted"} else []),
        _("RSS: {rss:.0f} MB").format(rss=found["rss_bytes"] / MEGABYTE),
        _("Memory: {verdict}").format(verdict=found["verdict"]),
    ]
    lines += [
        plural(
            "  {name}: {size} MB, loaded once",
            "  {name}: {size} MB, loaded {count} times",
            resource["loads"],
            name=resource["name"],
            size=f"{resource['bytes'] / MEGABYTE:.1f}",
        )
        for resource in found["resources"]
    ]
    return lines
