"""What the time line says of backups that were made and verified."""

from __future__ import annotations

from collections.abc import Sequence

from services.backup.manifest import ManifestHead
from services.core.events import EventKind, EventSink
from services.core.i18n import _, plural
from services.core.machine import MEGABYTE


def report_made(reporter: EventSink, head: ManifestHead, seconds: float) -> None:
    """Say that a backup was made in so many seconds, and how many originals it lacks."""
    text = _("backup {name} made: {size:,.1f} MB, {copied:,.1f} MB of them new").format(
        name=head.name, size=head.size / MEGABYTE, copied=head.copied / MEGABYTE
    )
    reporter.event(EventKind.BACKUP, text, seconds=seconds, size_bytes=head.size)
    left_out = sum(map(len, head.left_out.values()))
    if left_out:
        text = plural(
            "{count} original is damaged or missing and not in the backup",
            "{count} originals are damaged or missing and not in the backup",
            left_out,
        )
        reporter.event(EventKind.DAMAGE, text)


def report_verified(reporter: EventSink, name: str, problems: Sequence[str]) -> None:
    """Say that a backup was verified, and what is damaged."""
    if not problems:
        reporter.event(EventKind.BACKUP, _("backup {name} verified: it is whole").format(name=name))
        return
    text = plural(
        "backup {name}: {count} damaged file, the first is {first}",
        "backup {name}: {count} damaged files, the first is {first}",
        len(problems),
        name=name,
        first=problems[0],
    )
    reporter.event(EventKind.DAMAGE, text)
