"""The copy of the database that the last backup has, as what the next one begins from."""

from __future__ import annotations

from pathlib import Path

from services.backup.checking import file_content
from services.backup.destination import Destination
from services.backup.generations import read_heads
from services.backup.manifest import POSTGRESQL, ManifestHead, ManifestReader
from services.backup.pacing import Pace
from services.core.errors import DamagedError
from services.core.private_files import create_file
from services.core.schema_version import HEAD
from services.core.settings import DATABASE_FILE


def begin_from_last(destination: Destination, key: str, target: Path, pace: Pace) -> bool:
    """Put the database of the newest backup of PostgreSQL by that key into a file; return whether there is one.

    What is damaged is left out, and so is what has another schema: the next copy is made from nothing then.

    Raises:
        StorageError: something cannot be read or written.
        CancelledError: `pace` says so.
    """
    heads = read_heads(destination, destination.generations())
    own = [head for head in heads if (head.key, head.engine, head.schema) == (key, POSTGRESQL, HEAD)]
    if not own:
        return False
    try:
        _copy(destination, max(own, key=lambda head: head.made_at), target, pace)
    except DamagedError:
        target.unlink(missing_ok=True)
        return False
    return True


def _copy(destination: Destination, head: ManifestHead, target: Path, pace: Pace) -> None:
    with destination.manifest_lines(head.name) as lines, create_file(target) as copy:
        for file in ManifestReader(lines, head.name).files():
            if file.path == DATABASE_FILE:
                for block in file_content(destination, file):
                    pace.step(len(block))
                    copy.write(block)
                return
    raise DamagedError("")  # it has none; nobody sees it
