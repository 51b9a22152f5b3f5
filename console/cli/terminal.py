"""Output of the commands: a progress bar on a terminal, plain lines elsewhere; log lines for problems only."""

from __future__ import annotations

import re
import sys
from types import TracebackType
from typing import Self

import click
import structlog

from services.core.setting_names import renamed_settings, unknown_variables
from services.core.settings import Settings
from services.memory.process import rss_bytes
from services.operations.logging import configure

log = structlog.get_logger(__name__)

LABEL_WIDTH = 48
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def quiet_logs(settings: Settings) -> None:
    """Set up logging for a command: warnings and errors only, so that its output stays readable."""
    level = settings.log_level if settings.log_level in {"debug", "error"} else "warning"
    configure(level=level, style=settings.log_format, rss_bytes=rss_bytes)
    warn_of_names()


def warn_of_names() -> None:
    """Log what the settings are called now that were given under names of earlier versions, and variables of the
    environment that are no settings.
    """
    for setting in renamed_settings():
        log.warning("a setting was given under its old name, which is still read", old=setting.old, new=setting.new)
    for unknown in unknown_variables():
        hint = {"nearest": unknown.nearest} if unknown.nearest else {}
        log.warning("a variable of the environment is no setting and was ignored", name=unknown.name, **hint)


def printable(text: str) -> str:
    """Return text of a document or a model without what a terminal obeys: control characters but tabs and line ends."""
    return _CONTROL.sub("", text)


class ProgressBar:
    """Counts finished files. On a terminal it is redrawn in place; elsewhere every finished file is a line."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._done = 0
        self._live = sys.stdout.isatty()
        self._label = ""

    def __enter__(self) -> Self:
        self._draw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def advance(self, name: str) -> None:
        """Count one more file as finished, ready or failed."""
        self._done += 1
        if self._live:
            self.show(name)
        else:
            click.echo(f"{self._done}/{self._length} {name}")

    def show(self, label: str) -> None:
        """Show what is in progress."""
        self._label = label
        self._draw()

    def print_error(self, message: str, hint: str) -> None:
        """Print an error above the bar."""
        self.clear()
        click.echo(message, err=True)
        if hint:
            click.echo(f"  {hint}", err=True)

    def clear(self) -> None:
        """Erase the bar, so that a line of text can be printed."""
        if self._live:
            click.echo("\r\x1b[2K", nl=False)

    def close(self) -> None:
        """Erase the bar and draw it no more."""
        self.clear()
        self._live = False

    def _draw(self) -> None:
        if not self._live:
            return
        filled = 24 * self._done // max(self._length, 1)
        label = self._label if len(self._label) <= LABEL_WIDTH else f"{self._label[: LABEL_WIDTH - 1]}…"
        bar = "#" * filled + "-" * (24 - filled)
        click.echo(f"\r\x1b[2K[{bar}] {self._done}/{self._length} {label}", nl=False)
