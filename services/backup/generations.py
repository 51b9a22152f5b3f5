"""What is told of the backups at their destination, read from the heads of their manifests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.backup.backup_types import BackupGeneration
from services.backup.destination import Destination
from services.backup.manifest import ManifestHead, ManifestReader
from services.core.errors import DamagedError


def read_heads(destination: Destination, names: Sequence[str]) -> list[ManifestHead]:
    """Return the heads of these backups; damaged ones are left out."""
    return [head for name in names if (head := _head_of(destination, name)) is not None]


def newest_name(destination: Destination) -> str:
    """Return the name of the newest backup, "" for none; names tell the second, manifests which of one is later."""
    names = destination.generations()
    if not names:
        return ""
    second = names[-1].partition("-")[0]
    latest = [name for name in names if name.startswith(second)]
    heads = read_heads(destination, latest) if len(latest) > 1 else []
    return max(heads, key=lambda head: head.made_at).name if heads else names[-1]


def generation_of(head: ManifestHead, verified: Mapping[str, Sequence[float]]) -> BackupGeneration:
    """Return what is told of a backup; `verified` has by name when each was verified, and how many problems it had."""
    verified_at, problems = verified.get(head.name, (None, 0))
    return BackupGeneration(
        name=head.name,
        made_at=head.made_at,
        size=head.size,
        copied=head.copied,
        files=head.files,
        counts=head.counts,
        schema=head.schema,
        engine=head.engine,
        left_out=sum(map(len, head.left_out.values())),
        key=head.key,
        verified_at=verified_at,
        problems=int(problems),
    )


def _head_of(destination: Destination, name: str) -> ManifestHead | None:
    try:
        with destination.manifest_lines(name) as lines:
            return ManifestReader(lines, name).head
    except DamagedError:
        return None
