"""`status`: what the data folder holds and who serves it."""

from __future__ import annotations

import json
from typing import Any

import click

from console.cli.desk import open_desk
from console.cli.screen import quiet_logs
from services.settings import MEGABYTE, Settings
from services.texts import _, use_language


def status(settings: Settings, *, as_json: bool) -> int:
    """Print the status; returns the exit code."""
    use_language(settings.language)
    quiet_logs(settings)
    if not settings.data_dir.is_dir():
        click.echo(_("There is no data in {path} yet.").format(path=settings.data_dir))
        return 0
    with open_desk(settings) as desk:
        found = desk.status()
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        for line in lines(settings, found):
            click.echo(line)
    return 0


def lines(settings: Settings, found: dict[str, Any]) -> list[str]:
    """Return the status in words."""
    counts, model = found["counts"], found["chat_model"]
    told = [
        _("Millpond runs at {url}").format(url=found["url"]) if found["url"] else _("No console is running"),
        _("Data folder: {path}").format(path=settings.data_dir),
        _("Documents: {documents}, {searchable} of them answer, {chunks} chunks, {size:.1f} MB").format(
            **{name: counts[name] for name in ("documents", "searchable", "chunks")}, size=counts["bytes"] / MEGABYTE
        ),
        _("Jobs: {unfinished} unfinished, {failed} failed").format(
            unfinished=counts["jobs_unfinished"], failed=counts["jobs_failed"]
        ),
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
