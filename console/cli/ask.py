"""`ask`: prints the answer to one question as it is generated, then its sources."""

from __future__ import annotations

from collections.abc import Sequence

import click

from console.cli.client import AnswerSource, collection_ids
from console.cli.connect import connect
from console.cli.terminal import printable, quiet_logs
from services.core.i18n import _, use_terminal_language
from services.core.settings import Settings


def ask(settings: Settings, question: str, collections: Sequence[str]) -> int:
    """Print the answer to `question`; returns the exit code."""
    use_terminal_language(settings.language)
    quiet_logs(settings)
    with connect(settings) as client:
        sources: list[AnswerSource] = []
        for piece in client.ask(question, collection_ids(client, collections)):
            if isinstance(piece, str):
                click.echo(printable(piece), nl=False)
            else:
                sources = piece
        click.echo()
        if sources:
            click.echo()
            click.echo(_("Sources"))
        for source in sources:
            click.echo(f"  [{source.number}] {printable(_location(source))}")
            if source.quote:
                click.echo(f"      “{printable(source.quote)}”")
    return 0


def _location(source: AnswerSource) -> str:
    parts = [source.document]
    if source.page is not None:
        parts.append(_("page {page}").format(page=source.page))
    if source.sheet:
        parts.append(_("sheet {sheet}").format(sheet=source.sheet))
    if source.heading:
        parts.append(" › ".join(source.heading))
    return ", ".join(parts)
