"""`embedding-model`: says what a change of the documents' embedding model brings and costs, and steers it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from console.cli.terminal import quiet_logs
from services.core.i18n import _, use_terminal_language
from services.core.local_token import read_local_token
from services.core.machine import MEGABYTE
from services.core.settings import Settings
from services.operations.data_lock import DataLock, lock_conflict

_BASE = "/api/embedding-model"
_ROUTES = {
    "status": ("GET", ""),
    "measure": ("POST", "/measurement"),
    "start": ("POST", "/change"),
    "pause": ("POST", "/change/pause"),
    "resume": ("POST", "/change/resume"),
    "cancel": ("DELETE", "/change"),
}


def embedding_model(settings: Settings, action: str, *, as_json: bool) -> int:
    """Do `action` on the running server, or on the data folder, and print where the change is; returns the exit code.

    Without a server nothing is embedded: what is decided is done by the next start of the console.
    """
    use_terminal_language(settings.language)
    quiet_logs(settings)
    holder = DataLock(settings.data_dir).holder()
    if holder is None:
        found = _here(settings, action)
    elif holder.url:
        from console.cli.remote_client import RemoteClient

        method, path = _ROUTES[action]
        with RemoteClient(holder.url, holder.certificate, read_local_token(settings.data_dir)) as client:
            found = client.call(method, _BASE + path)
    else:
        raise lock_conflict(settings.data_dir, holder)
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False, default=str))
    else:
        for line in change_lines(found):
            click.echo(line)
        if holder is None and found["stage"] in {"embedding", "waiting"}:
            click.echo(_("No console is running: the next one that starts on this folder makes the change."))
    return 0


def _here(settings: Settings, action: str) -> dict[str, Any]:
    from services.app.startup import Application
    from services.core.auditing import Origin, Way, coming_from

    with Application(settings, watched=False) as services, coming_from(Origin(Way.CLI)):
        change = services.model_change
        actor = services.identity.command_line()
        return asdict(change.status() if action == "status" else getattr(change, action)(actor))


def change_lines(found: dict[str, Any]) -> list[str]:
    """Return in words where a change is, what it brings and what it costs."""
    lines = [_("The documents are embedded with {name}.").format(name=found["serving"]["name"])]
    if found["lost"]:
        lines.append(
            _("The files of their model {name} are gone: they are embedded anew, and found by their words until then.")
            .format(name=found["lost"])
        )  # fmt: skip
    coming, cost = found["coming"], found["cost"]
    if coming is None:
        return lines
    lines.append(_("Change to {name}: {stage}").format(name=coming["name"], stage=stage_words(found["stage"])))
    if found["stage"] not in {"offered", "cancelled"}:
        lines.append(_("Chunks: {done:,} of {total:,}").format(done=found["done"], total=found["total"]))
    lines += [text for text in (found["reason"], f"{found['error']} {found['hint']}".strip()) if text]
    if found["person"]:
        lines.append(_("Decided by {person}").format(person=found["person"]))
    lines += list(found["brings"])
    lines.append(
        _("Costs: {disk:,.0f} MB on disk and {memory:,.0f} MB of memory until it is done; chunks: {chunks:,}").format(
            chunks=cost["chunks"],
            disk=cost["disk_bytes"] / MEGABYTE,
            memory=(cost["model_bytes"] + cost["index_bytes"]) / MEGABYTE,
        )
    )
    if found["seconds_left"] is not None:
        lines.append(
            _("About {minutes:,.1f} min left; chunks a second: {rate:,.1f}").format(
                minutes=found["seconds_left"] / 60, rate=found["chunks_per_second"]
            )
        )
    else:
        lines.append(_("How long it takes is not known yet: millpond embedding-model measure"))
    return lines


def stage_words(stage: str) -> str:
    """Return a stage of the change in words."""
    return {
        "offered": _("not started"),
        "cancelled": _("cancelled"),
        "embedding": _("running"),
        "waiting": _("waiting"),
        "paused": _("paused"),
        "failed": _("failed"),
        "switching": _("about to switch"),
        "tidying": _("done, tidying up"),
        "lost": _("the old model is gone"),
        "none": _("nothing to change"),
    }.get(stage, stage)
