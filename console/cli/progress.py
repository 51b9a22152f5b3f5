"""What a command that takes a while says of how far it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

_WIDTH = 70


@contextmanager
def shown_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield what shows how far something is: on a terminal in one line, which is gone in the end."""
    shown = ""

    def progress(what: str, done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // max(1, total)
        if sys.stderr.isatty():
            click.echo(f"\r{what}: {percent} %".ljust(_WIDTH), nl=False, err=True)
        elif what != shown:
            click.echo(what, err=True)
        shown = what

    yield progress
    if shown and sys.stderr.isatty():
        click.echo("\r".ljust(_WIDTH) + "\r", nl=False, err=True)
