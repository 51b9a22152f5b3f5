"""`status`: what the data folder holds and who serves it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from console.cli.terminal import quiet_logs
from services.core.i18n import _, use_language
from services.core.settings import DATABASE_FILE, MEGABYTE, Settings
from services.operations.data_lock import DataLock, conflict


def status(settings: Settings, *, as_json: bool) -> int:
    """Print the status; returns the exit code."""
    use_language(settings.language)
    quiet_logs(settings)
    owner = DataLock(settings.data_dir).owner()
    if owner is None:
        if not settings.database_url and not (settings.data_dir / DATABASE_FILE).exists():
            click.echo(_("There is no data in {path} yet.").format(path=settings.data_dir))
            return 0
        found = _stored(settings)
    elif owner.url:
        from console.cli.remote_client import RemoteClient

        with RemoteClient(owner.url) as desk:
            found = desk.status()
    else:
        raise conflict(settings.data_dir, owner)
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        for line in lines(settings, found):
            click.echo(line)
    return 0


def _stored(settings: Settings) -> dict[str, Any]:
    """Return what the database tells by itself: nothing is loaded, no job goes on because somebody looked."""
    from services.core.database import Database
    from services.knowledge.store.documents import DocumentStore

    database = Database(settings.effective_database_url)
    try:
        return {"url": "", "counts": asdict(DocumentStore(database).counts())}
    finally:
        database.close()


def lines(settings: Settings, found: dict[str, Any]) -> list[str]:
    """Return the status in words."""
    counts = found["counts"]
    told = [
        _("Millpond runs at {url}").format(url=found["url"]) if found["url"] else _("No console is running"),
        _("Data folder: {path}").format(path=settings.data_dir),
        _("Documents: {documents}, {searchable} of them answer, {chunks} chunks, {size:.1f} MB").format(
            **{name: counts[name] for name in ("documents", "searchable", "chunks")}, size=counts["bytes"] / MEGABYTE
        ),
        _("Jobs: {unfinished} unfinished, {failed} failed").format(
            unfinished=counts["jobs_unfinished"], failed=counts["jobs_failed"]
        ),
    ]
    if not found["url"]:
        return told
    model = found["chat_model"]
    told += [
        _("Chat model: {label} ({state})").format(label=model["label"], state=model["state"]),
        _("Memory: {rss:.0f} MB").format(rss=found["rss_bytes"] / MEGABYTE),
    ]
    told += [
        _("  {name}: {size:.1f} MB, loaded {loads} times").format(
            name=held["name"], size=held["bytes"] / MEGABYTE, loads=held["loads"]
        )
        for held in found["resources"]
    ]
    return told
